"""SIGKILL between the commit of SENDING and the send, and between the send and its settlement (rule 12)."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection

from gateway.store import outbox, tickets
from gateway.store.database import open_database
from tests import ready
from tests.gateway.outgoing import draft, open_ticket
from tests.gateway.patience import PATIENCE

ROOT = Path(__file__).parents[2]


async def gateway(folder: Path, url: str, *kill_at: str) -> int:
    process = ready.process("-m", "tests.gateway.outbox_child", str(folder), url, *kill_at)
    return await asyncio.wait_for(process.wait(), PATIENCE)


def sent(folder: Path) -> list[str]:
    file = folder / "sent.txt"
    return file.read_text(encoding="utf-8").split() if file.exists() else []


@pytest.mark.parametrize(
    ("kill_at", "repeatable", "state", "sends"),
    [
        ("sending-committed", True, "sent", 1),
        ("sending-committed", False, "unknown", 0),
        ("sent-unsettled", True, "sent", 2),
        ("sent-unsettled", False, "unknown", 1),
    ],
)
async def test_what_was_being_sent_repeats_or_is_shown_as_unknown(
    db_url: str, tmp_path: Path, kill_at: str, repeatable: bool, state: str, sends: int
) -> None:
    now = datetime.now(UTC) - timedelta(minutes=1)

    def put(conn: Connection) -> int:
        ticket = open_ticket(conn, now)
        outbox.put(conn, draft("first", ticket_id=ticket, lane="ann", repeatable=repeatable), now)
        return ticket

    db = open_database(db_url)
    ticket = await db.write(put)
    await db.close()

    assert await gateway(tmp_path, db_url, kill_at) == -signal.SIGKILL
    db = open_database(db_url)
    (row,) = await db.read(outbox.listing)
    assert (row.state, row.attempts) == ("sending", 1), "committed before the first byte"
    await db.write(lambda conn: outbox.put(conn, draft("second", ticket_id=ticket, lane="ann"), now))
    await db.close()

    assert await gateway(tmp_path, db_url) == 0
    db = open_database(db_url)
    rows = await db.read(outbox.listing)
    history = await db.read(lambda conn: tickets.history(conn, ticket))
    await db.close()
    assert [row.state for row in rows] == [state, "sent"]
    assert sent(tmp_path) == ["first"] * sends + ["second"], "and the lane keeps its order"
    shown = [event.data["state"] for event in history if event.kind == "undelivered"]
    assert shown == (["unknown"] if state == "unknown" else [])
