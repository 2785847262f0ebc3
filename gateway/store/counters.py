"""Counters by name and time bucket; caps are made of them (rule 9)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from sqlalchemy import Connection, bindparam, delete, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.store.dialect import clean_text, insert_into
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


_TAKE_BACK = Prepared(
    update(counter)
    .where(counter.c.name == bindparam("of_name"), counter.c.bucket == bindparam("of_bucket"))
    .values(count=counter.c.count - 1)
)


def count_up(conn: Connection, name: str, number: int) -> int:
    """Add one to the counter of this name and bucket; returns what it is then."""
    values = {"name": name[:400], "bucket": number, "count": 1}
    return int(_COUNT_UP[conn.dialect.name].scalar(conn, values))


def reading(conn: Connection, name: str, number: int) -> int:
    """What the counter of this name and bucket is."""
    found = conn.scalar(select(counter.c.count).where(counter.c.name == name[:400], counter.c.bucket == number))
    return int(found or 0)


@lru_cache(maxsize=8)
def _count_all(dialect: str, many: int) -> Prepared:
    rows = [
        {"name": bindparam(f"name_{at}"), "bucket": bindparam(f"bucket_{at}"), "count": literal(1)}
        for at in range(many)
    ]
    made = (
        insert_into(dialect, counter)
        .values(rows)
        .on_conflict_do_update(index_elements=[counter.c.name, counter.c.bucket], set_={"count": counter.c.count + 1})
    )
    return Prepared(made.returning(counter.c.name, counter.c.bucket, counter.c.count.label("reached")))


def count_within(conn: Connection, limits: Sequence[tuple[str, int, int]]) -> bool:
    """Add one to each counter of (name, bucket, limit), all different; False when one is over its limit then.

    Those behind the first that is full stay as they were: what is not done takes nobody else's place.
    """
    # As every database gives the name back, or it would not be found in the answer.
    limits = [(clean_text(name)[:400], number, limit) for name, number, limit in limits]
    values: dict[str, str | int] = {}
    for at, (name, number, _) in enumerate(limits):
        values |= {f"name_{at}": name, f"bucket_{at}": number}
    rows = _count_all(conn.dialect.name, len(limits)).all(conn, values)
    counts = {(row.name, row.bucket): row.reached for row in rows}
    full = next((at for at, (name, number, limit) in enumerate(limits) if counts[name, number] > limit), None)
    if full is None:
        return True
    for name, number, _ in limits[full + 1 :]:
        _TAKE_BACK.run(conn, {"of_name": name, "of_bucket": number})
    return False


def forget(conn: Connection, prefix: str, before: int) -> int:
    """Delete the counters of these names with a bucket below `before`; returns how many."""
    old = (counter.c.name.startswith(prefix, autoescape=True), counter.c.bucket < before)
    return conn.execute(delete(counter).where(*old)).rowcount
