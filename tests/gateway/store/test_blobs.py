"""Rule 4: a blob is whole and on disk before a row names it, and only what nobody names is deleted."""

from __future__ import annotations

import asyncio
import hashlib
import os
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert

from gateway.store import journal
from gateway.store.blob_sweep import remove, sweep, unreferenced
from gateway.store.blobs import Blobs, SpoolDamaged, sweep_folder
from gateway.store.database import Database
from gateway.store.schema import attachment, contact, message, ticket
from tests.gateway.store.mails import NOW, accept, mail, spooled

LONG_AGO = datetime.now(UTC) - timedelta(days=2)


def age(path: Path) -> None:
    os.utime(path, (LONG_AGO.timestamp(), LONG_AGO.timestamp()))


def test_put_and_open(blobs: Blobs) -> None:
    name = blobs.put(b"content")
    assert name == hashlib.sha256(b"content").hexdigest()
    assert blobs.put(b"content") == name
    with blobs.open(name) as file:
        assert file.read() == b"content"
    assert list(blobs.new.iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_a_name_is_a_digest(blobs: Blobs, name: str) -> None:
    with pytest.raises(ValueError, match="64"):
        blobs.path(name)


def test_a_spool_file_of_another_size_is_not_accepted(blobs: Blobs, tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(b"short")
    with pytest.raises(SpoolDamaged):
        blobs.adopt(part, "a" * 64, 6)
    assert part.exists()


def test_a_blob_that_is_there_is_reused_and_touched(blobs: Blobs, tmp_path: Path) -> None:
    name = blobs.put(b"content")
    age(blobs.path(name))
    inode = blobs.path(name).stat().st_ino
    part = tmp_path / "part"
    part.write_bytes(b"content")
    assert blobs.adopt(part, name, 7) == name
    assert not part.exists()
    assert blobs.path(name).stat().st_ino == inode
    assert blobs.old(datetime.now(UTC)) == []


def test_a_blob_of_the_wrong_size_is_replaced(blobs: Blobs) -> None:
    name = blobs.put(b"content")
    blobs.path(name).write_bytes(b"torn")
    blobs.put(b"content")
    assert blobs.path(name).read_bytes() == b"content"


def test_adopting_a_blob_again_does_not_delete_it(blobs: Blobs) -> None:
    name = blobs.put(b"content")
    path = blobs.path(name)
    blobs.adopt(path.parent / ".." / path.parent.name / name, name, 7)
    assert path.read_bytes() == b"content"


async def test_only_old_blobs_that_nobody_names_are_swept(db: Database, blobs: Blobs, tmp_path: Path) -> None:
    big = spooled(1, b"x" * 300_000, tmp_path / "spool")
    await accept(db, blobs, big)
    attached, orphan, young = blobs.put(b"attached"), blobs.put(b"orphan"), blobs.put(b"young")

    def attach(conn: Connection) -> None:
        conn.execute(insert(contact).values(id=1, created_at=NOW))
        values = {"number": "1", "channel": "mail", "account": "support", "requester_id": 1, "requester": "x"}
        values |= {"subject": "", "language": "", "status": "new", "line": "L1", "tags": [], "because": []}
        conn.execute(insert(ticket).values(id=1, opened_at=NOW, updated_at=NOW, **values))
        said = {"direction": "in", "kind": "message", "author": "x", "text": "", "visible_text": "", "at": NOW}
        conn.execute(insert(message).values(id=1, ticket_id=1, **said))
        part = {"filename": "", "content_type": "", "size": 8, "sha256": attached, "blob": attached}
        conn.execute(insert(attachment).values(message_id=1, **part))

    await db.write(attach)
    for name in (big.body.sha256, attached, orphan):
        age(blobs.path(name))
    leftover = blobs.new / "leftover"
    leftover.write_bytes(b"")
    age(leftover)
    assert await sweep(db, blobs, now=datetime.now(UTC)) == 1
    assert not blobs.exists(orphan)
    assert not leftover.exists()
    assert all(blobs.exists(name) for name in (big.body.sha256, attached, young))


async def test_the_sweeper_looks_again_inside_the_transaction(db: Database, blobs: Blobs, tmp_path: Path) -> None:
    content = b"x" * 300_000
    name = blobs.put(content)
    age(blobs.path(name))
    now = datetime.now(UTC)
    found = await db.read(partial(unreferenced, names=blobs.old(now)))
    assert found == [name]
    # Meanwhile the same bytes come again: reused and touched, but not yet committed …
    raw = spooled(1, content, tmp_path / "spool")
    prepared = await asyncio.to_thread(journal.prepare, [raw], blobs)
    assert await db.write(partial(remove, blobs=blobs, names=found, now=now)) == []
    # … and committed, then untouched for long.
    await db.write(partial(journal.record, raws=prepared, cursor=None, now=NOW, blobs=blobs))
    age(blobs.path(name))
    assert await db.write(partial(remove, blobs=blobs, names=found, now=now)) == []
    assert blobs.path(name).read_bytes() == content


async def test_dropped_bytes_of_a_big_mail_are_swept(db: Database, blobs: Blobs) -> None:
    accepted = await accept(db, blobs, mail(1, b"x" * 300_000))
    name = (await db.read(lambda conn: journal.load(conn, [accepted.entry], blobs)))[0].raw.body.sha256
    await db.write(lambda conn: journal.done(conn, accepted.entry, outcome={}, now=NOW))
    assert await db.write(lambda conn: journal.drop_raw(conn, before=NOW + timedelta(days=1))) == 1
    age(blobs.path(name))
    assert await sweep(db, blobs, now=datetime.now(UTC)) == 1


def test_leftovers_of_the_spool_go_after_a_day(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).write_bytes(b"part")
    age(tmp_path / "old")
    assert sweep_folder(tmp_path, datetime.now(UTC)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
