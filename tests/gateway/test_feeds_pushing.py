"""What is queued for a store and how it is written: order, repeats, doubt, and what a dead server left behind."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, update

from gateway import desk
from gateway.feeds import queueing
from gateway.leases import Leases
from gateway.store import feeds, hold, schema, tickets
from gateway.store.database import Database, open_database
from gateway.store.dialect import database_clock
from tests.gateway.conftest import FrozenClock
from tests.gateway.feeds_desk import Rig, feeds_context
from tests.gateway.outgoing import open_ticket
from tests.gateway.staffed import rows

LIMIT, DOUBT = timedelta(minutes=1), timedelta(minutes=1)


@pytest.fixture
def rig(db: Database, clock: FrozenClock, tmp_path: Path) -> Rig:
    return Rig(db=db, clock=clock, folder=tmp_path / "blobs", ctx=feeds_context())


async def test_a_ticket_its_messages_and_its_fields_come_in_order(rig: Rig) -> None:
    ticket = await rig.open("First")
    await rig.say(ticket, "Second")
    await rig.say(ticket, "Only for us", direction="note")
    pushing = rig.pushing()
    await rig.push(pushing)
    await rig.act(desk.reply, ticket, text="Answer")
    await rig.act(desk.set_line, ticket, line="L2", reason="engineer")
    await rig.push(pushing)
    assert rig.store.texts() == ["First", "Second", "Only for us", "Answer"]
    said = rig.store.tickets[0]["said"].values()
    assert [one["public"] for one in said] == [True, True, False, True]
    assert (rig.store.tickets[0]["status"], rig.store.tickets[0]["line"]) == ("open", "L2")
    assert {state for _, state in await rig.states()} <= {"done", "skipped"}
    # To queue again what is known queues nothing.
    await rig.write(lambda conn: queueing.ticket_changed(conn, rig.ctx, ticket, rig.clock()))
    assert await rig.push(pushing) == 0


async def test_what_changes_back_before_it_is_written_is_not_written(rig: Rig) -> None:
    ticket = await rig.open()
    pushing = rig.pushing()
    await rig.push(pushing)
    await rig.act(desk.set_line, ticket, line="L2", reason="engineer")
    await rig.act(desk.set_line, ticket, line="L1", reason="no")
    await rig.push(pushing)
    assert rig.store.calls == ["open"]
    assert await rig.states() == [("open", "done"), ("alter", "skipped")]


async def test_a_status_does_not_overtake_the_words_that_it_follows(rig: Rig) -> None:
    ticket = await rig.open()
    pushing = rig.pushing()
    await rig.push(pushing)
    await rig.act(desk.reply, ticket, text="Done, see you")  # opens it
    await rig.act(desk.note, ticket, text="A cable")
    await rig.act(desk.resolve, ticket, result="A cable")
    rig.store.fates = ["done", "done", "refused"]
    await rig.push(pushing)
    assert rig.store.calls == ["open", "say", "say", "alter"]
    assert rig.store.tickets[0]["status"] == "new", "the only change of status is the last"


async def test_a_try_without_an_answer_is_asked_for_and_not_before_it_is_surely_over(rig: Rig) -> None:
    rig.store.fates = ["done lost"]
    await rig.open()
    pushing = rig.pushing()
    await rig.push(pushing)
    rig.clock.forward(LIMIT + DOUBT - timedelta(seconds=1))
    assert await rig.push(pushing) == 0
    rig.clock.forward(timedelta(seconds=1))
    assert await rig.push(pushing) == 1
    assert rig.store.calls == ["open", "find"]
    assert len(rig.store.tickets) == 1
    assert (await rig.link(1)).number == "M0"


@pytest.mark.parametrize("fate", ["killed before", "killed after"])
async def test_what_a_dead_server_was_writing_is_asked_for_and_done_once(rig: Rig, fate: str) -> None:
    rig.store.fates = [fate]  # type: ignore[list-item]
    await rig.open()
    await rig.push(rig.pushing())
    assert await rig.states() == [("open", "sending")]
    reborn = rig.pushing()
    assert await reborn.recover() == 1
    rig.clock.forward(2 * LIMIT + DOUBT - timedelta(seconds=1))
    assert await rig.push(reborn) == 0, "not while the dead one's call may still be under way"
    rig.clock.forward(timedelta(seconds=1))
    await rig.push(reborn)
    assert await rig.states() == [("open", "done")]
    assert len(rig.store.tickets) == 1
    assert rig.store.calls.count("find") == 1


async def test_a_store_that_cannot_tell_is_asked_again(rig: Rig) -> None:
    rig.store.fates, rig.store.tells = ["done lost"], False
    await rig.open()
    pushing = rig.pushing()
    await rig.push(pushing)
    for _ in range(3):
        rig.clock.forward(timedelta(hours=1))
        await rig.push(pushing)
    rig.store.tells = True
    rig.clock.forward(timedelta(hours=1))
    await rig.push(pushing)
    assert rig.store.calls.count("open") == 1
    assert (await rig.states()) == [("open", "done")]


async def test_a_refused_write_holds_up_its_own_ticket_until_somebody_decides(rig: Rig) -> None:
    rig.store.fates = ["refused"]
    first = await rig.open("First")
    await rig.say(first, "Behind it")
    pushing = rig.pushing()
    await rig.push(pushing)
    await rig.open("Other")
    await rig.push(pushing)
    rig.clock.forward(timedelta(days=1))
    await rig.push(pushing)
    assert await rig.states() == [("open", "refused"), ("say", "waiting"), ("open", "done")]
    assert [event["what"] for event in await rig.events(first)] == ["refused"]
    refused = (await rig.rows())[0].id
    assert await rig.write(lambda conn: feeds.retry(conn, refused, rig.clock()))
    await rig.push(pushing)
    assert rig.store.texts(1) == ["First", "Behind it"]


async def test_what_is_dropped_lets_the_rest_go_on(rig: Rig) -> None:
    ticket = await rig.open("First")
    pushing = rig.pushing()
    await rig.push(pushing)
    rig.store.fates = ["refused"]
    await rig.say(ticket, "Too long")
    await rig.say(ticket, "Fine")
    await rig.push(pushing)
    refused = next(row.id for row in await rig.rows() if row.state == "refused")
    assert await rig.write(lambda conn: feeds.drop(conn, refused, rig.clock(), why="dropped"))
    await rig.push(pushing)
    assert rig.store.texts() == ["First", "Fine"]


async def test_a_write_that_never_gets_through_is_a_dead_letter(rig: Rig) -> None:
    rig.store.fates = ["retry"] * 1000
    await rig.open()
    pushing = rig.pushing()
    for _ in range(100):
        await rig.push(pushing)
        rig.clock.forward(timedelta(hours=1))
    assert await rig.states() == [("open", "dead")]
    assert pushing.troubles == {"store": "busy"}


async def test_a_store_that_is_down_is_tried_now_and_then_and_everything_goes_when_it_is_back(rig: Rig) -> None:
    rig.store.fates = ["retry"] * 8
    for _ in range(5):
        await rig.open()
    pushing = rig.pushing()
    await rig.push(pushing)
    tried = len(rig.store.calls)
    assert tried <= 5
    assert await rig.push(pushing) == 0
    while rig.store.fates:
        rig.clock.forward(timedelta(minutes=5))
        await rig.push(pushing)
    rig.clock.forward(timedelta(minutes=5))
    await rig.push(pushing)
    await asyncio.gather(*pushing._tasks)
    await rig.push(pushing)
    assert len(rig.store.tickets) == 5
    assert pushing.troubles == {}


async def test_what_is_held_after_a_restoration_is_not_written(rig: Rig) -> None:
    await rig.open()
    await rig.write(lambda conn: hold.put(conn, "restored", rig.clock()))
    pushing = rig.pushing()
    assert await rig.push(pushing) == 0
    await rig.write(hold.release)
    assert await rig.push(pushing) == 1


async def test_a_ticket_that_vanished_is_left_alone_and_the_others_go_on(rig: Rig) -> None:
    pushing = rig.pushing()
    ticket = await rig.open("First")
    await rig.push(pushing)
    other = await rig.open("Other")
    await rig.push(pushing)
    rig.store.fates = ["gone"]
    await rig.say(ticket, "Hello?")
    await rig.say(ticket, "Anybody?")
    await rig.push(pushing)
    await rig.say(other, "More")
    await rig.push(pushing)
    assert (await rig.link(ticket)).state == "vanished"
    assert rig.store.texts(1) == ["Other", "More"]
    said = (await rig.events(ticket))[-1]
    assert said["what"] == "vanished" and said["number"] == "M0"
    assert said["detail"].endswith("it goes on here alone, and nothing more of it is written there")


async def test_the_acknowledgement_is_due_when_the_store_has_given_its_number(rig: Rig) -> None:
    rig.ctx = feeds_context(wait="10m")

    def acknowledged(conn):  # type: ignore[no-untyped-def]
        table = schema.outbox
        return conn.execute(select(table.c.due_at).where(table.c.kind == "acknowledgement")).scalar_one()

    def job(conn):  # type: ignore[no-untyped-def]
        from gateway.desk import Registration, open_ticket, routed

        asked = Registration(channel="mail", account="support", requester="ann@client.example", subject="s", text="t")
        now = rig.clock()
        open_ticket(conn, rig.ctx, asked, routed(rig.ctx, asked, now), actor="agent:olena", now=now)

    await rig.write(job)
    assert await rig.db.read(acknowledged) == rig.clock() + timedelta(minutes=10)
    await rig.push(rig.pushing())
    assert await rig.db.read(acknowledged) == rig.clock()


async def test_without_feeds_nothing_is_queued(rig: Rig) -> None:
    from tests.gateway.staffed import desk_context

    rig.ctx = desk_context()
    await rig.open()
    assert await rig.db.read(lambda conn: rows(conn, "feed_link")) == []


async def test_what_nobody_announced_is_found(rig: Rig) -> None:
    first = await rig.open("First")
    await rig.write(lambda conn: queueing.catch_up(conn, rig.ctx, rig.clock()))
    await rig.write(lambda conn: rig._said(conn, first, "A robot's word"))
    assert await rig.write(lambda conn: queueing.catch_up(conn, rig.ctx, rig.clock())) == 1
    await rig.push(rig.pushing())
    assert rig.store.texts() == ["First", "A robot's word"]
    assert await rig.write(lambda conn: queueing.catch_up(conn, rig.ctx, rig.clock())) == 0


async def test_tickets_go_to_the_store_of_their_contract_and_stay_there(rig: Rig) -> None:
    rig.ctx = feeds_context(contracts=["acme"])
    stranger = await rig.open()
    covered = await rig.open(contract="acme")
    assert await rig.db.read(lambda conn: feeds.link_of(conn, stranger)) is None
    await rig.push(rig.pushing())
    await rig.act(desk.set_contract, covered, contract="borealis")
    await rig.say(covered, "Still here")
    await rig.push(rig.pushing())
    assert rig.store.texts() == ["It is broken", "Still here"]


async def test_another_node_takes_over_what_a_dead_one_was_writing(
    pg_url: str, clock: FrozenClock, tmp_path: Path
) -> None:
    shared = open_database(pg_url, readers=2)
    try:
        await _taken_over(Rig(db=shared, clock=clock, folder=tmp_path / "blobs", ctx=feeds_context()))
    finally:
        await shared.close()


async def _taken_over(rig: Rig) -> None:
    first, second = (Leases(rig.db, f"host:{name}", timedelta(hours=1)) for name in "ab")
    await first.start()
    await second.start()
    rig.store.fates = ["killed after"]
    await rig.open()
    await rig.push(rig.pushing(first))
    other = rig.pushing(second)
    assert await other.recover() == 0, "the first one lives"

    def run_out(conn: Connection) -> None:
        over = database_clock(conn) - timedelta(hours=1)
        conn.execute(update(schema.lease).where(schema.lease.c.owner == first.owner).values(until=over))

    await rig.write(run_out)
    assert await other.recover() == 1
    rig.clock.forward(2 * LIMIT + DOUBT)
    await rig.push(other)
    assert await rig.states() == [("open", "done")]
    assert rig.store.calls == ["open", "find"]


async def test_what_is_for_staff_alone_never_opens_a_ticket_there(rig: Rig) -> None:
    """Neither a note nor a message that could not be read, nor a reading that is not believed any more."""

    def note(conn: Connection) -> int:
        ticket = open_ticket(conn, rig.clock())
        tickets.add_message(
            conn, ticket, direction="note", kind="note", author="agent:olena", text="Between us", at=rig.clock()
        )
        queueing.ticket_changed(conn, rig.ctx, ticket, rig.clock())
        return ticket

    first = await rig.write(note)
    await rig.say(first, "It is broken")
    pushing = rig.pushing()
    await rig.push(pushing)
    second = await rig.open("Doubted later")
    doubted = update(schema.message).where(schema.message.c.ticket_id == second).values(verified=False)
    await rig.write(lambda conn: conn.execute(doubted))
    await rig.push(pushing)
    said = [[(one["public"], one["text"]) for one in kept["said"].values()] for kept in rig.store.tickets]
    subject = (await rig.ticket(first)).subject
    assert said == [[(True, subject), (False, "Between us"), (True, "It is broken")], [(True, subject)]]


async def test_without_notes_nothing_for_staff_alone_is_written(rig: Rig) -> None:
    rig.ctx = feeds_context(notes=False)
    ticket = await rig.open()
    await rig.say(ticket, "Between us", direction="note")
    await rig.say(ticket, "Doubted later")
    doubted = update(schema.message).where(schema.message.c.text == "Doubted later").values(verified=False)
    await rig.write(lambda conn: conn.execute(doubted))
    await rig.push(rig.pushing())
    assert rig.store.texts() == ["It is broken"]


async def test_a_dead_letter_that_is_run_again_by_hand_is_asked_for_first(rig: Rig) -> None:
    rig.ctx = feeds_context(max_age="1h")
    rig.store.fates, rig.store.tells = ["done lost"], False
    await rig.open()
    pushing = rig.pushing()
    await rig.push(pushing)
    rig.clock.forward(timedelta(hours=2))
    await rig.push(pushing)
    [row] = await rig.rows()
    assert row.state == "dead" and len(rig.store.tickets) == 1
    rig.store.tells = True
    assert await rig.write(lambda conn: feeds.retry(conn, row.id, rig.clock()))
    await rig.push(pushing)
    assert await rig.states() == [("open", "done")]
    assert len(rig.store.tickets) == 1
