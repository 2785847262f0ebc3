"""Filing: find or open, appending, opening, equal mails, what wakes a ticket."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from gateway.store import people, schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from normalizer.message import Message
from router.assignment import Assignment, Reason
from router.policy import Contract, Policy
from tests.gateway.conftest import FrozenClock
from tests.gateway.filing_desk import SUPPORT, Desk, context
from tests.gateway.planted import said

ANN, BOB, EVE = "ann@client.example", "bob@client.example", "eve@elsewhere.example"


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> Desk:
    return Desk(db, blobs, clock, context())


# -- opening ------------------------------------------------------------------------------


async def test_a_new_message_opens_a_ticket_with_all_that_is_known(desk: Desk) -> None:
    because = (Reason(what="class", value="2", cause="rule:server"),)
    assignment = Assignment(class_=2, confidence=0.9, line="L2", onsite=True, tags=("vip",), because=because)
    filed = await desk.receive(
        said(sender=ANN, name="Ann", subject="Server down", message_id="m1@client.example", to=[SUPPORT], cc=[BOB]),
        assignment,
    )
    ticket = await desk.ticket(filed.ticket_id)
    assert filed.kind == "opened"
    assert (ticket.requester, ticket.subject, ticket.status) == (ANN, "Server down", "new")
    assert (ticket.class_, ticket.line, ticket.onsite, ticket.tags) == (2, "L2", True, ["vip"])
    assert {"what": "class", "value": "2", "cause": "rule:server", "detail": ""} in ticket.because
    [message] = await desk.messages(filed.ticket_id)
    entry = await desk.entry(ticket.entry_id)
    assert (message.author, message.direction, message.sha256) == (ANN, "in", entry.raw.body.sha256)
    [opened] = await desk.events(filed.ticket_id)
    assert (opened.kind, opened.data["class"], opened.data["contract"]) == ("opened", 2, None)
    assert entry.state == "done"
    addresses = await desk.db.read(
        lambda conn: [(row.address, row.role) for row in conn.execute(schema.participant.select())]
    )
    assert sorted(addresses) == [(ANN, "requester"), (BOB, "cc")]


async def test_it_is_acknowledged_once(desk: Desk) -> None:
    filed = await desk.mail(sender=ANN, message_id="m1@client.example")
    assert await desk.to(ANN) == ["acknowledgement"]
    ticket = await desk.ticket(filed.ticket_id)
    entry = await desk.entry(ticket.entry_id)
    again = await desk.file(entry, said(sender=ANN, message_id="m1@client.example"))
    assert again.ticket_id == filed.ticket_id
    assert await desk.count(schema.ticket) == 1
    assert await desk.count(schema.message) == 1
    assert await desk.to(ANN) == ["acknowledgement"]


async def test_several_different_mails_of_one_person_are_several_tickets(desk: Desk) -> None:
    first = await desk.mail(sender=ANN, message_id="m1@client.example", text="printer")
    second = await desk.mail(sender=ANN, message_id="m2@client.example", text="monitor")
    assert first.ticket_id != second.ticket_id


async def test_a_mail_without_from_takes_the_envelope_sender(desk: Desk) -> None:
    filed = await desk.receive(said(sender=""), facts={"mail_from": ANN}, peer=ANN)
    assert (await desk.ticket(filed.ticket_id)).requester == ANN


async def test_a_mail_from_nobody_opens_a_ticket_that_nobody_is_told_of(desk: Desk) -> None:
    filed = await desk.receive(said(sender=""), facts={}, peer="")
    assert (await desk.ticket(filed.ticket_id)).requester == ""
    assert "" not in [row.recipient for row in await desk.outbox()]


async def test_other_names_are_only_offered(desk: Desk) -> None:
    filed = await desk.mail(sender=ANN, reply_to=[BOB])
    assert (await desk.ticket(filed.ticket_id)).requester == ANN
    [opened] = await desk.events(filed.ticket_id)
    assert opened.data["offered"] == [{"address": BOB, "name": ""}]


# -- language -----------------------------------------------------------------------------


async def test_the_language_is_the_persons_own_then_the_contracts_then_the_guess(desk: Desk) -> None:
    ukrainian = {"language": "uk", "language_sure": True}
    first = await desk.mail(sender=ANN, **ukrainian)
    assert (await desk.ticket(first.ticket_id)).language == "uk"
    unsure = await desk.mail(sender=BOB, language="ru", text="ok")
    assert (await desk.ticket(unsure.ticket_id)).language == "en"

    contact_id = (await desk.ticket(first.ticket_id)).requester_id
    await desk.do(lambda conn: people.set_language(conn, contact_id, "ru"))
    second = await desk.mail(sender=ANN, **ukrainian, text="another")
    assert (await desk.ticket(second.ticket_id)).language == "ru"
    remembered = await desk.do(lambda conn: people.get(conn, contact_id).language)
    assert remembered == "ru", "a guess changes no remembered choice"

    contract = Contract(key="acme", calendar="x", language="ru", domains=("client.example",))
    desk.ctx = context(Policy(contracts={"acme": contract}))
    third = await desk.receive(said(sender=BOB, **ukrainian), Assignment(contract="acme"))
    assert (await desk.ticket(third.ticket_id)).language == "ru"


# -- threads (rule 7) ---------------------------------------------------------------------


async def test_a_reply_joins_the_ticket(desk: Desk) -> None:
    first = await desk.mail(sender=ANN, message_id="m1@client.example")
    issued = await desk.issued(first.ticket_id)
    reply = await desk.mail(sender=ANN, message_id="m2@client.example", in_reply_to=[issued])
    assert (reply.kind, reply.ticket_id) == ("appended", first.ticket_id)


async def test_a_reply_before_its_parent_joins_it(desk: Desk) -> None:
    reply = await desk.mail(
        sender=BOB, message_id="m2@client.example", in_reply_to=["m1@client.example"], references=["m1@client.example"]
    )
    parent = await desk.mail(sender=ANN, message_id="m1@client.example")
    assert parent.ticket_id == reply.ticket_id
    assert await desk.count(schema.ticket) == 1


async def test_two_messages_of_one_conversation_at_once_make_one_ticket(desk: Desk) -> None:
    events = [
        said(sender=ANN, message_id=f"m{number}@client.example", references=["root@client.example"])
        for number in range(8)
    ]
    entries = [await desk.accept(event) for event in events]
    filed = await asyncio.gather(*(desk.file(entry, event) for entry, event in zip(entries, events, strict=True)))
    assert len({one.ticket_id for one in filed}) == 1
    assert await desk.count(schema.message) == 8


async def test_a_long_message_id_is_still_a_key(desk: Desk) -> None:
    long = "x" * 2000 + "@client.example"
    first = await desk.mail(sender=ANN, message_id=long)
    second = await desk.mail(sender=ANN, message_id="m2@client.example", references=[long])
    assert second.ticket_id == first.ticket_id


async def test_an_issued_key_is_stronger_than_a_seen_one(desk: Desk) -> None:
    one = await desk.mail(sender=ANN, message_id="m1@client.example")
    two = await desk.mail(sender=ANN, message_id="m2@client.example", text="other")
    issued = await desk.issued(two.ticket_id)
    reply = await desk.mail(sender=ANN, message_id="m3@client.example", references=["m1@client.example", issued])
    assert reply.ticket_id == two.ticket_id
    related = (await desk.ticket(two.ticket_id)).related
    assert related == [(await desk.ticket(one.ticket_id)).number]


async def test_one_message_id_with_two_contents_loses_neither(desk: Desk) -> None:
    first = await desk.mail(sender=ANN, message_id="m1@client.example", text="one")
    second = await desk.mail(sender=EVE, message_id="m1@client.example", text="two")
    assert second.ticket_id == first.ticket_id
    assert [message.text for message in await desk.messages(first.ticket_id)] == ["one", "two"]
    assert second.kind == "unverified"


async def test_a_ticket_number_alone_opens_a_related_ticket(desk: Desk) -> None:
    first = await desk.mail(sender=ANN, message_id="m1@client.example")
    number = (await desk.ticket(first.ticket_id)).number
    second = await desk.mail(sender=ANN, thread_keys=[f"ticket_number:{number}", "ticket_number:99999999"])
    assert second.ticket_id != first.ticket_id
    assert (await desk.ticket(second.ticket_id)).related == [number]


# -- equal mails without a Message-ID ------------------------------------------------------


async def test_equal_mails_without_an_id_within_minutes_are_one_ticket(desk: Desk, clock: FrozenClock) -> None:
    first = await desk.mail(sender=ANN, subject="Help", text="again")
    clock.forward(timedelta(minutes=2))
    second = await desk.mail(sender=ANN, subject="Help", text="again")
    assert (second.kind, second.ticket_id) == ("joined", first.ticket_id)
    assert len(await desk.messages(first.ticket_id)) == 2
    assert await desk.to(ANN) == ["acknowledgement"]
    other = await desk.mail(sender=ANN, subject="Help", text="something else")
    assert other.ticket_id != first.ticket_id


async def test_equal_mails_without_an_id_after_an_hour_are_two(desk: Desk, clock: FrozenClock) -> None:
    first = await desk.mail(sender=ANN, text="again")
    clock.forward(timedelta(hours=1))
    second = await desk.mail(sender=ANN, text="again")
    assert second.ticket_id != first.ticket_id


# -- what wakes a ticket ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "thanks", "files", "after", "kind"),
    [
        ("new", False, {}, "new", "message"),
        ("open", False, {}, "open", "message"),
        ("held", False, {}, "held", "message"),
        ("waiting", False, {}, "open", "message"),
        ("waiting", True, {}, "waiting", "message"),
        ("resolved", False, {}, "open", "reopened"),
        ("resolved", True, {}, "resolved", "message"),
        ("resolved", True, {"screen.png": b"x"}, "open", "reopened"),
        ("closed", False, {}, "open", "reopened"),
        ("closed", True, {}, "closed", "message"),
    ],
)
async def test_an_answer_wakes_what_sleeps(
    desk: Desk, status: str, thanks: bool, files: dict[str, bytes], after: str, kind: str
) -> None:
    first = await desk.mail(sender=ANN, message_id="m1@client.example")
    issued = await desk.issued(first.ticket_id)
    await desk.set_status(first.ticket_id, status)
    await desk.mail(sender=ANN, in_reply_to=[issued], thanks=thanks, files=files)
    assert (await desk.ticket(first.ticket_id)).status == after
    event = (await desk.events(first.ticket_id))[-1]
    assert event.kind == kind
    assert event.data.get("status") == ([status, after] if status != after else None)


async def test_every_message_is_in_exactly_one_current_ticket_message(desk: Desk) -> None:
    first = await desk.mail(sender=ANN, message_id="m1@client.example")
    await desk.mail(sender=EVE, references=["m1@client.example"])
    await desk.mail(sender=BOB, text="x")
    await desk.mail(sender=BOB, text="x")
    assert first.ticket_id is not None
    rows = await desk.db.read(lambda conn: conn.execute(schema.message.select()).all())
    entries = await desk.db.read(lambda conn: conn.execute(schema.entry.select()).all())
    assert sorted(row.sha256 for row in rows if row.current) == sorted(row.sha256 for row in entries)


async def test_the_journal_says_what_an_entry_became(desk: Desk) -> None:
    filed = await desk.mail(sender=ANN)
    [row] = await desk.db.read(lambda conn: conn.execute(schema.entry.select()).all())
    assert row.state == "done"
    assert row.outcome["kind"] == "opened"
    assert row.outcome["ticket"] == (await desk.ticket(filed.ticket_id)).number


def test_a_message_with_hundreds_of_references_names_the_first_and_the_last() -> None:
    from gateway.filing_threads import REFERENCES, named_keys

    message: Message = said(references=[f"r{number}@x.example" for number in range(500)])
    keys = [value for _kind, value in named_keys(message)]
    assert len(keys) == REFERENCES
    assert {"r0@x.example", "r499@x.example"} <= set(keys)
