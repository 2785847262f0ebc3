"""SIGKILL keeps the page cache, so a trace must show it: the disk has it before the 250."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from normalizer.message import SpooledBody
from tests.gateway.store.child import message
from tests.gateway.store.test_kill import ROOT

# SQLite writes in this process; what PostgreSQL does with fsync=on is its own promise, and fsync=off is refused.
pytestmark = [pytest.mark.services("strace"), pytest.mark.sqlite]

SYNC = re.compile(r" f(?:data)?sync\(\d+(?:<([^>]*)>)?")


def traced(folder: Path, options: list[str], strace: list[str]) -> tuple[str, str]:
    """Standard output of the child and the trace of it."""
    trace = folder / "trace"
    command = [
        "strace",
        "-f",
        "-o",
        str(trace),
        *strace,
        sys.executable,
        "-m",
        "tests.gateway.store.child",
        str(folder),
        f"sqlite:///{folder / 'gateway.db'}",
    ]
    done = subprocess.run([*command, *options], cwd=ROOT, check=True, capture_output=True, text=True, timeout=220)
    return done.stdout, trace.read_text()


def events(trace: str) -> list[str]:
    """What was said ("received 3", "250 3") and the paths whose sync has returned, in the order of the trace."""
    found: list[str] = []
    under_way: dict[str, str] = {}
    for line in trace.splitlines():
        thread = line.split()[0]
        if said := re.search(r'write\(1<[^>]*>, "((?:received|250) \d+)', line):
            found.append(said[1])
        if began := SYNC.search(line):
            under_way[thread] = began[1]
        if thread in under_way and line.endswith("= 0"):
            found.append(under_way.pop(thread))
    return found


def test_the_disk_has_everything_between_the_last_byte_and_each_250(db_url: str, tmp_path: Path) -> None:
    options = ["--mails", "40", "--senders", "1", "--first", "1"]
    _, trace = traced(tmp_path, options, ["-y", "-e", "trace=write,fsync,fdatasync"])
    seen = events(trace)
    for number in range(1, 41):
        raw = message(number, tmp_path / "again")
        needed = {str(tmp_path / "gateway.db-wal")}
        if isinstance(raw.body, SpooledBody):
            needed.add(str(tmp_path / "blobs" / raw.body.sha256[:2]))
            if number != 40:  # the same bytes as 20: its blob is there
                needed.add(str(tmp_path / "spool" / f"{number}.part"))
        between = seen[seen.index(f"received {number}") : seen.index(f"250 {number}")]
        assert needed <= set(between), number


def test_fifty_senders_need_one_sync_for_ten_accepts_at_most(db_url: str, tmp_path: Path) -> None:
    said, trace = traced(
        tmp_path, ["--mails", "1000", "--senders", "50", "--small"], ["-y", "-e", "trace=fsync,fdatasync"]
    )
    commits, jobs = map(int, re.search(r"commits (\d+) jobs (\d+)", said).groups())  # type: ignore[union-attr]
    synced = [(line.split()[0], found[1]) for line in trace.splitlines() if (found := SYNC.search(line))]
    # The first who writes down the WAL commits. Another thread copies it, the more often the longer all this takes.
    writer = next(thread for thread, path in synced if path.endswith("-wal"))
    syncs = sum(thread == writer for thread, _ in synced)
    assert jobs == 1000
    # Opening and closing have their own.
    assert commits <= 100 and commits <= syncs <= 100 + 20
