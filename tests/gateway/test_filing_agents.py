"""Staff by mail: answers, notes, requests registered for somebody else."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.store import schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from router.assignment import Assignment
from tests.gateway.conftest import FrozenClock
from tests.gateway.filing_desk import SUPPORT, Desk, context
from tests.gateway.planted import said

ANN = "ann@client.example"
OLENA, PETRO = "olena@staff.example", "petro@staff.example"
NOTE = (("support", "support+note@desk.example"),)


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> Desk:
    return Desk(db, blobs, clock, context())


async def opened(desk: Desk) -> tuple[int, str]:
    """Ann's ticket, and the id of a notice that staff got about it."""
    filed = await desk.mail(sender=ANN, message_id="m1@client.example")
    assert filed.ticket_id is not None
    return filed.ticket_id, await desk.issued(filed.ticket_id, "staff-1@desk.example", OLENA)


# sender, trust, tag -> what it becomes
MAIL = [
    (OLENA, "verified", False, "reply"),
    (OLENA, "verified", True, "note"),
    (OLENA, "unknown", False, "unverified"),
    (OLENA, "unknown", True, "unverified"),
    (OLENA, "suspect", False, "unverified"),
    (PETRO, "unknown", False, "reply"),
    (PETRO, "unknown", True, "note"),
    (PETRO, "suspect", False, "unverified"),
]


@pytest.mark.parametrize(("sender", "trust", "noted", "becomes"), MAIL)
async def test_what_an_agents_mail_with_our_key_becomes(
    desk: Desk, sender: str, trust: str, noted: bool, becomes: str
) -> None:
    ticket_id, issued = await opened(desk)
    raw: dict[str, Any] = {"deliveries": NOTE} if noted else {}
    filed = await desk.receive(said(sender=sender, trust=trust, in_reply_to=[issued], text="Restart it."), **raw)
    assert (filed.kind, filed.ticket_id) == (becomes, ticket_id)
    event = (await desk.events(ticket_id))[-1]
    message = (await desk.messages(ticket_id))[-1]
    directions = {"reply": "out", "note": "note", "unverified": "in"}
    assert message.direction == directions[becomes]
    assert (message.verified is False) == (becomes == "unverified")
    if becomes != "unverified":
        assert event.actor == f"agent:{sender.partition('@')[0]}"
    assert sender not in [row.recipient for row in await desk.outbox()]


async def test_an_answer_ends_the_reaction_clock_and_takes_the_ticket_up(desk: Desk) -> None:
    ticket_id, issued = await opened(desk)
    await desk.receive(said(sender=OLENA, trust="verified", in_reply_to=[issued], text="Restart it."))
    ticket = await desk.ticket(ticket_id)
    assert ticket.status == "open"
    assert ticket.reaction_met_at == desk.clock()


async def test_a_note_ends_no_clock(desk: Desk) -> None:
    ticket_id, issued = await opened(desk)
    await desk.receive(said(sender=OLENA, trust="verified", in_reply_to=[issued]), deliveries=NOTE)
    ticket = await desk.ticket(ticket_id)
    assert (ticket.status, ticket.reaction_met_at) == ("new", None)


async def test_an_answer_is_sent_once_whatever_is_run_twice(desk: Desk) -> None:
    ticket_id, issued = await opened(desk)
    answer = said(sender=OLENA, trust="verified", in_reply_to=[issued], text="Restart it.")
    entry = await desk.accept(answer)
    await desk.file(entry, answer)
    await desk.file(entry, answer)
    replayed = await desk.replay(entry.id)
    again = await desk.file(replayed, answer)
    assert again.kind == "revised"
    assert (await desk.kinds(ticket_id)).count("reply") == 1
    assert [message.direction for message in await desk.messages(ticket_id)] == ["in", "out"]
    row = (await desk.messages(ticket_id))[-1]
    assert (row.entry_id, row.sha256) == (entry.id, entry.raw.body.sha256)


async def test_an_answer_carries_its_attachments(desk: Desk) -> None:
    ticket_id, issued = await opened(desk)
    await desk.receive(said(sender=OLENA, trust="verified", in_reply_to=[issued], files={"manual.pdf": b"%PDF"}))
    [row] = await desk.db.read(lambda conn: conn.execute(schema.attachment.select()).all())
    assert (row.filename, row.content) == ("manual.pdf", b"%PDF")
    assert row.message_id == (await desk.messages(ticket_id))[-1].id


