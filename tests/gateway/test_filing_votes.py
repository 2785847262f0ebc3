"""Votes by mail, robots at addresses that are told of tickets, and a real mail from bytes to ticket."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from gateway.store import people, schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from normalizer.message import InlineBody, Rating
from tests.gateway.conftest import FrozenClock
from tests.gateway.filing_desk import Desk, context
from tests.gateway.planted import said
from tests.gateway.test_pipeline import raw, running

ANN, BOB = "ann@client.example", "bob@client.example"
LINE = "line1@staff.example"


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> Desk:
    return Desk(db, blobs, clock, context())


async def asked(desk: Desk) -> tuple[int, str]:
    """Ann's resolved ticket with an open survey, and a key of ours."""
    filed = await desk.mail(sender=ANN, message_id="m1@client.example")
    assert filed.ticket_id is not None
    ticket = await desk.ticket(filed.ticket_id)
    now = desk.clock()
    values = {
        "ticket_id": ticket.id,
        "contact_id": ticket.requester_id,
        "recipient": ANN,
        "resolution": 1,
        "nonce": "n",
        "token_hash": desk.ctx.keyring.hash("token"),
        "channel": "mail",
        "language": "en",
        "asked_at": now,
        "expires_at": now.replace(year=now.year + 1),
    }
    await desk.do(lambda conn: conn.execute(schema.survey.insert().values(values)))
    await desk.set_status(ticket.id, "resolved")
    return ticket.id, await desk.issued(ticket.id)


async def scores(desk: Desk) -> list[int]:
    return [row.score for row in await desk.db.read(lambda conn: conn.execute(schema.rating.select()).all())]


# sender, trust, key -> whether a digit is a vote
VOTES = [
    (ANN, "unknown", "issued", True),
    (ANN, "verified", "seen", True),
    (ANN, "unknown", "seen", False),
    (BOB, "unknown", "issued", False),
]


@pytest.mark.parametrize(("sender", "trust", "key", "counts"), VOTES)
async def test_whose_digit_is_a_vote(desk: Desk, sender: str, trust: str, key: str, counts: bool) -> None:
    ticket_id, issued = await asked(desk)
    named = issued if key == "issued" else "m1@client.example"
    filed = await desk.mail(sender=sender, trust=trust, in_reply_to=[named], text="5", rating=5)
    assert filed.ticket_id == ticket_id
    assert await scores(desk) == ([5] if counts else [])
    if counts:
        assert filed.kind == "rating"
        assert (await desk.ticket(ticket_id)).status == "resolved", "a vote reopens nothing"


async def test_a_vote_is_taken_once_whatever_is_run_twice(desk: Desk) -> None:
    _ticket_id, issued = await asked(desk)
    vote = said(sender=ANN, in_reply_to=[issued], text="4", rating=4)
    entry = await desk.accept(vote)
    await desk.file(entry, vote)
    await desk.file(entry, vote)
    assert await scores(desk) == [4]


async def test_without_an_open_survey_a_digit_is_a_message(desk: Desk) -> None:
    filed = await desk.mail(sender=ANN, message_id="m1@client.example")
    issued = await desk.issued(filed.ticket_id)
    await desk.set_status(filed.ticket_id, "resolved")
    answer = await desk.mail(sender=ANN, in_reply_to=[issued], text="5", rating=5)
    assert answer.kind == "appended"
    assert (await desk.ticket(filed.ticket_id)).status == "open"
    assert await scores(desk) == []


async def test_stop_is_a_wish_that_is_kept(desk: Desk) -> None:
    ticket_id, issued = await asked(desk)
    await desk.mail(sender=ANN, in_reply_to=[issued], text="stop", stop_surveys=True)
    contact_id = (await desk.ticket(ticket_id)).requester_id
    assert await desk.db.read(lambda conn: people.get(conn, contact_id).no_surveys)
    assert (await desk.ticket(ticket_id)).status == "resolved"


async def test_a_vote_that_names_its_survey(desk: Desk) -> None:
    ticket_id, _issued = await asked(desk)
    filed = await desk.receive(Rating(token="token", score=2, comment="slow"))
    assert (filed.kind, filed.ticket_id) == ("rating", ticket_id)
    assert await scores(desk) == [2]
    unknown = await desk.receive(Rating(token="nonsense", score=1))
    assert (unknown.kind, unknown.ticket_id) == ("rating", None)
    assert await desk.count(schema.ticket) == 1


async def test_a_robot_at_a_line_address_makes_no_circle(db: Database, blobs: Blobs, clock: FrozenClock) -> None:
    desk = Desk(db, blobs, clock, context(lines={"L1": {"recipients": [LINE]}}, caps={"per_address_minute": 3}))
    filed = await desk.mail(sender=ANN)
    issued = await desk.issued(filed.ticket_id, recipient=LINE)
    for number in range(10):
        await desk.mail(sender=LINE, in_reply_to=[issued], text=f"I got your message {number}")
    assert len(await desk.to(LINE)) <= 1 + 3
    assert len(await desk.messages(filed.ticket_id)) == 11


async def test_a_real_mail_from_bytes_to_ticket(db: Database, blobs: Blobs) -> None:
    content = (
        b"From: =?koi8-u?B?98nE0MTXpMTM?= <ann@client.example>\r\n"
        b"To: support@desk.example\r\n"
        b"Subject: =?utf-8?B?0J3QtSDQv9C10YfQsNGC0LDQtdGC?=\r\n"
        b"Message-ID: <real@client.example>\r\n"
        b"Content-Type: text/plain; charset=windows-1251\r\n\r\n"
    ) + "Принтер на втором этаже не печатает с самого утра.".encode("cp1251")
    facts: dict[str, Any] = {"mail_from": ANN, "transport": "smtp"}
    made = replace(raw(1, "", peer=ANN, format="mail/1", facts=facts), body=InlineBody(content=content))
    async with running(db, blobs) as story:
        await story.pipeline.accept([made])
        story.start()
        await story.settled()
    ticket = await db.read(lambda conn: conn.execute(schema.ticket.select()).one())
    message = await db.read(lambda conn: conn.execute(schema.message.select()).one())
    assert (ticket.requester, ticket.subject, ticket.language) == (ANN, "Не печатает", "ru")
    assert message.text.strip() == "Принтер на втором этаже не печатает с самого утра."
    assert message.sha256 == hashlib.sha256(content).hexdigest()
