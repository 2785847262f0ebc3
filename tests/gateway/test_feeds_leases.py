"""A node that stood still has its lease again when it wakes up, but not the writes that it had claimed before."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection, update

from gateway.leases import Leases
from gateway.store.database import Database
from gateway.store.dialect import database_clock
from gateway.store.schema import lease
from tests.gateway.conftest import FrozenClock
from tests.gateway.feeds_desk import Rig, feeds_context


async def test_what_was_claimed_before_the_lease_ran_out_is_not_written_after_its_renewal(
    db: Database, clock: FrozenClock, tmp_path: Path
) -> None:
    rig, leases = Rig(db=db, clock=clock, folder=tmp_path, ctx=feeds_context()), Leases(db, "a:1:x", timedelta(hours=1))
    pushing = rig.pushing(leases)

    def ran_out(conn: Connection) -> None:
        conn.execute(update(lease).values(until=database_clock(conn) - timedelta(hours=2)))

    await leases.start()
    rig.store.fates = ["lost"]
    await rig.open()
    assert await rig.push(pushing) == 1
    clock.forward(timedelta(hours=1))
    rig.store.finding = asyncio.Event()
    assert await pushing.claim() == 1
    # It stands still while it asks whether the earlier try did it; others may do it meanwhile.
    await rig.write(ran_out)
    # The first thing it does when it wakes up is to renew.
    await leases.renew()
    assert leases.alive()
    rig.store.finding.set()
    await pushing.finish()
    assert rig.store.calls == ["open", "find"], "it has not written"
    # What is claimed from now on is its own.
    clock.forward(timedelta(hours=1))
    await rig.push(pushing)
    assert rig.store.calls == ["open", "find", "find", "open"]
    assert await rig.states() == [("open", "done")]
