"""Media by reference: queued in the transaction that files the message, taken in turns, settled once (rule 10)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Row, select

from gateway.store import media, schema, tickets
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from normalizer.message import Attachment, Message
from tests.gateway.conftest import FrozenClock
from tests.gateway.filing_desk import Desk, context
from tests.gateway.planted import said

LEASE = timedelta(minutes=5)
PHOTO = Attachment(filename="roof.jpg", content_type="image/jpeg", size=300, sha256="", source="photo:AAA")
NOTE = Attachment(filename="a.txt", content_type="text/plain", size=2, sha256="0" * 64, content=b"hi")


def with_files(*attachments: Attachment) -> Message:
    """A message with these files."""
    return replace(said(), attachments=attachments)


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> Desk:
    return Desk(db, blobs, clock, context())


async def files(desk: Desk, ticket_id: int | None) -> list[Row[Any]]:
    found = await desk.messages(ticket_id, every_revision=True)
    return list(await desk.db.read(lambda conn: tickets.attachments_of(conn, [row.id for row in found])))


async def claimed(desk: Desk, owner: str = "one") -> list[media.Row]:
    now = desk.clock()

    def job(conn: Connection) -> list[media.Row]:
        return media.claim(conn, media.due(conn, "mail", "support", now, 10), owner, now, now + LEASE)

    return await desk.do(job)


async def arrived(desk: Desk, row: media.Row) -> bool:
    """The file is here, as `gateway.fetching` writes it."""
    now = desk.clock()

    def job(conn: Connection) -> bool:
        if not media.settle(conn, row, "here", now):
            return False
        media.set_file(conn, row, sha256="f" * 64, size=301, content_type="image/png")
        return True

    return await desk.do(job)


async def test_the_ticket_opens_at_once_and_the_file_is_queued_with_it(desk: Desk) -> None:
    filed = await desk.receive(with_files(NOTE, PHOTO))
    here, pending = await files(desk, filed.ticket_id)
    assert (here.state, here.blob) == ("here", None)
    assert (pending.state, pending.blob, pending.filename) == ("pending", None, "roof.jpg")
    (row,) = await claimed(desk)
    assert (row.attachment_id, row.source, row.step, row.attempts) == (pending.id, "photo:AAA", "fetch", 1)
    assert (row.ticket_id, row.channel, row.account) == (filed.ticket_id, "mail", "support")


async def test_a_claim_is_a_lease_and_a_late_result_changes_nothing(desk: Desk) -> None:
    await desk.receive(with_files(PHOTO))
    (first,) = await claimed(desk, "one")
    assert await claimed(desk, "two") == []
    desk.clock.forward(LEASE)
    (second,) = await claimed(desk, "two")
    assert second.attempts == 2
    assert not await arrived(desk, first)
    assert await arrived(desk, second)
    assert not await arrived(desk, second)


async def test_what_a_dead_server_held_is_free_at_once(desk: Desk) -> None:
    await desk.receive(with_files(PHOTO))
    assert await claimed(desk, "dead")
    assert await desk.do(lambda conn: media.release(conn, "alive")) == 1
    assert len(await claimed(desk, "alive")) == 1
    assert await desk.do(lambda conn: media.release(conn, "alive")) == 0


async def test_another_reading_of_the_message_fetches_nothing_again(desk: Desk) -> None:
    event = with_files(PHOTO)
    entry = await desk.accept(event)
    filed = await desk.file(entry, event)
    (row,) = await claimed(desk)
    assert await arrived(desk, row)
    await desk.file(await desk.replay(entry.id), event)
    first, second = await files(desk, filed.ticket_id)
    assert (first.state, first.blob, first.size, first.content_type) == ("here", "f" * 64, 301, "image/jpeg")
    assert (second.state, second.blob, second.size) == ("here", "f" * 64, 301)
    assert await desk.count(schema.media) == 1


async def test_what_waited_too_long_is_handed_out_to_be_given_up(desk: Desk) -> None:
    await desk.receive(with_files(PHOTO))
    before = desk.clock()
    assert await desk.do(lambda conn: media.outlived(conn, before, 10)) == []
    later = desk.clock.forward(timedelta(days=1))
    (row,) = await desk.do(lambda conn: media.outlived(conn, later, 10))
    assert await desk.do(lambda conn: media.settle(conn, row, "failed", later, detail="nobody came"))
    await desk.do(lambda conn: media.set_failed(conn, row))
    (file,) = await desk.db.read(lambda conn: conn.execute(select(schema.attachment)).all())
    assert file.state == "failed"
    assert await desk.db.read(media.waiting_since) == (0, None)
