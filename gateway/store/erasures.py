"""Files that are here and still have to be deleted at the far side: sync functions inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from gateway.store.dialect import add_new
from gateway.store.schema_calls import erasure

DETAIL = 500
"""Characters that are kept of a reason."""


def put(conn: Connection, channel: str, account: str, source: str, *, due_at: datetime, now: datetime) -> bool:
    """Have a file deleted at the far side; in the transaction that says it is here. False when it is to be already."""
    place = {"channel": channel, "account": account, "source": source}
    return add_new(conn, erasure, {**place, "due_at": due_at, "attempts": 0, "detail": "", "created_at": now})


def due(conn: Connection, channel: str, account: str, now: datetime, limit: int) -> Sequence[Row[Any]]:
    """Those of one account whose turn it is, the longest due first."""
    mine = (erasure.c.channel == channel, erasure.c.account == account, erasure.c.due_at <= now)
    return conn.execute(select(erasure).where(*mine).order_by(erasure.c.due_at, erasure.c.id).limit(limit)).all()


def done(conn: Connection, erasure_id: int) -> bool:
    """It is not there any more. False when somebody else wrote that down."""
    return conn.execute(delete(erasure).where(erasure.c.id == erasure_id)).rowcount == 1


def put_off(conn: Connection, erasure_id: int, due_at: datetime, reason: str) -> None:
    """Try again then."""
    values = {"due_at": due_at, "detail": reason[:DETAIL], "attempts": erasure.c.attempts + 1}
    conn.execute(update(erasure).where(erasure.c.id == erasure_id).values(values))


def next_due(conn: Connection) -> datetime | None:
    """When the next turn comes; None when nothing waits."""
    earliest: datetime | None = conn.scalar(select(func.min(erasure.c.due_at)))
    return earliest


def failing(conn: Connection, attempts: int) -> list[tuple[str, str, int]]:
    """(channel, account, how many) of those tried in vain at least so often."""
    wanted = select(erasure.c.channel, erasure.c.account, func.count()).where(erasure.c.attempts >= attempts)
    found = conn.execute(wanted.group_by(erasure.c.channel, erasure.c.account).order_by(erasure.c.channel))
    return [(channel, account, count) for channel, account, count in found]
