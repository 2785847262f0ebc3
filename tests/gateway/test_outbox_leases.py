"""A node that stood still has its lease again when it wakes up, but not what it had claimed before."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from random import Random

from sqlalchemy import Connection, update

from gateway.capture import CaptureSender
from gateway.leases import Leases
from gateway.metrics import Metrics
from gateway.outbox import Outbox
from gateway.store import claims, outbox
from gateway.store.database import Database
from gateway.store.dialect import database_clock
from gateway.store.outbox import Row
from gateway.store.schema import lease
from normalizer.message import Notice
from tests.gateway.conftest import FrozenClock
from tests.gateway.outgoing import ScriptedSender, Told, context, draft, render

OTHER = "b:2:y"


async def test_what_was_claimed_before_the_lease_ran_out_is_not_sent_after_its_renewal(
    db: Database, clock: FrozenClock, tmp_path: Path
) -> None:
    leases, sender, goes_on = Leases(db, "a:1:x", timedelta(hours=1)), ScriptedSender(), threading.Event()

    def stands_still(conn: Connection, row: Row) -> Notice:
        assert goes_on.wait(120)
        return render(conn, row)

    engine = Outbox(
        db, context(), senders={("mail", "support"): sender}, capture=CaptureSender(tmp_path), render=stands_still,
        clock=clock, random=Random(1), owner="a:1", metrics=Metrics(), compose=Told(), leases=leases,
    )  # fmt: skip

    def ran_out(conn: Connection) -> None:
        conn.execute(update(lease).values(until=database_clock(conn) - timedelta(hours=2)))

    await leases.start()
    reply = draft("answer", kind="reply", template="reply", repeatable=True, automatic=False)
    await db.write(lambda conn: outbox.put(conn, reply, clock()))
    try:
        assert await engine.claim() == 1
        await db.write(ran_out)
        (taken,) = await db.write(lambda conn: claims.take_over(conn, OTHER, timedelta(hours=1)))
        # The first thing it does when it wakes up is to renew.
        await leases.renew()
        assert leases.alive()
    finally:
        goes_on.set()
        await engine.finish(120)
    assert sender.began == [], "the other sends it"
    (row,) = await db.read(lambda conn: outbox.listing(conn))
    assert (row.id, row.state, row.owner) == (taken.id, "sending", OTHER)
    # What is claimed from now on is its own.
    await db.write(lambda conn: outbox.put(conn, draft("next"), clock()))
    assert await engine.claim() == 1
    await engine.finish(120)
    assert sender.began == ["next"]
