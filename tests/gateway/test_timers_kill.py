"""SIGKILL around the commit of a check: what it did and the mark that it fired are one (rule 14)."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection

from gateway.store import outbox, tickets, timers
from gateway.store.database import Database, open_database
from tests import ready
from tests.gateway.outgoing import open_ticket
from tests.gateway.patience import PATIENCE

ROOT = Path(__file__).parents[2]


async def fire(folder: Path, url: str, *kill_at: str) -> int:
    process = ready.process("-m", "tests.gateway.timers_child", str(folder), url, *kill_at)
    return await asyncio.wait_for(process.wait(), PATIENCE)


async def effects(db: Database, ticket: int) -> tuple[int, int, bool]:
    """(traces, notices, still to fire)."""

    def work(conn: Connection) -> tuple[int, int, bool]:
        traces = [event for event in tickets.history(conn, ticket) if event.kind == "trace"]
        return len(traces), len(outbox.listing(conn)), timers.unfired(conn, 1) is not None

    return await db.read(work)


@pytest.mark.parametrize(("kill_at", "done"), [("before-commit", (0, 0, True)), ("after-commit", (1, 1, False))])
async def test_a_check_happens_whole_or_not_at_all(
    db_url: str, tmp_path: Path, kill_at: str, done: tuple[int, int, bool]
) -> None:
    now = datetime.now(UTC)

    def put(conn: Connection) -> int:
        ticket = open_ticket(conn, now)
        timers.put(conn, ticket, "close", 1, now)
        return ticket

    db = open_database(db_url)
    ticket = await db.write(put)
    await db.close()

    assert await fire(tmp_path, db_url, kill_at) == -signal.SIGKILL
    db = open_database(db_url)
    assert await effects(db, ticket) == done
    await db.close()

    assert await fire(tmp_path, db_url) == 0
    db = open_database(db_url)
    assert await effects(db, ticket) == (1, 1, False)
    await db.close()
