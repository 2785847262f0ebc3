"""A process that closes an incident and gives the word, and kills itself at a fail point: `url [point count]`."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

from sqlalchemy import Connection

from gateway import incidents
from gateway.incidents import Described, Said
from gateway.store import incidents as store
from gateway.store.database import open_database
from gateway.timers import Timers
from tests.gateway.filing_child import Bomb
from tests.gateway.outgoing import context, open_ticket

COUNT = 6
"""Tickets that wait for word."""
CTX = context(caps={"per_address_minute": 99})


def begin(conn: Connection) -> None:
    """One incident and its tickets, once."""
    if store.page(conn, only_open=False, before=None, limit=1):
        return
    now = datetime.now(UTC)
    incidents.open_incident(
        conn, CTX, Described(texts={"en": "mail is down"}, words=("mail",)), actor="agent:olena", now=now
    )
    for _ in range(COUNT):
        ticket = open_ticket(conn, now)
        assert incidents.link_new(conn, CTX, ticket, Said(subject="No mail", text=""), silent="", now=now)


def end(conn: Connection) -> None:
    """Close what is open."""
    for incident in store.open_ones(conn):
        now = datetime.now(UTC)
        incidents.close_incident(conn, CTX, incident.id, outcome={}, actor="agent:olena", now=now)


async def main(url: str, bomb: Bomb) -> None:
    db = open_database(url, failpoint=bomb, busy_timeout=60.0)
    await db.write(begin)
    bomb.armed = True
    await db.write(end)
    timers = Timers(db, CTX, incidents.CHECKS, lambda: datetime.now(UTC), after=lambda: None)
    while await timers.fire():
        pass
    await db.close()


if __name__ == "__main__":
    arguments = sys.argv[2:]
    chosen = Bomb(arguments[0], int(arguments[1])) if arguments else Bomb("", 0)
    asyncio.run(main(sys.argv[1], chosen))
