"""Every cause has one alarm when it begins, silence while it lasts, and one all-clear when it is over."""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from gateway import certificates, health
from gateway.store import outbox as table
from gateway.store import schema
from gateway.store.database import Database
from tests.gateway.conftest import START, FrozenClock
from tests.gateway.outgoing import draft
from tests.gateway.test_alerts import Watch, entry, set_state

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Cause:
    """How a trouble begins and ends."""

    alarm: str
    begin: Callable[[Database, FrozenClock], Awaitable[Any]]
    end: Callable[[Database, FrozenClock], Awaitable[Any]]


async def quarantined(db: Database, _clock: FrozenClock) -> None:
    await entry(db, "a", "quarantined", START)


async def replayed(db: Database, _clock: FrozenClock) -> None:
    await set_state(db, schema.entry, "done")


async def unfiled(db: Database, clock: FrozenClock) -> None:
    await entry(db, "a", "pending", clock())
    clock.forward(11 * MINUTE)


async def waiting(db: Database, clock: FrozenClock) -> None:
    await db.write(lambda conn: table.put(conn, draft("a"), clock()))
    clock.forward(31 * MINUTE)


async def given_up(db: Database, clock: FrozenClock) -> None:
    await db.write(lambda conn: table.put(conn, draft("a"), clock()))
    await set_state(db, schema.outbox, "dead")


async def sent(db: Database, _clock: FrozenClock) -> None:
    await set_state(db, schema.outbox, "sent")


async def dropped(db: Database, _clock: FrozenClock) -> None:
    await db.write(lambda conn: conn.execute(delete(schema.outbox).where(schema.outbox.c.kind != "alert")))


async def silent(_db: Database, clock: FrozenClock) -> None:
    clock.forward(4 * HOUR)


async def heard(db: Database, clock: FrozenClock) -> None:
    for account in ("support", "sales"):
        await entry(db, account, "done", clock(), account=account)


CAUSES = (
    Cause("quarantine", quarantined, replayed),
    Cause("journal", unfiled, replayed),
    Cause("outbox", waiting, sent),
    Cause("dead letters", given_up, dropped),
)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.alarm)
async def test_one_alarm_and_one_all_clear(db: Database, clock: FrozenClock, cause: Cause) -> None:
    watch = Watch(db, clock)
    assert await watch.look() == []
    await cause.begin(db, clock)
    assert await watch.look() == [(cause.alarm, "raised")]
    clock.forward(MINUTE)
    assert await watch.look() == [], "it lasts"
    await cause.end(db, clock)
    assert await watch.look() == [(cause.alarm, "cleared")]
    clock.forward(MINUTE)
    assert await watch.look() == []


async def test_each_silent_account_is_a_cause_of_its_own(db: Database, clock: FrozenClock) -> None:
    watch = Watch(db, clock, alerts={"silence": "4h"})
    await silent(db, clock)
    both = {"silent mail/support", "silent mail/sales"}
    assert set(await watch.look()) == {(name, "raised") for name in both}
    await heard(db, clock)
    assert set(await watch.look()) == {(name, "cleared") for name in both}


async def test_two_causes_at_once_are_two_alarms_and_end_by_themselves(db: Database, clock: FrozenClock) -> None:
    watch = Watch(db, clock)
    await quarantined(db, clock)
    await given_up(db, clock)
    assert set(await watch.look()) == {("quarantine", "raised"), ("dead letters", "raised")}
    await replayed(db, clock)
    assert await watch.look() == [("quarantine", "cleared")]
    await dropped(db, clock)
    assert await watch.look() == [("dead letters", "cleared")]


async def test_a_full_disk(db: Database, clock: FrozenClock, tmp_path: Path) -> None:
    least = [1 << 60]
    watch = Watch(db, clock, checks=[health.disk(tmp_path, lambda: least[0])])
    assert await watch.look() == [("disk", "raised")]
    least[0] = 1
    clock.forward(MINUTE)
    assert await watch.look() == [("disk", "cleared")]


@pytest.mark.services("openssl")
async def test_a_certificate_that_ends_and_is_renewed(db: Database, clock: FrozenClock, tmp_path: Path) -> None:
    clock.now = datetime.now(UTC)
    path = tmp_path / "port.pem"

    def renewed(days: int) -> None:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", str(days), "-subj", "/CN=localhost", "-keyout", str(tmp_path / "port.key"), "-out", str(path)],
            check=True, capture_output=True,
        )  # fmt: skip

    renewed(90)
    chains: list[Path] = []
    watch = Watch(db, clock, checks=[certificates.check(lambda: chains, lambda: 14 * DAY, clock)])
    assert await watch.look() == []
    chains.append(path)  # a reload has brought STARTTLS
    assert await watch.look() == []
    clock.forward(80 * DAY)
    assert await watch.look() == [("certificate", "raised")]
    renewed(120)
    clock.forward(MINUTE)
    assert await watch.look() == [("certificate", "cleared")]