async def test_without_a_key_of_ours_an_agents_copy_is_a_note(desk: Desk) -> None:
    ticket_id, _issued = await opened(desk)
    filed = await desk.mail(sender=OLENA, trust="verified", in_reply_to=["m1@client.example"], to=[ANN, SUPPORT])
    assert (filed.kind, filed.ticket_id) == ("note", ticket_id)
    assert (await desk.ticket(ticket_id)).reaction_met_at is None


FORWARDED = {"sender": ANN, "subject": "Help", "text": "My screen is black.", "message_id": "inner@client.example"}


async def test_a_forward_opens_a_ticket_for_the_person_forwarded(desk: Desk) -> None:
    message = said(sender=OLENA, trust="verified", subject="Fwd: Help", text="Please look.", forwarded=dict(FORWARDED))
    filed = await desk.receive(message, Assignment(class_=6), inside=Assignment(class_=4, line="L2"))
    ticket = await desk.ticket(filed.ticket_id)
    assert (ticket.requester, ticket.subject, ticket.registered_by) == (ANN, "Help", "olena")
    assert (ticket.class_, ticket.line) == (4, "L2")
    assert [(row.direction, row.text) for row in await desk.messages(filed.ticket_id)] == [
        ("in", "My screen is black."),
        ("note", "Please look."),
    ]
    assert (await desk.events(filed.ticket_id))[0].actor == "agent:olena"
    assert await desk.to(ANN) == ["acknowledgement"]
    assert await desk.to(OLENA) == []
    reply = await desk.mail(sender=ANN, in_reply_to=["inner@client.example"], trust="verified")
    assert reply.ticket_id == filed.ticket_id


async def test_a_strangers_forward_changes_nothing_by_itself(desk: Desk) -> None:
    message = said(sender="bob@client.example", text="see below", forwarded=dict(FORWARDED))
    filed = await desk.receive(message, inside=Assignment())
    ticket = await desk.ticket(filed.ticket_id)
    assert (ticket.requester, ticket.registered_by) == ("bob@client.example", None)
    assert (await desk.events(filed.ticket_id))[0].data["offered"] == [{"address": ANN, "name": ""}]


async def test_a_forward_with_our_key_is_not_sent_to_the_customer(desk: Desk) -> None:
    ticket_id, issued = await opened(desk)
    message = said(sender=OLENA, trust="verified", in_reply_to=[issued], text="fyi", forwarded=dict(FORWARDED))
    filed = await desk.receive(message, inside=Assignment())
    assert (filed.kind, filed.ticket_id) == ("note", ticket_id)


async def test_an_agents_own_request_is_a_ticket_without_acknowledgement(desk: Desk) -> None:
    filed = await desk.mail(sender=OLENA, trust="verified")
    assert (await desk.ticket(filed.ticket_id)).requester == OLENA
    assert await desk.to(OLENA) == []


async def test_what_the_desk_refuses_is_kept_for_staff(desk: Desk) -> None:
    ticket_id, issued = await opened(desk)
    filed = await desk.mail(sender=OLENA, trust="verified", in_reply_to=[issued], text="x" * 1_000_001)
    assert (filed.kind, filed.ticket_id) == ("unverified", ticket_id)
    assert len((await desk.messages(ticket_id))[-1].text) == 1_000_001


async def test_an_agents_answer_about_a_request_of_their_own_is_no_staffs_answer(desk: Desk) -> None:
    filed = await desk.mail(sender=PETRO, message_id="own@staff.example")
    ours = await desk.issued(filed.ticket_id, recipient=PETRO)
    answer = await desk.mail(sender=PETRO, message_id="own2@staff.example", in_reply_to=[ours], text="Still broken.")
    assert (answer.kind, answer.ticket_id) == ("appended", filed.ticket_id)
    assert await desk.to(PETRO) == []
    assert (await desk.ticket(filed.ticket_id)).reaction_met_at is None
    assert (await desk.events(filed.ticket_id))[-1].actor == "requester"


async def test_a_forward_of_what_we_have_already_joins_it(desk: Desk) -> None:
    """The customer's mail came to us, too: there is one request, and nothing waits for ever."""
    first = await desk.mail(sender=ANN, message_id="m1@client.example")
    inner = {"sender": ANN, "message_id": "m1@client.example", "text": "It broke."}
    forward = said(sender=OLENA, trust="verified", message_id="f1@staff.example", text="FYI", forwarded=inner)
    filed = await desk.receive(forward, inside=Assignment())
    assert (filed.kind, filed.ticket_id) == ("note", first.ticket_id)
