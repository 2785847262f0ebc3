"""kill -9 between any two steps of an accept: what was acknowledged is there, once, byte for byte."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.store.failpoints import ACCEPTING
from gateway.store.schema import cursor, entry
from gateway.store.shared_blobs import SharedBlobs
from tests import ready
from tests.gateway.databases import blobs_of, writer_engine
from tests.gateway.store.child import content_of
from tests.gateway.store.mails import digests

ROOT = Path(__file__).parents[3]


def child(folder: Path, url: str, *options: str) -> ready.Program:
    return ready.program("-m", "tests.gateway.store.child", str(folder), url, *options, stdout=subprocess.PIPE)


def lines(process: ready.Program) -> Iterator[list[str]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield line.split()


def run(folder: Path, url: str, *options: str) -> list[list[str]]:
    """All that a child says that is left alone."""
    with child(folder, url, *options) as process:
        said = list(lines(process))
    assert process.returncode == 0
    return said


def kept(folder: Path, url: str) -> dict[str, str]:
    """External id -> digest of what a fresh process finds. Every row's body is there.

    With PostgreSQL the process is on another node, whose folder is empty.
    """
    engine, shared = writer_engine(url), not url.startswith("sqlite")
    with engine.connect() as conn, tempfile.TemporaryDirectory() as other:
        blobs = blobs_of(url, Path(other) / "blobs" if shared else folder / "blobs")
        found = digests(conn, blobs)
        if isinstance(blobs, SharedBlobs):
            blobs.close()
        said = {row.external_id: row.sha256 for row in conn.execute(select(entry))}
        passed = set(conn.execute(select(cursor.c.value)).scalars())
    engine.dispose()
    assert found == said
    assert {f"{number}@sender.example" for number in passed} <= found.keys(), "a cursor passed what is not there"
    return found


def wanted(numbers: set[int]) -> dict[str, str]:
    return {f"{number}@sender.example": hashlib.sha256(content_of(number)).hexdigest() for number in numbers}


@pytest.mark.parametrize("name", ACCEPTING)
def test_killed_at_a_fail_point(db_url: str, tmp_path: Path, name: str) -> None:
    killed_at(db_url, tmp_path, name, 4)


@pytest.mark.sqlite  # the same once more for what comes first; PostgreSQL has the fourth time
@pytest.mark.parametrize("name", ACCEPTING)
def test_killed_when_a_fail_point_is_first_passed(db_url: str, tmp_path: Path, name: str) -> None:
    killed_at(db_url, tmp_path, name, 1)


def killed_at(db_url: str, tmp_path: Path, name: str, nth: int) -> None:
    """Kill at the nth pass; what was acknowledged is there, and when all is sent again everything is there once."""
    acknowledged: set[int] = set()
    with child(tmp_path, db_url, "--stop-at", name, "--nth", str(nth)) as process:
        for word, what, *_ in lines(process):
            if word == "250":
                acknowledged.add(int(what))
            if word == "at":
                process.kill()
    assert process.returncode == -signal.SIGKILL
    survived = kept(tmp_path, db_url)
    assert wanted(acknowledged).items() <= survived.items()
    assert survived.items() <= wanted(set(range(60))).items()

    again = run(tmp_path, db_url)  # the senders repeat everything
    assert {int(what) for word, what, *_ in again if word == "250"} == set(range(60))
    assert kept(tmp_path, db_url) == wanted(set(range(60)))


def test_killed_at_any_moment(db_url: str, tmp_path: Path) -> None:
    acknowledged: set[int] = set()
    # More than a pipe holds of what it says of them: it cannot come to its end before somebody has read that.
    for turn in range(4):
        with child(tmp_path, db_url, "--mails", "20000") as process:
            for word, what, *_ in lines(process):
                if word == "250":
                    acknowledged.add(int(what))
                    if len(acknowledged) >= (turn + 1) * 70:
                        process.kill()
        assert process.returncode == -signal.SIGKILL
        assert wanted(acknowledged).items() <= kept(tmp_path, db_url).items()


@pytest.mark.sqlite  # a limit on our own files; PostgreSQL's are its server's (test_postgres_faults.py: it crashes)
def test_a_full_disk_is_451_and_is_left_when_there_is_room_again(db_url: str, tmp_path: Path) -> None:
    # A limit on the size of a file stands for the disk: writing the WAL fails in the middle of a COMMIT.
    said = run(tmp_path, db_url, "--disk", str(400 * 1024), "--mails", "400", "--senders", "4")
    refused = {int(what) for word, what, *_ in said if word == "451"}
    acknowledged = {int(what) for word, what, *_ in said if word == "250"}
    assert refused
    assert ["healthy", "False"] in [line[:2] for line in said]
    assert acknowledged == set(range(400))  # the refused ones at the second try
    assert kept(tmp_path, db_url) == wanted(acknowledged)


def test_what_was_left_in_the_spool_is_no_entry(db_url: str, tmp_path: Path) -> None:
    with child(tmp_path, db_url, "--stop-at", "blob-before-rename", "--senders", "1") as process:
        assert any(word == "at" and not process.kill() for word, *_ in lines(process))
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["0.part"]
    assert kept(tmp_path, db_url) == {}
