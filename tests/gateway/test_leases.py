"""Leases that a node holds: one at a time works, a loss ends the work, and nodes hear of each other's trouble."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from sqlalchemy import Connection, select, update

from channels.contract import Unavailable
from gateway.leases import Leases
from gateway.nodes import CommonClock, common_clock
from gateway.store import leases as store
from gateway.store.database import Database
from gateway.store.dialect import database_clock
from gateway.store.schema import lease
from tests.gateway.conftest import FrozenClock
from tests.gateway.patience import PATIENCE, eventually

LENGTH = timedelta(hours=1)
"""Of a lease that must not run out here, however long the machine stands still."""
NAME = "poll"


class Worker:
    """Work that says whether it runs."""

    def __init__(self) -> None:
        self.running, self.begun, self.ended = False, asyncio.Event(), asyncio.Event()

    async def __call__(self, over: asyncio.Event) -> None:
        self.running = True
        self.begun.set()
        try:
            await over.wait()
        finally:
            self.running = False
            self.ended.set()


class Trying(Leases):
    """A node that asks often, and tells when it was refused for the third time."""

    def __init__(self, db: Database) -> None:
        super().__init__(db, "b:2:y", timedelta(seconds=0.6))
        self.refused, self.thrice = 0, asyncio.Event()

    async def take(self, name: str) -> bool:
        mine = await super().take(name)
        self.refused += not mine
        if self.refused == 3:
            self.thrice.set()
        return mine


@pytest.fixture
def nodes(db: Database) -> tuple[Leases, Leases]:
    return Leases(db, "a:1:x", LENGTH), Leases(db, "b:2:y", LENGTH)


async def until_of(db: Database, name: str) -> datetime:
    found = await db.read(lambda conn: conn.scalar(select(lease.c.until).where(lease.c.name == name)))
    assert found is not None
    return found


async def test_one_of_two_works_and_the_other_takes_over_at_its_stop(db: Database) -> None:
    def nearly_over(conn: Connection) -> None:
        conn.execute(update(lease).where(lease.c.name == NAME).values(until=database_clock(conn) + LENGTH / 2))

    stops, workers = [asyncio.Event(), asyncio.Event()], [Worker(), Worker()]
    holder, other = Leases(db, "a:1:x", LENGTH), Trying(db)
    await holder.start()
    end = asyncio.Event()
    async with asyncio.timeout(2 * PATIENCE):
        first = asyncio.create_task(holder.hold(NAME, workers[0], stops[0]))
        await workers[0].begun.wait()
        taken = await until_of(db, NAME)
        await db.write(nearly_over)
        renewing = asyncio.create_task(holder.run(end))
        await eventually(lambda: until_of(db, NAME), lambda until: until >= taken, "a renewal")
        second = asyncio.create_task(other.hold(NAME, workers[1], stops[1]))
        await other.thrice.wait()
        assert workers[0].running and not workers[1].begun.is_set(), "renewed, so it stays"
        stops[0].set()
        await first
        assert not workers[0].running
        await workers[1].begun.wait()
        stops[1].set()
        await second
        end.set()
        await renewing


async def test_a_lost_lease_ends_the_work(db: Database, nodes: tuple[Leases, Leases]) -> None:
    worker, stop = Worker(), asyncio.Event()
    async with asyncio.timeout(PATIENCE):
        holding = asyncio.create_task(nodes[0].hold(NAME, worker, stop))
        await worker.begun.wait()

        def robbed(conn: Connection) -> None:
            conn.execute(update(lease).values(owner="b:2:y", until=database_clock(conn) + timedelta(hours=1)))

        await db.write(robbed)
        await nodes[0].renew()
        await worker.ended.wait()
        assert not nodes[0].holds(NAME)
        stop.set()
        await holding
    assert await db.read(lambda conn: store.holder(conn, NAME)) == "b:2:y"


async def test_work_that_does_not_end_after_a_loss_is_cancelled(db: Database) -> None:
    time = [0.0]
    node = Leases(db, "a:1:x", timedelta(seconds=0.6), monotonic=lambda: time[0])
    begun, cancelled, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def stubborn(_over: asyncio.Event) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with asyncio.timeout(PATIENCE):
        holding = asyncio.create_task(node.hold(NAME, stubborn, stop))
        await begun.wait()
        assert not cancelled.is_set()
        time[0] = 10.0  # nothing was renewed for so long
        await cancelled.wait()
        stop.set()
        await holding


async def test_an_own_lease_that_was_forgotten_is_taken_again(db: Database, nodes: tuple[Leases, Leases]) -> None:
    await nodes[0].start()

    def aged(conn: Connection) -> None:
        conn.execute(update(lease).values(until=database_clock(conn) - store.FORGOTTEN * 2))

    await db.write(aged)
    assert await db.write(store.forget) == 1
    await nodes[0].renew()
    assert await db.read(lambda conn: conn.scalars(select(lease.c.owner)).all()) == ["a:1:x"]
    assert nodes[0].alive()


async def test_all_hear_what_is_wrong_with_one_while_it_lives(db: Database, nodes: tuple[Leases, Leases]) -> None:
    async def full() -> Mapping[str, str]:
        return {"disk": "only 3 MB free"}

    async def well() -> Mapping[str, str]:
        return {}

    for node in nodes:
        await node.start()
    nodes[0].trouble = full
    await nodes[0].renew()
    await nodes[1].renew()
    assert await db.read(store.troubles) == {"disk (a)": "only 3 MB free"}
    nodes[0].trouble = well
    await nodes[0].renew()
    assert await db.read(store.troubles) == {}
    nodes[0].trouble = full
    await nodes[0].renew()
    await nodes[0].close()
    assert await db.read(store.troubles) == {}, "a node that is gone is no trouble"


async def test_leases_are_renewed_although_what_is_wrong_cannot_be_found_out(db: Database) -> None:
    node = Leases(db, "a:1:x", timedelta(seconds=0.6))
    known = {"disk": "only 3 MB free"}

    async def full() -> Mapping[str, str]:
        return known

    async def stuck() -> Mapping[str, str]:
        await asyncio.Event().wait()
        return {}

    await node.start()
    node.trouble = full
    await node.renew()
    node.trouble = stuck
    before = await db.read(lambda conn: conn.scalar(select(lease.c.until)))
    async with asyncio.timeout(PATIENCE):
        await node.renew()
    after = await db.read(lambda conn: conn.scalar(select(lease.c.until)))
    assert before is not None and after is not None and after > before
    told = await db.read(lambda conn: conn.scalar(select(lease.c.trouble)))
    assert told == {"disk": "only 3 MB free"}, "what was said last stands"


async def test_a_clock_that_is_far_off_is_put_right_and_told(db: Database) -> None:
    by = timedelta(hours=-6)
    node, other = Leases(db, "a:1:x", LENGTH), Leases(db, "b:2:y", LENGTH)
    for each in (node, other):
        await each.start()
    clock = await common_clock(db, lambda: datetime.now(UTC) + by, node)
    assert abs(clock() - datetime.now(UTC)) < timedelta(minutes=5), "put right"
    await node.renew()
    (cause, said) = (await db.read(store.troubles)).popitem()
    assert cause == "clock (a)"
    behind = re.fullmatch(r"(\d+) s behind the database's: set it", said)
    assert behind and 21600 - 300 < int(behind[1]) <= 21600 + 1, "less what it stood still before it compared"
    by = timedelta(seconds=2)
    await node.renew()
    assert await db.read(store.troubles) == {}
    before = datetime.now(UTC)
    assert before + by <= clock() <= datetime.now(UTC) + by, "nearly right is left alone"
    own = FrozenClock()
    assert await common_clock(db, own, None) is own


async def test_a_node_that_stood_still_does_not_take_its_clock_for_wrong(db: Database) -> None:
    times = [0.0]
    node = Leases(db, "a:1:x", LENGTH, monotonic=lambda: times[0])
    await node.start()
    own = FrozenClock()
    clock = CommonClock(own)

    def compare(told: datetime, within: timedelta) -> Mapping[str, str]:
        assert within == timedelta(0)
        return {}

    node.compare = compare
    await node.renew()
    asked = own()
    own.forward(timedelta(minutes=1))
    assert clock.compare(asked, timedelta(minutes=1)) == {}, "the answer was a minute on its way"
    assert clock() == own()
    own.forward(timedelta(hours=1))
    assert clock.compare(asked, timedelta(minutes=1)) == {"clock": "3600 s ahead of the database's: set it"}
    assert clock.compare(own() + timedelta(hours=1), timedelta(minutes=1)) == {
        "clock": "3600 s behind the database's: set it"
    }


@pytest.mark.parametrize("told", [True, False])
async def test_what_was_claimed_is_others_when_the_end_of_the_lease_comes_while_it_is_renewed(
    db: Database, told: bool
) -> None:
    passed, tries = 0.0, 0

    class Slow:
        """A database whose COMMIT takes until the lease is over, and is not always told of."""

        read = staticmethod(db.read)

        async def write(self, job: Callable[[Connection], object]) -> object:
            nonlocal passed, tries
            found = await db.write(job)
            tries += 1
            if tries == 2:
                passed += LENGTH.total_seconds() + 1
                if not told:
                    raise Unavailable("the COMMIT was lost")
            return found

    leases = Leases(cast("Database", Slow()), "a:1:x", LENGTH, monotonic=lambda: passed)
    await leases.start()
    still_ours = leases.claiming()
    assert still_ours()
    if told:
        await leases.renew()
    else:
        with pytest.raises(Unavailable):
            await leases.renew()
    await leases.renew()
    assert leases.alive()
    assert not still_ours(), "for a moment it was free, and others may have taken what this node had claimed"
    assert leases.claiming()(), "what is claimed from now on is its own"
