"""Which ticket a message of a chat belongs to, and who may write there."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, update

from gateway import desk as acts
from gateway import survey_asking
from gateway.rendering import render
from gateway.store import outbox, schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from normalizer.message import Notice
from tests.gateway.chat_desk import ANN, BOB, GROUP, LINE, ChatDesk, chat_desk, key
from tests.gateway.conftest import FrozenClock

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> ChatDesk:
    return chat_desk(db, blobs, clock)


async def rendered(desk: ChatDesk, row_id: int) -> Notice:
    """The notice as its sender gets it."""

    def job(conn: Connection) -> Notice:
        row = outbox.get(conn, row_id)
        assert row is not None
        return render(conn, desk.ctx, row, desk.blobs)

    return await desk.db.read(job)


async def test_a_burst_is_one_ticket_with_one_acknowledgement_whatever_the_order(desk: ChatDesk) -> None:
    entries = [await desk.heard(f"piece {number}", number) for number in (1, 2, 3)]
    filed = [await desk.file(*entries[index]) for index in (1, 0, 2)]
    assert len({one.ticket_id for one in filed}) == 1
    assert sorted(await desk.texts(filed[0].ticket_id)) == ["piece 1", "piece 2", "piece 3"]
    assert await desk.to(ANN) == ["acknowledgement"]
    [acknowledgement] = [row for row in await desk.outbox() if row.recipient == ANN]
    assert acknowledgement.due_at - desk.clock() == timedelta(seconds=3)
    assert acknowledgement.destination == {"chat": 101}
    again = [await desk.file(*entry) for entry in entries]
    assert {one.kind for one in again} == {"repeated"}
    assert len(await desk.texts(filed[0].ticket_id)) == 3


async def test_pieces_filed_at_once_are_one_ticket(desk: ChatDesk) -> None:
    entries = [await desk.heard(f"piece {number}", number) for number in range(6)]
    filed = await asyncio.gather(*(desk.file(*entry) for entry in entries))
    assert len({one.ticket_id for one in filed}) == 1
    assert sorted(await desk.texts(filed[0].ticket_id)) == [f"piece {number}" for number in range(6)]
    assert await desk.to(ANN) == ["acknowledgement"]


async def test_the_ticket_knows_its_place(desk: ChatDesk) -> None:
    filed = await desk.hear("The printer is on fire.\nPlease come.", 1)
    ticket = await desk.ticket(filed.ticket_id)
    assert ticket.conversation == {"id": ANN, "private": True, "answer_to": {"chat": 101}, "person": ANN}
    assert ticket.subject == "The printer is on fire."
    [message] = await desk.messages(filed.ticket_id)
    assert message.external_key == key(1)


async def test_a_conversation_goes_on_within_its_window(desk: ChatDesk) -> None:
    first = await desk.hear("The printer is on fire.", 1)
    desk.clock.forward(23 * HOUR)
    assert (await desk.hear("Still burning.", 2)).ticket_id == first.ticket_id
    desk.clock.forward(23 * HOUR)
    assert (await desk.hear("And now?", 3)).ticket_id == first.ticket_id
    desk.clock.forward(25 * HOUR)
    assert (await desk.hear("The lamp is broken.", 4)).kind == "opened"


async def test_our_word_keeps_a_conversation_fresh(desk: ChatDesk) -> None:
    first = await desk.hear("The printer is on fire.", 1)
    desk.clock.forward(2 * DAY)
    await desk.sent(first.ticket_id, "reply", key(50))
    desk.clock.forward(HOUR)
    assert (await desk.hear("Thank you, but it burns again.", 2)).ticket_id == first.ticket_id


async def test_a_late_acknowledgement_changes_no_subject(desk: ChatDesk) -> None:
    first = await desk.hear("The printer is on fire.", 1)
    desk.clock.forward(2 * DAY)
    second = await desk.hear("The lamp is broken.", 2)
    late = update(schema.outbox).where(schema.outbox.c.ticket_id == first.ticket_id, schema.outbox.c.recipient == ANN)
    now = desk.clock() + HOUR
    await desk.do(lambda conn: conn.execute(late.values(state="sent", sending_at=now)))
    desk.clock.forward(2 * HOUR)
    assert (await desk.hear("It flickers.", 3)).ticket_id == second.ticket_id


async def test_it_goes_on_with_the_ticket_that_was_talked_about_last(desk: ChatDesk) -> None:
    first = await desk.hear("The printer is on fire.", 1)
    desk.clock.forward(2 * DAY)
    second = await desk.hear("The lamp is broken.", 2)
    assert second.ticket_id != first.ticket_id
    desk.clock.forward(HOUR)
    await desk.sent(first.ticket_id, "question", key(51))
    desk.clock.forward(HOUR)
    assert (await desk.hear("It is a laser printer.", 3)).ticket_id == first.ticket_id
    assert (await desk.hear("About the lamp.", 4, answers=key(2))).ticket_id == second.ticket_id
    assert (await desk.hear("It flickers.", 5)).ticket_id == second.ticket_id


async def test_an_answer_to_our_message_belongs_to_its_ticket_however_old(desk: ChatDesk) -> None:
    first = await desk.hear("The printer is on fire.", 1)
    await desk.sent(first.ticket_id, "acknowledgement", key(50))
    await desk.set_status(first.ticket_id, "closed")
    desk.clock.forward(30 * DAY)
    filed = await desk.hear("It burns again.", 2, answers=key(50))
    assert (filed.kind, filed.ticket_id) == ("appended", first.ticket_id)
    assert (await desk.ticket(first.ticket_id)).status == "open"
    assert "reopened" in await desk.kinds(first.ticket_id)


@pytest.mark.parametrize(("status", "same"), [("waiting", True), ("resolved", True), ("held", True), ("closed", False)])
async def test_a_closed_ticket_is_not_gone_on_with(desk: ChatDesk, status: str, same: bool) -> None:
    first = await desk.hear("The printer is on fire.", 1)
    await desk.set_status(first.ticket_id, status)
    filed = await desk.hear("Another word.", 2)
    assert (filed.ticket_id == first.ticket_id) is same
    after = {"waiting": "open", "resolved": "open"}.get(status, status)
    assert (await desk.ticket(first.ticket_id)).status == after


async def test_thanks_open_nothing_and_wake_nothing(desk: ChatDesk) -> None:
    nothing = await desk.hear("Hello!", 1, thanks=True)
    assert (nothing.kind, nothing.ticket_id) == ("thanks", None)
    assert await desk.count(schema.ticket) == 0
    first = await desk.hear("The printer is on fire.", 2)
    await desk.set_status(first.ticket_id, "resolved")
    desk.clock.forward(5 * DAY)
    thanks = await desk.hear("Thank you!", 3, thanks=True)
    assert thanks.ticket_id == first.ticket_id
    assert (await desk.ticket(first.ticket_id)).status == "resolved"
    desk.clock.forward(HOUR)
    assert (await desk.hear("The lamp is broken.", 4)).kind == "opened", "thanks keep no conversation fresh"


async def test_people_in_a_group_have_tickets_of_their_own(desk: ChatDesk) -> None:
    ann = await desk.hear("The printer is on fire.", 1, group=True)
    bob = await desk.hear("The lamp is broken.", 2, group=True, who=BOB)
    assert ann.ticket_id != bob.ticket_id
    private = await desk.hear("Something private.", 3)
    assert private.ticket_id not in (ann.ticket_id, bob.ticket_id)
    assert (await desk.hear("It smokes.", 4, group=True)).ticket_id == ann.ticket_id


async def test_what_we_asked_in_private_about_a_group_is_answered_by_a_vote_only(desk: ChatDesk) -> None:
    ann = await desk.hear("The printer is on fire.", 1, group=True)
    await desk.set_status(ann.ticket_id, "resolved")
    ticket = await desk.ticket(ann.ticket_id)
    await desk.do(lambda conn: survey_asking.open_survey(conn, desk.ctx, ticket, desk.clock()))
    await desk.sent(ann.ticket_id, "survey", key(50), destination={"chat": int(ANN)})
    vote = await desk.hear("5", 2, rating=5)
    assert (vote.kind, vote.ticket_id) == ("rating", ann.ticket_id)
    assert (await desk.ticket(ann.ticket_id)).status == "resolved"
    assert (await desk.hear("My password is in the drawer.", 3)).kind == "opened"


async def test_who_is_no_part_of_a_ticket_writes_there_for_staff_only(desk: ChatDesk) -> None:
    ann = await desk.hear("The printer is on fire.", 1, group=True)
    await desk.sent(ann.ticket_id, "resolved", key(50, GROUP))
    await desk.set_status(ann.ticket_id, "resolved")
    stranger = await desk.hear("Mine burns too.", 2, group=True, who=BOB, answers=key(50, GROUP))
    assert (stranger.kind, stranger.ticket_id) == ("unverified", ann.ticket_id)
    assert (await desk.ticket(ann.ticket_id)).status == "resolved"
    assert await desk.to(BOB) == []
    assert (await desk.hear("What shall I do?", 3, group=True, who=BOB)).kind == "opened", "a ticket of his own"
    own = await desk.hear("It burns again.", 4, group=True, answers=key(50, GROUP))
    assert (own.kind, own.ticket_id) == ("appended", ann.ticket_id)
    assert (await desk.ticket(ann.ticket_id)).status == "open"


async def test_from_a_private_chat_nobody_answers_what_was_said_to_another_in_a_group(desk: ChatDesk) -> None:
    ann = await desk.hear("The printer is on fire.", 1, group=True)
    await desk.sent(ann.ticket_id, "resolved", key(50, GROUP))
    await desk.set_status(ann.ticket_id, "resolved")
    stranger = await desk.hear("It still burns, send somebody!", 2, who=BOB, answers=key(50, GROUP))
    assert (stranger.kind, stranger.ticket_id) == ("unverified", ann.ticket_id)
    assert (await desk.ticket(ann.ticket_id)).status == "resolved"
    own = await desk.hear("It does not.", 3, answers=key(50, GROUP))
    assert (own.kind, own.ticket_id) == ("appended", ann.ticket_id)


async def test_what_names_a_message_being_sent_waits_for_its_name(desk: ChatDesk) -> None:
    first = await desk.hear("The printer is on fire.", 1)
    row = await desk.sent(first.ticket_id, "reply", key(50))
    await desk.do(lambda conn: conn.execute(update(schema.outbox).values(state="sending")))
    entry, message = await desk.heard("Yes.", 2, answers=key(51), answers_us=True)
    assert (await desk.file(entry, message)).kind == "later"
    assert row.ticket_id == first.ticket_id
    desk.clock.forward(timedelta(seconds=11))
    assert (await desk.file(entry, message)).ticket_id == first.ticket_id, "and is not held for ever"


async def test_a_reply_to_a_group_goes_to_the_group_once_and_to_nobody_elses_chat(desk: ChatDesk) -> None:
    ann = await desk.hear("The printer is on fire.", 1, group=True)
    await desk.hear("It smokes.", 2, group=True)
    await desk.hear("Mine does not.", 3, group=True, who=BOB)
    await desk.do(
        lambda conn: acts.reply(
            conn, desk.ctx, ann.ticket_id, actor="agent:olena", now=desk.clock(), key="r1", text="We come."
        )
    )
    [reply] = [row for row in await desk.outbox() if row.kind == "reply"]
    assert (reply.recipient, reply.destination) == (ANN, {"chat": int(GROUP)})
    notice = await rendered(desk, reply.id)
    assert (notice.answers, notice.destination) == (key(2, GROUP), {"chat": int(GROUP)})
    await desk.do(
        lambda conn: acts.set_requester(
            conn, desk.ctx, ann.ticket_id, actor="agent:olena", now=desk.clock(), key="r2",
            address="carol@client.example", name="Carol",
        )
    )  # fmt: skip
    [told] = [row for row in await desk.outbox() if row.recipient == "carol@client.example"]
    assert told.destination is None, "not into the former requester's chat"


async def test_a_group_never_gets_the_link_by_which_the_requester_looks_at_the_ticket(desk: ChatDesk) -> None:
    for group in (False, True):
        ticket = (await desk.hear("The printer is on fire.", 1, group=group)).ticket_id
        assert ticket is not None
        said: dict[str, Any] = {"actor": "agent:olena", "now": desk.clock(), "key": f"r{ticket}", "text": "We come."}
        await desk.do(partial(acts.reply, ctx=desk.ctx, ticket_id=ticket, **said))
        row = [row for row in await desk.outbox() if row.kind == "reply"][-1]
        notice = await rendered(desk, row.id)
        assert notice.destination == {"chat": int(GROUP if group else ANN)}
        assert bool(notice.link) is not group, "everybody there could open it, and act in the requester's name"


async def test_in_private_an_answer_stands_alone(desk: ChatDesk) -> None:
    await desk.hear("The printer is on fire.", 1)
    [row] = [row for row in await desk.outbox() if row.recipient == ANN]
    notice = await rendered(desk, row.id)
    assert (notice.answers, notice.destination) == ("", {"chat": 101})


async def test_staff_hear_of_each_ticket(desk: ChatDesk) -> None:
    await desk.hear("The printer is on fire.", 1)
    assert await desk.to(LINE) == ["staff_new"]


async def test_mail_has_no_conversation(desk: ChatDesk) -> None:
    filed = await desk.mail(sender="ann@client.example", message_id="1@client.example")
    assert (await desk.ticket(filed.ticket_id)).conversation is None
    assert (await desk.outbox())[-1].destination is None
