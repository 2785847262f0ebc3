"""Quarantine, its placeholder, and replay (rule 6)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.store import schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.store.journal import Entry
from normalizer.message import INLINE_LIMIT
from router.assignment import Assignment
from tests.gateway.conftest import FrozenClock
from tests.gateway.filing_desk import Desk, context
from tests.gateway.planted import said

ANN, BOB = "ann@client.example", "bob@client.example"


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> Desk:
    return Desk(db, blobs, clock, context())


async def quarantined(desk: Desk, content: bytes | None = None) -> Entry:
    """An entry that could not be read."""
    entry = await desk.accept(said(sender=ANN), content=content)
    assert [await desk.give_up(entry) for _ in range(3)] == [False, False, True]
    return await desk.entry(entry.id)


async def test_attempts_are_counted_with_a_growing_pause(desk: Desk) -> None:
    entry = await desk.accept(said(sender=ANN))
    await desk.give_up(entry)
    [row] = await desk.db.read(lambda conn: conn.execute(schema.entry.select()).all())
    assert (row.state, row.attempts, row.not_before) == ("pending", 1, desk.clock() + timedelta(seconds=2))
    assert await desk.count(schema.ticket) == 0


async def test_a_ticket_says_that_a_message_could_not_be_read(desk: Desk) -> None:
    content = b"From: ann\r\n\r\n\xff"
    entry = await quarantined(desk, content)
    assert entry.state == "quarantined"
    [ticket] = await desk.db.read(lambda conn: conn.execute(schema.ticket.select()).all())
    assert (ticket.requester, ticket.tags, ticket.line) == (ANN, ["unreadable"], "L1")
    [message] = await desk.messages(ticket.id)
    assert (message.kind, message.verified, message.sha256) == ("unreadable", False, entry.raw.body.sha256)
    assert "time limit" in message.text
    [file] = await desk.db.read(lambda conn: conn.execute(schema.attachment.select()).all())
    assert (file.filename, file.content_type, file.content) == ("message.eml", "message/rfc822", content)
    assert await desk.to(ANN) == []


async def test_the_original_of_a_big_message_is_attached_as_its_blob(desk: Desk) -> None:
    entry = await quarantined(desk, b"x" * (INLINE_LIMIT + 1))
    [file] = await desk.db.read(lambda conn: conn.execute(schema.attachment.select()).all())
    assert (file.content, file.blob) == (None, entry.raw.body.sha256)


async def test_replay_reads_it_into_its_placeholder(desk: Desk) -> None:
    entry = await quarantined(desk)
    read = said(sender=BOB, name="Bob", subject="Printer", message_id="m1@client.example", text="It is on fire.")
    filed = await desk.file(await desk.replay(entry.id), read, Assignment(class_=1, line="L2"))
    assert filed.kind == "revised"
    assert await desk.count(schema.ticket) == 1
    ticket = await desk.ticket(filed.ticket_id)
    assert (ticket.requester, ticket.subject, ticket.tags) == (BOB, "Printer", [])
    assert (ticket.class_, ticket.line) == (1, "L2")
    [message] = await desk.messages(ticket.id)
    assert (message.kind, message.text, message.generation, message.verified) == ("message", "It is on fire.", 1, True)
    assert len(await desk.messages(ticket.id, every_revision=True)) == 2
    reply = await desk.mail(sender=BOB, in_reply_to=["m1@client.example"], trust="verified")
    assert reply.ticket_id == ticket.id


@pytest.mark.parametrize("notify", [False, True])
async def test_notices_go_out_only_with_notify(desk: Desk, notify: bool) -> None:
    entry = await quarantined(desk)
    await desk.file(await desk.replay(entry.id, notify=notify), said(sender=BOB))
    assert await desk.to(BOB) == (["acknowledgement"] if notify else [])


@pytest.mark.parametrize("notify", [False, True])
async def test_staff_too_are_told_of_a_replay_only_with_notify(
    db: Database, blobs: Blobs, clock: FrozenClock, notify: bool
) -> None:
    desk = Desk(db, blobs, clock, context(lines={"L1": {"recipients": ["line1@staff.example"]}}))
    await desk.mail(sender=ANN)
    before = len(await desk.to("line1@staff.example"))
    await desk.file(await desk.replay(1, notify=notify), said(sender=ANN, text="new"))
    assert len(await desk.to("line1@staff.example")) == before + notify


@pytest.mark.parametrize("reroute", [False, True])
async def test_class_and_line_change_only_with_reroute(desk: Desk, reroute: bool) -> None:
    first = await desk.receive(said(sender=ANN, text="old"), Assignment(class_=6, line="L1"))
    replayed = await desk.replay(1, reroute=reroute)
    filed = await desk.file(replayed, said(sender=ANN, text="new"), Assignment(class_=3, line="L3"))
    assert filed.ticket_id == first.ticket_id
    ticket = await desk.ticket(first.ticket_id)
    assert (ticket.class_, ticket.line) == ((3, "L3") if reroute else (6, "L1"))
    assert ("class" in await desk.kinds(first.ticket_id)) == reroute
    assert [message.text for message in await desk.messages(first.ticket_id)] == ["new"]
    assert await desk.to(ANN) == ["acknowledgement"]


async def test_a_replay_filed_twice_is_one_revision(desk: Desk) -> None:
    first = await desk.mail(sender=ANN)
    replayed = await desk.replay(1)
    await desk.file(replayed, said(sender=ANN, text="new"))
    again = await desk.file(replayed, said(sender=ANN, text="new"))
    assert again.kind == "repeated"
    assert len(await desk.messages(first.ticket_id, every_revision=True)) == 2
    assert (await desk.kinds(first.ticket_id)).count("revised") == 1


async def test_a_replay_reopens_nothing(desk: Desk) -> None:
    first = await desk.mail(sender=ANN, message_id="m1@client.example")
    issued = await desk.issued(first.ticket_id)
    answer = await desk.mail(sender=ANN, in_reply_to=[issued])
    await desk.set_status(first.ticket_id, "resolved")
    await desk.file(await desk.replay(2), said(sender=ANN, in_reply_to=[issued], text="new"))
    assert (await desk.ticket(answer.ticket_id)).status == "resolved"


async def test_an_unverified_message_stays_unverified(desk: Desk) -> None:
    first = await desk.mail(sender=ANN, message_id="m1@client.example")
    await desk.mail(sender=BOB, in_reply_to=["m1@client.example"])
    await desk.file(await desk.replay(2), said(sender=BOB, in_reply_to=["m1@client.example"], text="new"))
    assert [message.verified for message in await desk.messages(first.ticket_id)] == [True, False]


async def test_a_placeholder_that_turns_out_to_be_a_robot_is_not_answered(desk: Desk) -> None:
    entry = await quarantined(desk)
    filed = await desk.file(await desk.replay(entry.id, notify=True), said(sender=ANN, kind="auto_reply"))
    assert filed.kind == "auto_reply"
    assert await desk.count(schema.ticket) == 1
    assert [message.kind for message in await desk.messages(filed.ticket_id)] == ["auto_reply"]
    assert await desk.to(ANN) == []


async def test_a_replay_that_fails_again_leaves_one_placeholder(desk: Desk) -> None:
    entry = await quarantined(desk)
    replayed = await desk.replay(entry.id)
    assert [await desk.give_up(replayed) for _ in range(3)] == [False, False, True]
    [ticket] = await desk.db.read(lambda conn: conn.execute(schema.ticket.select()).all())
    assert (await desk.kinds(ticket.id)).count("unreadable") == 2


async def test_a_reading_that_was_overtaken_by_a_replay_does_not_end_it(desk: Desk) -> None:
    await desk.mail(sender=ANN)
    old = await desk.entry(1)
    await desk.replay(1)
    await desk.file(old, said(sender=ANN))
    assert (await desk.entry(1)).state == "pending"
