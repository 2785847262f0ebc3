"""Operators are told once of trouble, and once when it is over, by a way that is not in trouble."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update

from channels.contract import Unavailable
from gateway import health
from gateway.alerts import Alerts
from gateway.metrics import Metrics
from gateway.store import alerts, outbox, schema
from gateway.store.database import Database
from tests.gateway.conftest import START, FrozenClock
from tests.gateway.outgoing import context, draft, with_outbound

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Watch:
    """The loop's one look, and what it put into the outbox."""

    def __init__(
        self,
        db: Any,
        clock: FrozenClock,
        checks: Sequence[health.Check] = (),
        watched: Callable[[], Awaitable[Mapping[str, str]]] | None = None,
        **settings: Any,
    ) -> None:
        self.db, self.woken = db, 0
        given = {"operators": ["op@desk.example"], **settings}
        self.alerts = Alerts(
            db, context(**given), clock, checks=checks, metrics=Metrics(), after=self._wake, watched=watched
        )

    def _wake(self) -> None:
        self.woken += 1

    async def told(self) -> list[tuple[str, str]]:
        """(alert, state) of each notice to operators so far."""
        rows = [row for row in await self.db.read(lambda conn: outbox.listing(conn)) if row.kind == "alert"]
        assert {row.recipient for row in rows} <= {"op@desk.example"}
        return [(row.variables["alert"], row.variables["state"]) for row in rows]

    async def look(self) -> list[tuple[str, str]]:
        before = len(await self.told())
        await self.alerts.look()
        told = (await self.told())[before:]
        went_out = update(schema.outbox).where(schema.outbox.c.kind == "alert").values(state="sent")
        await self.db.write(lambda conn: conn.execute(went_out))
        return told


async def entry(db: Database, key: str, state: str, at: datetime, account: str = "support") -> None:
    row = {
        "channel": "mail", "account": account, "format": "mail/1", "external_id": key, "fingerprint": "0",
        "dedupe": key.encode(), "peer": "ann@client.example", "received_at": at, "accepted_at": at, "size": 1,
        "sha256": "0", "facts": {}, "state": state,
    }  # fmt: skip
    await db.write(lambda conn: conn.execute(insert(schema.entry).values(row)))


async def set_state(db: Database, table: Any, state: str) -> None:
    await db.write(lambda conn: conn.execute(update(table).values(state=state)))


async def test_when_all_is_well_nobody_is_told_and_nothing_is_written(db: Database, clock: FrozenClock) -> None:
    watch = Watch(db, clock)
    commits = db.stats.commits
    await watch.alerts.look()
    assert db.stats.commits == commits and watch.woken == 0


async def test_quarantine_is_told_once_and_again_when_it_is_empty(db: Database, clock: FrozenClock) -> None:
    watch = Watch(db, clock)
    await entry(db, "a", "quarantined", START)
    assert await watch.look() == [("quarantine", "raised")]
    clock.forward(HOUR)
    assert await watch.look() == []
    await set_state(db, schema.entry, "done")
    assert await watch.look() == [("quarantine", "cleared")]
    assert await watch.look() == [] and watch.woken == 2
    await set_state(db, schema.entry, "quarantined")
    assert await watch.look() == [("quarantine", "raised")]


async def test_a_restart_repeats_nothing(db: Database, clock: FrozenClock) -> None:
    await entry(db, "a", "quarantined", START)
    assert await Watch(db, clock).look() == [("quarantine", "raised")]
    assert await Watch(db, clock).look() == []


async def test_what_lasts_is_repeated_after_a_day(db: Database, clock: FrozenClock) -> None:
    watch = Watch(db, clock)
    await entry(db, "a", "quarantined", START)
    await watch.look()
    clock.forward(DAY - MINUTE)
    assert await watch.look() == []
    clock.forward(MINUTE)
    assert await watch.look() == [("quarantine", "repeated")]
    assert await watch.look() == []


async def test_messages_that_are_not_filed(db: Database, clock: FrozenClock) -> None:
    watch = Watch(db, clock)
    await entry(db, "a", "pending", START)
    clock.forward(9 * MINUTE)
    assert await watch.look() == []
    clock.forward(MINUTE)
    assert await watch.look() == [("journal", "raised")]


