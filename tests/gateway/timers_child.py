"""Fires timers as a process of its own: `python -m tests.gateway.timers_child FOLDER URL [FAIL POINT]`.

It kills itself with SIGKILL the first time the writer passes the fail point.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

from gateway.context import Context
from gateway.store import outbox, tickets
from gateway.store.database import open_database
from gateway.timers import Timer, Timers
from tests.gateway.outgoing import context, draft


def check(conn: Connection, ctx: Context, timer: Timer, now: datetime) -> str:
    """Leaves an event and a notice."""
    tickets.add_event(conn, timer.ticket_id, at=now, actor="gateway", kind="trace", data={})
    outbox.put(conn, draft(f"reminder:{timer.id}:{now.isoformat()}", ticket_id=timer.ticket_id), now)
    return "told"


async def main(folder: Path, url: str, kill_at: str) -> None:
    def failpoint(name: str) -> None:
        if name == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    db = open_database(url, readers=1, failpoint=failpoint, busy_timeout=60.0)
    timers = Timers(db, context(), {"close": check}, lambda: datetime.now(UTC), after=lambda: None)
    await timers.fire()
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else ""))
