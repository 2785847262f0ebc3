"""Several counters are counted up in one statement, and a full one is not paid for by the others."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, select

from gateway.store import counters
from gateway.store.schema import counter

LONG = "auto:minute:address:mail:" + "x" * 500


def counts(conn: Connection) -> dict[str, int]:
    return {row["name"]: row["count"] for row in conn.execute(select(counter.c.name, counter.c.count)).mappings()}


def test_each_is_counted_until_one_is_full_and_those_behind_it_keep_their_place(conn: Connection) -> None:
    limits = [("minute", 7, 3), ("day", 1, 2), ("account", 7, 100)]
    assert [counters.count_within(conn, limits) for _ in range(4)] == [True, True, False, False]
    assert counts(conn) == {"minute": 4, "day": 3, "account": 2}


@pytest.mark.parametrize(
    "name", ["a\0b", LONG, "\ud800" * 400, "\N{CYRILLIC SMALL LETTER YU}'\""], ids=["nul", "long", "halves", "letters"]
)
def test_whatever_people_are_called(conn: Connection, name: str) -> None:
    assert [counters.count_within(conn, [(name, 1, 1)]) for _ in range(2)] == [True, False]


def test_another_bucket_begins_anew(conn: Connection) -> None:
    assert [counters.count_within(conn, [("minute", bucket, 1)]) for bucket in (1, 1, 2)] == [True, False, True]