async def test_dead_letters(db: Database, clock: FrozenClock) -> None:
    watch = Watch(db, clock)
    await db.write(lambda conn: outbox.put(conn, draft("a"), START))
    await set_state(db, schema.outbox, "dead")
    assert await watch.look() == [("dead letters", "raised")]


async def test_an_account_that_sends_nothing_is_told_of_by_another(db: Database, clock: FrozenClock) -> None:
    watch = Watch(db, clock)
    await db.write(lambda conn: outbox.put(conn, draft("a"), START))
    clock.forward(30 * MINUTE)
    assert await watch.look() == []
    clock.forward(MINUTE)
    assert await watch.look() == [("outbox", "raised")]
    rows = await db.read(lambda conn: outbox.listing(conn))
    assert [row.account for row in rows if row.kind == "alert"] == ["sales"]


async def test_an_alert_that_does_not_go_out_goes_by_another_account(db: Database, clock: FrozenClock) -> None:
    watch = Watch(db, clock)
    await entry(db, "a", "quarantined", START)
    await watch.alerts.look()
    clock.forward(HOUR)
    await watch.alerts.look()
    rows = await db.read(lambda conn: outbox.listing(conn))
    assert [(row.variables["alert"], row.account) for row in rows] == [("quarantine", "support"), ("outbox", "sales")]


async def test_a_stuck_account_is_used_when_there_is_no_other(db: Database, clock: FrozenClock) -> None:
    only = {"channels": {"mail": {"support": {"addresses": ["support@desk.example"]}}}}
    watch = Watch(db, clock, **only)
    await db.write(lambda conn: outbox.put(conn, draft("a"), START))
    clock.forward(HOUR)
    assert await watch.look() == [("outbox", "raised")]


async def test_without_a_way_out_the_state_is_kept_all_the_same(db: Database, clock: FrozenClock) -> None:
    settings = with_outbound("off")
    del settings["channels"]["mail"]["sales"]
    watch = Watch(db, clock, **settings)
    await entry(db, "a", "quarantined", START)
    assert await watch.look() == []
    assert list(await db.read(alerts.standing)) == ["quarantine"]


async def test_a_silent_account(db: Database, clock: FrozenClock) -> None:
    watch = Watch(db, clock, alerts={"silence": "4h"})
    clock.forward(3 * HOUR)
    await entry(db, "a", "done", clock())
    clock.forward(HOUR)
    assert await watch.look() == [("silent mail/sales", "raised")], "four hours after the start"
    await entry(db, "b", "done", clock(), account="sales")
    assert await watch.look() == [("silent mail/sales", "cleared")]


async def test_checks_of_health_become_alerts(db: Database, clock: FrozenClock) -> None:
    trouble = ["only 3 MB free; 1024 MB are needed"]
    watch = Watch(db, clock, [health.Check(name="disk", trouble=lambda: trouble[0])])
    assert await watch.look() == [("disk", "raised")]
    trouble[0] = ""
    assert await watch.look() == [("disk", "cleared")]


class Locked:
    """A database that takes nothing while `locked`."""

    def __init__(self, db: Database) -> None:
        self._db, self.locked = db, False

    async def read(self, job: Any) -> Any:
        if self.locked:
            raise Unavailable("locked")
        return await self._db.read(job)

    async def write(self, job: Any) -> Any:
        if self.locked:
            raise Unavailable("locked")
        return await self._db.write(job)


async def test_a_database_that_took_nothing_is_told_of_when_it_is_back(db: Database, clock: FrozenClock) -> None:
    locked = Locked(db)
    watch = Watch(locked, clock)
    locked.locked = True
    await watch.alerts.look()
    clock.forward(MINUTE)
    await watch.alerts.look()
    locked.locked = False
    assert await watch.look() == [("database", "cleared")]
    (row,) = await db.read(lambda conn: outbox.listing(conn))
    assert row.variables["since"] == START.isoformat() and "locked" in row.variables["detail"]
    assert await watch.look() == []


@pytest.mark.parametrize("operators", [(), ("a@desk.example", "b@desk.example")])
async def test_every_operator_gets_one(db: Database, clock: FrozenClock, operators: tuple[str, ...]) -> None:
    watch = Watch(db, clock, operators=operators)
    await entry(db, "a", "quarantined", START)
    await watch.alerts.look()

    def recipients(conn: Connection) -> list[str]:
        return [row.recipient for row in outbox.listing(conn)]

    assert await db.read(recipients) == list(operators)
