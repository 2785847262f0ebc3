"""The hold on everything outbound: one row, looked at in the transaction that claims a notice.

A restored copy starts with it, so that it writes to nobody before a person has looked, and with a second row for its
sources: it reads no mailbox, bot or store and registers nowhere, because the real desk may still do so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, exists, select, update

from gateway.store.dialect import insert_new, is_one_of
from gateway.store.schema import hold, outbox

ALL = "outbox"
"""The hold on what goes out, of every account."""
SOURCES = "sources"
"""The hold on going to far sides for news; never without the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Nothing goes out."""

    since: datetime
    why: str
    sources: bool = False
    """Nothing is read at far sides either."""


def put(conn: Connection, why: str, now: datetime, *, sources: bool = False) -> bool:
    """Hold everything that goes out, and `sources` too. False when that is held already; the older reason stays."""
    names = (ALL, SOURCES) if sources else (ALL,)
    made = [insert_new(conn, hold, {"name": name, "since": now, "why": why}) is not None for name in names]
    return any(made)


def get(conn: Connection) -> Held | None:
    """The hold, or None when notices go out."""
    rows = {row.name: row for row in conn.execute(select(hold))}
    row = rows.get(ALL)
    return None if row is None else Held(since=row.since, why=row.why, sources=SOURCES in rows)


def release(conn: Connection) -> bool:
    """Let notices go out again, and sources be read. False when nothing was held."""
    return conn.execute(delete(hold).where(hold.c.name.in_((ALL, SOURCES)))).rowcount > 0


def give_up_waiting(conn: Connection, *, why: str, now: datetime) -> int:
    """Notices that wait now will never go out (they stay in the list as suppressed). Returns how many."""
    waiting = update(outbox).where(is_one_of(outbox.c.state, "waiting"))
    return conn.execute(waiting.values(state="suppressed", settled_at=now, detail=why[:500])).rowcount


def not_held() -> ColumnElement[bool]:
    """True in a statement unless everything is held."""
    return ~exists(select(hold.c.name).where(hold.c.name == ALL))
