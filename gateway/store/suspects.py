"""Requests that a webhook did not believe: a bounded list for each account (rule 5)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select

from channels.contract import Unverified
from gateway.store.schema import unverified

MOST = 1000
"""Requests that are kept of one account: the newest ones."""
LONGEST = 256 * 1024
"""Bytes of a body that are kept."""
CUT = "; only the beginning of its body was kept"
"""Ends the reason of a request whose body was longer: no signature will ever fit it."""
_SHOWN = [column for column in unverified.c if column.name not in ("body", "headers")]


def keep(conn: Connection, channel: str, account: str, request: Unverified, now: datetime) -> int:
    """Add a request; the oldest ones of its account go when there are too many. Returns its id."""
    whole = len(request.body) <= LONGEST
    row = {
        "channel": channel,
        "account": account,
        "method": request.method[:8],
        "path": request.path,
        "headers": dict(request.headers),
        "body": request.body[:LONGEST],
        "reason": request.reason if whole else request.reason + CUT,
        "at": now,
    }
    made: int = conn.execute(insert(unverified).values(row).returning(unverified.c.id)).scalar_one()
    same = (unverified.c.channel == channel, unverified.c.account == account)
    first_kept = select(unverified.c.id).where(*same).order_by(unverified.c.id.desc()).offset(MOST - 1).limit(1)
    conn.execute(delete(unverified).where(*same, unverified.c.id < first_kept.scalar_subquery()))
    return made


def listing(
    conn: Connection, *, account: str | None = None, before: int | None = None, limit: int = 50
) -> Sequence[Row[Any]]:
    """Requests without body and headers but with its `size`, the newest first."""
    wanted: Select[Any] = (
        select(*_SHOWN, func.length(unverified.c.body).label("size")).order_by(unverified.c.id.desc()).limit(limit)
    )
    if account is not None:
        wanted = wanted.where(unverified.c.account == account)
    if before is not None:
        wanted = wanted.where(unverified.c.id < before)
    return conn.execute(wanted).all()


def some(conn: Connection, *, account: str | None, after: int, until: int, limit: int) -> Sequence[Row[Any]]:
    """Whole requests with ids above `after` and up to `until`, the oldest first."""
    wanted = select(unverified).where(unverified.c.id > after, unverified.c.id <= until)
    if account is not None:
        wanted = wanted.where(unverified.c.account == account)
    return conn.execute(wanted.order_by(unverified.c.id).limit(limit)).all()


def newest(conn: Connection) -> int:
    """The highest id; 0 where there is none."""
    return conn.scalar(select(func.max(unverified.c.id))) or 0


def drop(conn: Connection, request_id: int) -> None:
    """It was believed after all, and is in the journal."""
    conn.execute(delete(unverified).where(unverified.c.id == request_id))


def counts_since(conn: Connection, since: datetime) -> dict[tuple[str, str], int]:
    """(channel, account) -> requests that came after `since`."""
    same = (unverified.c.channel, unverified.c.account)
    wanted = select(*same, func.count().label("found")).where(unverified.c.at > since).group_by(*same)
    return {(row.channel, row.account): row.found for row in conn.execute(wanted)}
