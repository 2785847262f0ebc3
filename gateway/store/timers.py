"""The timer table: when to look at a ticket again. A timer says *check*, not *do* (rule 14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, func, select, update

from gateway.store.dialect import add_new, insert_missing, wake
from gateway.store.prepared import Prepared
from gateway.store.schema import timer
from gateway.store.schema_base import Instant
from normalizer.message import Json

_COLUMNS = (timer.c.id, timer.c.ticket_id, timer.c.kind, timer.c.version, timer.c.due_at, timer.c.data)
_UNFIRED = select(*_COLUMNS).where(timer.c.id == bindparam("of_id"), timer.c.fired_at.is_(None))
# Made once: both run whenever something was filed.
_DUE = Prepared(
    select(timer.c.id)
    .where(timer.c.fired_at.is_(None), timer.c.due_at <= bindparam("now", type_=Instant))
    .order_by(timer.c.due_at, timer.c.id)
    .limit(bindparam("most", type_=Integer))
)
_NEXT_DUE = Prepared(select(func.min(timer.c.due_at).label("earliest")).where(timer.c.fired_at.is_(None)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """One timer that has not fired."""

    id: int
    ticket_id: int
    kind: str
    """Key of the table of checks."""
    version: int
    """Of what is to be checked: of the deadlines, the resolution, the event that began the state."""
    due_at: datetime
    data: Mapping[str, Any]


def put(
    conn: Connection,
    ticket_id: int,
    kind: str,
    version: int,
    due_at: datetime,
    data: Mapping[str, Json] | None = None,
) -> bool:
    """Ask for a check at `due_at`. False when this ticket has a timer of this kind and version already."""
    wake(conn, "timers")
    return add_new(conn, timer, row(ticket_id, kind, version, due_at, data))


def row(
    ticket_id: int, kind: str, version: int, due_at: datetime, data: Mapping[str, Json] | None = None
) -> dict[str, Any]:
    """A timer as `put_all` takes it."""
    return {"ticket_id": ticket_id, "kind": kind, "version": version, "due_at": due_at, "data": dict(data or {})}


def put_all(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Ask for several checks at once; those that are there already stay as they are."""
    wake(conn, "timers")
    insert_missing(conn, timer, rows)


def due(conn: Connection, now: datetime, limit: int) -> list[int]:
    """Ids of at most `limit` timers to fire now, the longest due first."""
    return [row.id for row in _DUE.all(conn, {"now": now, "most": limit})]


def next_due(conn: Connection) -> datetime | None:
    """When the next timer fires; None when there is none."""
    earliest: datetime | None = _NEXT_DUE.scalar(conn, {})
    return earliest


def unfired(conn: Connection, timer_id: int) -> Timer | None:
    """The timer, or None when it has fired."""
    found = conn.execute(_UNFIRED, {"of_id": timer_id}).one_or_none()
    return None if found is None else Timer(**found._mapping)


def taken(conn: Connection, timer_id: int) -> Timer | None:
    """The timer, locked; None when it has fired, or another node is firing it at this moment."""
    found = conn.execute(_UNFIRED.with_for_update(skip_locked=True), {"of_id": timer_id}).one_or_none()
    return None if found is None else Timer(**found._mapping)


def fired(conn: Connection, timer_id: int, outcome: str, now: datetime) -> bool:
    """Write down that it fired and what the check found. False when it had fired before."""
    statement = (
        update(timer).where(timer.c.id == timer_id, timer.c.fired_at.is_(None)).values(fired_at=now, outcome=outcome)
    )
    return conn.execute(statement).rowcount == 1


def postpone(conn: Connection, waiting: Timer, due_at: datetime, data: Mapping[str, Json]) -> None:
    """Check again at `due_at`; `data` is added to the timer's own."""
    values = {"due_at": due_at, "data": {**waiting.data, **data}}
    conn.execute(update(timer).where(timer.c.id == waiting.id, timer.c.fired_at.is_(None)).values(values))
