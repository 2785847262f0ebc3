"""Timers fire once, check again, and one that is broken holds back none."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, select

from channels.contract import Unavailable
from gateway import timers
from gateway.context import Context
from gateway.store import schema, tickets
from gateway.store.database import Database
from gateway.store.timers import Timer
from gateway.timers import FAILURES, Timers
from tests.gateway.conftest import START, FrozenClock
from tests.gateway.outgoing import context, open_ticket
from tests.gateway.patience import PATIENCE

MINUTE = timedelta(minutes=1)


class Checked:
    """A check that notes what it saw, and leaves a trace in the ticket."""

    def __init__(self, error: Exception | None = None) -> None:
        self.seen: list[tuple[str, datetime]] = []
        self.error = error

    def __call__(self, conn: Connection, ctx: Context, timer: Timer, now: datetime) -> str:
        self.seen.append((timer.kind, now))
        tickets.add_event(conn, timer.ticket_id, at=now, actor="gateway", kind="trace", data={})
        if self.error is not None:
            raise self.error
        return "seen"


def loop_of(
    db: Database, clock: FrozenClock, checks: dict[str, timers.Check], woken: list[int] | None = None
) -> Timers:
    return Timers(db, context(), checks, clock, after=lambda: (woken if woken is not None else []).append(1))


async def put(db: Database, *kinds: str, due_at: datetime = START) -> int:
    def work(conn: Connection) -> int:
        ticket = open_ticket(conn, START)
        assert all(timers.put(conn, ticket, kind, 1, due_at, {"why": kind}) for kind in kinds)
        return ticket

    return await db.write(work)


async def stored(db: Database) -> list[tuple[str, bool, str]]:
    statement = select(schema.timer).order_by(schema.timer.c.id)
    rows = await db.read(lambda conn: conn.execute(statement).all())
    return [(row.kind, row.fired_at is not None, row.outcome) for row in rows]


async def traces(db: Database, ticket: int) -> int:
    rows = await db.read(lambda conn: tickets.history(conn, ticket))
    return sum(row.kind == "trace" for row in rows)


async def test_a_timer_of_one_kind_and_version_is_put_once(db: Database) -> None:
    ticket = await put(db, "close")
    again = await db.write(lambda conn: timers.put(conn, ticket, "close", 1, START + MINUTE))
    newer = await db.write(lambda conn: timers.put(conn, ticket, "close", 2, START + MINUTE))
    assert (again, newer) == (False, True)


async def test_it_fires_when_due_and_only_once(db: Database, clock: FrozenClock) -> None:
    check, woken = Checked(), list[int]()
    ticket = await put(db, "close", due_at=START + MINUTE)
    loop = loop_of(db, clock, {"close": check}, woken)
    assert await loop.fire() == 0 and woken == []
    clock.forward(MINUTE)
    assert await loop.fire() == 1 and await loop.fire() == 0
    assert check.seen == [("close", START + MINUTE)] and woken == [1]
    assert await stored(db) == [("close", True, "seen")] and await traces(db, ticket) == 1


async def test_a_broken_check_holds_back_nobody_and_is_given_up(db: Database, clock: FrozenClock) -> None:
    broken, good = Checked(KeyError("policy")), Checked()
    ticket = await put(db, "survey", "close")
    loop = loop_of(db, clock, {"survey": broken, "close": good})
    for _ in range(FAILURES + 2):
        await loop.fire()
        clock.forward(timedelta(hours=1))
    assert len(broken.seen) == FAILURES and len(good.seen) == 1
    (survey, fired, outcome), _ = await stored(db)
    assert (survey, fired) == ("survey", True) and outcome.startswith("given up: KeyError")
    assert await traces(db, ticket) == 1, "what a failed check wrote is rolled back"


async def test_a_kind_that_nobody_knows_is_given_up_too(db: Database, clock: FrozenClock) -> None:
    await put(db, "mystery")
    loop = loop_of(db, clock, {})
    for _ in range(FAILURES):
        await loop.fire()
        clock.forward(timedelta(hours=1))
    assert [fired for _, fired, _ in await stored(db)] == [True]


async def test_trouble_with_the_database_counts_for_nothing(db: Database, clock: FrozenClock) -> None:
    check = Checked(Unavailable("disk full"))
    await put(db, "close")
    loop = loop_of(db, clock, {"close": check})
    for _ in range(FAILURES + 1):
        with pytest.raises(Unavailable):
            await loop.fire()
    check.error = None
    await loop.fire()
    assert await stored(db) == [("close", True, "seen")]


async def test_the_loop_fires_what_a_wake_brings(db: Database, clock: FrozenClock) -> None:
    check, stop, fired = Checked(), asyncio.Event(), asyncio.Event()
    loop = Timers(db, context(), {"close": check}, clock, after=fired.set)
    task = asyncio.create_task(loop.run(stop))
    await put(db, "close")
    loop.wake()
    await asyncio.wait_for(fired.wait(), PATIENCE)
    stop.set()
    await asyncio.wait_for(task, PATIENCE)
    assert len(check.seen) == 1
