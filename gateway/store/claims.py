"""What one of several nodes may work on: journal entries and abandoned notices (PostgreSQL)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Connection, select, text, update

from gateway.store import leases
from gateway.store.choosing import choose
from gateway.store.dialect import is_one_of, is_postgresql
from gateway.store.journal import Entry
from gateway.store.outbox import Row, row_of
from gateway.store.schema import entry, outbox

_CLAIMING = 0x6A6F7572
"""Of the advisory lock that one claim of journal entries at a time holds."""


def claim_entries(
    conn: Connection, *, owner: str, now: datetime, limit: int, exclude: Collection[int] = ()
) -> list[int] | None:
    """Ids of entries that are ours to file from the COMMIT on; None while another node is choosing: ask again soon.

    Entries of one peer go to one node at a time, so that they are filed in journal order: that is
    why claims take turns, where SKIP LOCKED would give a peer's later entry to another node.
    """
    if is_postgresql(conn) and not conn.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _CLAIMING}):
        return None
    others = leases.living_owners(conn) - {owner}
    chosen = choose(conn, now=now, limit=limit, exclude=exclude, others=others)
    if chosen:
        conn.execute(update(entry).where(entry.c.id.in_(chosen)).values(owner=owner))
    return chosen


def still_ours(conn: Connection, claimed: Entry) -> bool:
    """Lock the entry. False when another node has taken it over, or it was replayed meanwhile."""
    mine = select(entry.c.id).where(
        entry.c.id == claimed.id,
        entry.c.owner == claimed.owner,
        entry.c.generation == claimed.generation,
        is_one_of(entry.c.state, "pending"),
    )
    return conn.execute(mine.with_for_update()).first() is not None


def take_over(conn: Connection, owner: str, patience: timedelta) -> list[Row]:
    """Make SENDING rows of dead nodes ours: their leases ran out `patience` ago, and so has their last send.

    The old owner's settlement is refused from now on, because the row names another owner.
    """
    living = leases.living(conn, patience)
    wanted = (
        select(outbox.c.id)
        .where(
            is_one_of(outbox.c.state, "sending"),
            outbox.c.owner != owner,
            outbox.c.owner.not_in(living.scalar_subquery()),
        )
        .with_for_update(skip_locked=True)
    )
    taken = conn.execute(
        update(outbox).where(outbox.c.id.in_(wanted.scalar_subquery())).values(owner=owner).returning(outbox)
    )
    return sorted((row_of(row) for row in taken.mappings()), key=lambda row: row.id)
