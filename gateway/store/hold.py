"""The hold on everything outbound: one row, looked at in the transaction that claims a notice.

A restored copy starts with it, so that it writes to nobody before a person has looked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, exists, select, update

from gateway.store.dialect import insert_new, is_one_of
from gateway.store.schema import hold, outbox

ALL = "outbox"
"""The only hold there is: on every account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Nothing goes out."""

    since: datetime
    why: str


def put(conn: Connection, why: str, now: datetime) -> bool:
    """Hold everything. False when it is held already; the older reason stays."""
    return insert_new(conn, hold, {"name": ALL, "since": now, "why": why}) is not None


def get(conn: Connection) -> Held | None:
    """The hold, or None when notices go out."""
    row = conn.execute(select(hold.c.since, hold.c.why).where(hold.c.name == ALL)).one_or_none()
    return None if row is None else Held(since=row.since, why=row.why)


def release(conn: Connection) -> bool:
    """Let notices go out again. False when nothing was held."""
    return conn.execute(delete(hold).where(hold.c.name == ALL)).rowcount == 1


def give_up_waiting(conn: Connection, *, why: str, now: datetime) -> int:
    """Notices that wait now will never go out (they stay in the list as suppressed). Returns how many."""
    waiting = update(outbox).where(is_one_of(outbox.c.state, "waiting"))
    return conn.execute(waiting.values(state="suppressed", settled_at=now, detail=why[:500])).rowcount


def not_held() -> ColumnElement[bool]:
    """True in a statement unless everything is held."""
    return ~exists(select(hold.c.name).where(hold.c.name == ALL))
