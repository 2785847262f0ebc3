"""Which entries of the journal are filed next: in journal order, those of one peer never past one that must wait."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Integer, Row, bindparam, select

from gateway.store.dialect import is_one_of
from gateway.store.prepared import Prepared
from gateway.store.schema import entry

HOLD = timedelta(seconds=10)
"""The longest time that an entry which is being retried holds its peer's later entries back (rule 7)."""
SCAN = 5_000
"""Pending rows looked at by one call of `pending`."""
MOST_BYTES = 1 << 24
"""Bytes of the entries that are claimed at once."""

# Made once: building it takes as long as running it, and it runs for every few entries.
_PENDING = Prepared(
    select(
        entry.c.id,
        entry.c.channel,
        entry.c.peer,
        entry.c.size,
        entry.c.not_before,
        entry.c.failing_since,
        entry.c.owner,
    )
    .where(is_one_of(entry.c.state, "pending"))
    .order_by(entry.c.id)
    .limit(bindparam("most", type_=Integer))
)


def choose(
    conn: Connection,
    *,
    now: datetime,
    limit: int,
    exclude: Collection[int] = (),
    others: Collection[str] = (),
    max_bytes: int = MOST_BYTES,
) -> list[int]:
    """Ids of the entries to file now, as `pending` says; `others` are nodes whose claims are to be respected."""
    busy, theirs = frozenset(exclude), frozenset(others)
    # Mostly the first ones will do; where many of them must wait, it is looked further.
    for most in (limit + len(busy), SCAN):
        rows = _PENDING.all(conn, {"most": min(most, SCAN)})
        chosen, full = _chosen(rows, now=now, limit=limit, busy=busy, others=theirs, max_bytes=max_bytes)
        if full or len(rows) < most:
            break
    return chosen


def _chosen(
    rows: Iterable[Row[Any]],
    *,
    now: datetime,
    limit: int,
    busy: Collection[int],
    others: Collection[str],
    max_bytes: int,
) -> tuple[list[int], bool]:
    """Ids of those rows that may be filed now, and whether there is no room for more."""
    held: set[tuple[str, str]] = set()
    chosen: list[int] = []
    total = 0
    for row in rows:
        peer = (row.channel, row.peer)
        taken = row.id in busy or (row.owner is not None and row.owner in others)
        if taken or _is_put_off(row.not_before, row.failing_since, now):
            if row.peer and (taken or row.failing_since is None or row.failing_since > now - HOLD):
                held.add(peer)
            continue
        if peer in held:
            continue
        total += row.size
        if chosen and total > max_bytes:
            return chosen, True
        chosen.append(row.id)
        if len(chosen) == limit:
            return chosen, True
    return chosen, False


def _is_put_off(not_before: datetime | None, failing_since: datetime | None, now: datetime) -> bool:
    """Its retry is not yet due. A time that a clock wrote which went back since then binds nobody."""
    if not_before is None or not_before <= now:
        return False
    if failing_since is None:
        # Put back or replayed, not failed: never for longer than this.
        return not_before <= now + HOLD
    return failing_since <= now
