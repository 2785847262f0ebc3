"""Tickets that are held, as suspected spam is, get into the desk's store when staff release them, and else never."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from gateway import desk
from gateway.feeds import queueing
from gateway.store import feeds
from gateway.store.database import Database
from tests.gateway.conftest import FrozenClock
from tests.gateway.feeds_desk import Rig, feeds_context
from tests.mailboxes.desk import until

LONG = timedelta(minutes=10)
"""Longer than any pause of a store that failed once, or of a try in doubt."""


@pytest.fixture
def rig(db: Database, clock: FrozenClock, tmp_path: Path) -> Rig:
    return Rig(db=db, clock=clock, folder=tmp_path / "blobs", ctx=feeds_context())


async def hold(rig: Rig, ticket: int) -> None:
    await rig.act(desk.set_status, ticket, key="hold", status="held")


async def release(rig: Rig, ticket: int) -> None:
    await rig.act(desk.set_status, ticket, key="release", status="open")


async def throw_away(rig: Rig, ticket: int) -> None:
    await rig.act(desk.close, ticket, key="away")


async def linked(rig: Rig, ticket: int) -> bool:
    return await rig.db.read(lambda conn: feeds.link_of(conn, ticket)) is not None


async def test_a_held_ticket_waits_for_staff_and_comes_whole(rig: Rig) -> None:
    ticket = await rig.open("First", status="held")
    await rig.say(ticket, "Second")
    await rig.act(desk.note, ticket, text="Is it spam?", key="note")
    await rig.write(lambda conn: queueing.catch_up(conn, rig.ctx, rig.clock()))
    await rig.say(ticket, "Third")
    await rig.write(lambda conn: queueing.catch_up(conn, rig.ctx, rig.clock()))
    pushing = rig.pushing()
    assert await rig.push(pushing) == 0 and not await linked(rig, ticket)
    await release(rig, ticket)
    await rig.push(pushing)
    assert rig.store.texts() == ["First", "Second", "Is it spam?", "Third"]
    assert rig.store.tickets[0]["status"] == "open"


async def test_a_held_ticket_that_is_thrown_away_never_gets_there(rig: Rig) -> None:
    ticket = await rig.open(status="held")
    await throw_away(rig, ticket)
    await rig.say(ticket, "Buy more of it")
    assert await rig.push(rig.pushing()) == 0 and not await linked(rig, ticket)


async def test_a_desk_that_wants_them_gets_them_at_once(rig: Rig) -> None:
    rig.ctx = feeds_context(held="push")
    ticket = await rig.open(status="held")
    await rig.push(rig.pushing())
    assert rig.store.tickets[0]["status"] == "held"
    await throw_away(rig, ticket)
    await rig.push(rig.pushing())
    assert rig.store.tickets[0]["status"] == "closed"


@pytest.mark.parametrize("tries", [0, 1])
async def test_what_is_held_before_the_store_could_take_it_is_not_written(rig: Rig, tries: int) -> None:
    ticket, other = await rig.open("First"), await rig.open("Other")
    await rig.say(ticket, "Behind it")
    pushing = rig.pushing()
    rig.store.fates = ["retry", "retry"]
    for _ in range(tries):
        await rig.push(pushing)
    await hold(rig, ticket)
    assert not await linked(rig, ticket)
    rig.clock.forward(LONG)
    rig.store.fates = []
    await rig.push(pushing)
    assert rig.store.texts() == ["Other"] and len(rig.store.tickets) == 1
    await release(rig, ticket)
    await rig.push(pushing)
    assert rig.store.texts(1) == ["First", "Behind it"]
    assert (await rig.link(ticket)).number == "M1" and (await rig.link(other)).number == "M0"


async def test_what_is_held_while_it_is_tried_is_not_tried_again(rig: Rig) -> None:
    ticket = await rig.open("First")
    await rig.say(ticket, "Behind it")
    pushing = rig.pushing()
    rig.store.fates, rig.store.gate = ["retry"], asyncio.Event()
    assert await pushing.claim() == 1
    await until(lambda: rig.store.calls == ["open"], "the try", 60)
    await hold(rig, ticket)
    assert await linked(rig, ticket), "it may be there in a moment"
    rig.store.gate.set()
    await asyncio.gather(*pushing._tasks)
    assert not await linked(rig, ticket)
    rig.clock.forward(LONG)
    assert await rig.push(pushing) == 0
    await release(rig, ticket)
    await rig.push(pushing)
    assert rig.store.texts() == ["First", "Behind it"]


async def test_what_is_held_between_the_claim_and_the_try_is_not_tried(rig: Rig) -> None:
    ticket = await rig.open("First")
    pushing = rig.pushing()
    [row] = await rig.rows()
    [claimed] = await rig.write(lambda conn: feeds.claim(conn, [row.id], pushing._owner, rig.clock()))
    await hold(rig, ticket)
    pushing._sending[row.id] = "store"
    await pushing._carry_out(claimed, lambda: True)
    assert not rig.store.calls and not await linked(rig, ticket)


async def test_a_try_in_doubt_that_did_nothing_is_not_repeated_for_a_held_ticket(rig: Rig) -> None:
    ticket = await rig.open("First")
    pushing = rig.pushing()
    rig.store.fates = ["lost"]
    await rig.push(pushing)
    await hold(rig, ticket)
    assert await linked(rig, ticket), "it may be there"
    rig.clock.forward(LONG)
    await rig.push(pushing)
    assert rig.store.calls == ["open", "find"] and not await linked(rig, ticket)
    await release(rig, ticket)
    await rig.push(pushing)
    assert rig.store.texts() == ["First"] and len(rig.store.tickets) == 1


async def test_a_try_in_doubt_that_did_nothing_is_not_repeated_for_what_was_thrown_away(rig: Rig) -> None:
    ticket = await rig.open("First")
    pushing = rig.pushing()
    rig.store.fates = ["lost"]
    await rig.push(pushing)
    await hold(rig, ticket)
    await throw_away(rig, ticket)
    rig.clock.forward(LONG)
    await rig.push(pushing)
    assert rig.store.calls == ["open", "find"] and not await linked(rig, ticket)
    assert await rig.push(pushing) == 0 and not rig.store.tickets


async def test_what_is_thrown_away_while_it_is_tried_is_not_tried_again(rig: Rig) -> None:
    ticket = await rig.open("First")
    pushing = rig.pushing()
    rig.store.fates, rig.store.gate = ["retry"], asyncio.Event()
    assert await pushing.claim() == 1
    await until(lambda: rig.store.calls == ["open"], "the try", 60)
    await hold(rig, ticket)
    await throw_away(rig, ticket)
    rig.store.gate.set()
    await asyncio.gather(*pushing._tasks)
    rig.clock.forward(LONG)
    assert await rig.push(pushing) == 0 and not await linked(rig, ticket)


async def test_what_waits_for_the_store_since_another_setting_does_not_get_there_when_it_is_thrown_away(
    rig: Rig,
) -> None:
    """As after an upgrade, or a reload, while the store is away."""
    rig.ctx = feeds_context(held="push")
    ticket = await rig.open("First", status="held")
    rig.store.fates = ["retry"]
    await rig.push(rig.pushing())
    rig.ctx = feeds_context()
    await throw_away(rig, ticket)
    rig.clock.forward(LONG)
    assert await rig.push(rig.pushing()) == 0 and not await linked(rig, ticket)


async def test_a_request_that_is_closed_while_the_store_is_away_gets_there(rig: Rig) -> None:
    """It was held once, but staff released it."""
    ticket = await rig.open("First", status="held")
    await release(rig, ticket)
    rig.store.fates = ["retry"]
    await rig.push(rig.pushing())
    await throw_away(rig, ticket)
    rig.clock.forward(LONG)
    await rig.push(rig.pushing())
    assert rig.store.texts() == ["First"] and rig.store.tickets[0]["status"] == "closed"


async def test_a_try_in_doubt_that_did_it_is_found_and_told_of_the_hold(rig: Rig) -> None:
    ticket = await rig.open("First")
    pushing = rig.pushing()
    rig.store.fates = ["done lost"]
    await rig.push(pushing)
    await hold(rig, ticket)
    rig.clock.forward(LONG)
    await rig.push(pushing)
    assert rig.store.calls == ["open", "find", "alter"] and rig.store.tickets[0]["status"] == "held"


async def test_a_ticket_that_is_there_is_kept_in_step_when_staff_hold_it(rig: Rig) -> None:
    ticket = await rig.open("First")
    pushing = rig.pushing()
    await rig.push(pushing)
    await hold(rig, ticket)
    await rig.say(ticket, "Second")
    await rig.push(pushing)
    assert rig.store.tickets[0]["status"] == "held" and rig.store.texts() == ["First", "Second"]
    await throw_away(rig, ticket)
    await rig.push(pushing)
    assert rig.store.tickets[0]["status"] == "closed"
