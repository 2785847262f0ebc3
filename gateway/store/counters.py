"""Counters by name and time bucket; caps are made of them (rule 9)."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from gateway.store.prepared import Prepared
from gateway.store.schema import EPOCH, counter

_COUNT_UP = {
    name: Prepared(
        dialect.insert(counter)
        .on_conflict_do_update(index_elements=["name", "bucket"], set_={"count": counter.c.count + 1})
        .returning(counter.c.count)
    )
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}


def bucket(now: datetime, span: timedelta) -> int:
    """The number of the time bucket of this length that `now` falls into."""
    return (now - EPOCH) // span


def count_up(conn: Connection, name: str, number: int) -> int:
    """Add one to the counter of this name and bucket; returns what it is then."""
    values = {"name": name[:400], "bucket": number, "count": 1}
    return int(_COUNT_UP[conn.dialect.name].scalar(conn, values))


def reading(conn: Connection, name: str, number: int) -> int:
    """What the counter of this name and bucket is."""
    found = conn.scalar(select(counter.c.count).where(counter.c.name == name[:400], counter.c.bucket == number))
    return int(found or 0)


def forget(conn: Connection, prefix: str, before: int) -> int:
    """Delete the counters of these names with a bucket below `before`; returns how many."""
    old = (counter.c.name.startswith(prefix, autoescape=True), counter.c.bucket < before)
    return conn.execute(delete(counter).where(*old)).rowcount
