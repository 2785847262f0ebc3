"""The alert table: which trouble operators know of, so that they are told once and again when it is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from gateway.store.dialect import insert_new
from gateway.store.schema import alert


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """An alert that stands."""

    name: str
    raised_at: datetime
    told_at: datetime
    """When operators were last told of it."""
    detail: str


def standing(conn: Connection) -> dict[str, Raised]:
    """Every alert that was raised and not cleared, by name."""
    return {row.name: Raised(**row._mapping) for row in conn.execute(select(alert))}


def raise_(conn: Connection, name: str, detail: str, now: datetime) -> bool:
    """Write an alert down. False when it stands already."""
    row = {"name": name, "raised_at": now, "told_at": now, "detail": detail}
    return insert_new(conn, alert, row) is not None


def told_again(conn: Connection, name: str, detail: str, now: datetime) -> None:
    """Operators are told once more of an alert that lasts."""
    conn.execute(update(alert).where(alert.c.name == name).values(told_at=now, detail=detail))


def clear(conn: Connection, name: str) -> bool:
    """The trouble is over. False when no such alert stood."""
    return conn.execute(delete(alert).where(alert.c.name == name)).rowcount == 1
