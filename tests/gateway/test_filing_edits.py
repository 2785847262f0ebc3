"""Edited messages: a newer reading of the same message, whatever comes first and however often."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from gateway import desk as acts
from gateway.store import schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from tests.gateway.chat_desk import ANN, LINE, ChatDesk, chat_desk, routed
from tests.gateway.conftest import FrozenClock


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> ChatDesk:
    return chat_desk(db, blobs, clock)


async def test_an_edit_is_a_newer_reading_and_the_old_one_is_kept(desk: ChatDesk) -> None:
    first = await desk.hear("The printre burns.", 1)
    await desk.hear("Second word.", 2)
    edited = await desk.hear("The printer burns.", 1, edited=60)
    assert (edited.kind, edited.ticket_id) == ("revised", first.ticket_id)
    assert await desk.texts(first.ticket_id) == ["The printer burns.", "Second word."], "it stands where it stood"
    every = await desk.messages(first.ticket_id, every_revision=True)
    assert [row.text for row in every if not row.current] == ["The printre burns."]
    assert await desk.to(ANN) == ["acknowledgement"]


async def test_an_edit_that_comes_first_is_the_message(desk: ChatDesk) -> None:
    edited = await desk.hear("The printer burns.", 1, edited=60)
    assert edited.kind == "opened"
    before = await desk.hear("The printre burns.", 1)
    assert (before.kind, before.ticket_id) == ("revised", edited.ticket_id)
    assert await desk.texts(edited.ticket_id) == ["The printer burns."]
    assert len(await desk.messages(edited.ticket_id, every_revision=True)) == 2
    assert await desk.to(LINE) == ["staff_new"], "an older text is no news"


async def test_the_later_edit_wins_whatever_the_order(desk: ChatDesk) -> None:
    first = await desk.hear("one", 1)
    await desk.hear("three", 1, edited=30)
    await desk.hear("two", 1, edited=20)
    assert await desk.texts(first.ticket_id) == ["three"]
    await desk.hear("four", 1, edited=30)
    assert await desk.texts(first.ticket_id) == ["four"], "within one second the later entry wins"


async def test_the_same_message_under_another_id_is_no_second_one(desk: ChatDesk) -> None:
    first = await desk.hear("The printer burns.", 1)
    again = await desk.hear("The printer burns.", 1)
    assert (again.kind, again.ticket_id) == ("repeated", first.ticket_id)
    assert len(await desk.messages(first.ticket_id, every_revision=True)) == 1


@pytest.mark.parametrize("status", ["resolved", "closed"])
async def test_an_edit_reopens_nothing_and_staff_hear_of_it_once(desk: ChatDesk, status: str) -> None:
    first = await desk.hear("The printer burns.", 1)
    await desk.set_status(first.ticket_id, status)
    await desk.do(lambda conn: conn.execute(update(schema.outbox).values(state="sent")))
    desk.clock.forward(timedelta(days=3))
    for second in (10, 20, 30):
        await desk.hear(f"The printer burns, {second}.", 1, edited=second)
    assert (await desk.ticket(first.ticket_id)).status == status
    waiting = [row for row in await desk.outbox() if row.kind == "staff_message" and row.state == "waiting"]
    assert len(waiting) == 1
    assert waiting[0].due_at - desk.clock() <= desk.ctx.settings.outbox.debounce
    [shown] = await desk.messages(first.ticket_id)
    assert waiting[0].variables["message"] == shown.id, "and of what it says now"
    assert (await desk.kinds(first.ticket_id)).count("edited") == 3


async def test_an_edit_that_changes_nothing_is_no_news(desk: ChatDesk) -> None:
    first = await desk.hear("The printer burns.", 1)
    await desk.hear("The printer burns.", 1, edited=10)
    assert "edited" not in await desk.kinds(first.ticket_id)


async def test_an_edit_is_routed_until_staff_had_a_hand_in_it(desk: ChatDesk) -> None:
    first = await desk.hear("It does not work.", 1, assignment=routed(None, "L1"))
    await desk.hear("The whole site is down.", 1, edited=10, assignment=routed(3))
    ticket = await desk.ticket(first.ticket_id)
    assert (ticket.class_, ticket.line, ticket.subject) == (3, "L2", "The whole site is down.")
    await desk.do(
        lambda conn: acts.set_class(
            conn, desk.ctx, first.ticket_id, actor="agent:olena", now=desk.clock(), key="c", class_=4
        )
    )
    await desk.hear("No, only a question.", 1, edited=20, assignment=routed(6))
    assert (await desk.ticket(first.ticket_id)).class_ == 4


async def test_thanks_that_become_a_request_are_one(desk: ChatDesk) -> None:
    assert (await desk.hear("Thank you!", 1, thanks=True)).ticket_id is None
    assert (await desk.hear("Thank you, but it burns again!", 1, edited=10)).kind == "opened"


async def test_replay_and_processing_twice_change_nothing_that_is_shown(desk: ChatDesk) -> None:
    entry, message = await desk.heard("one", 1)
    edit_entry, edit = await desk.heard("two", 1, edited=10)
    first = await desk.file(entry, message)
    await desk.file(edit_entry, edit)
    assert (await desk.file(edit_entry, edit)).kind == "repeated"
    again = await desk.replay(entry.id)
    assert (await desk.file(again, message)).kind == "revised"
    assert await desk.texts(first.ticket_id) == ["two"], "a replay of the old text does not bring it back"
    assert await desk.count(schema.ticket) == 1
    again = await desk.replay(edit_entry.id)
    await desk.file(again, edit)
    assert await desk.texts(first.ticket_id) == ["two"]
