"""Staff's reads walk an index: the same time among millions.

On PostgreSQL the planner is forbidden to read a whole table or to sort, as long as there is any other way: what it
still does so is what no index serves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy import event as listen

from gateway.store import queries
from gateway.store.dialect import is_postgresql
from gateway.store.queries import Filters

NOW = datetime(2026, 3, 2, tzinfo=UTC)
EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN (COSTS OFF) "}
SORTS = ("TEMP B-TREE", "Sort")


@contextmanager
def _plans(conn: Connection) -> Iterator[list[str]]:
    """The query plans of every statement that runs inside."""
    found: list[str] = []

    def explain(_conn: Any, cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if statement.startswith("SELECT"):
            cursor.execute(EXPLAIN[conn.dialect.name] + statement, parameters)
            found.extend(row[-1].strip() for row in cursor.fetchall())

    if is_postgresql(conn):
        for way in ("seqscan", "sort", "bitmapscan"):
            conn.exec_driver_sql(f"SET enable_{way} = off")
    listen.listen(conn, "before_cursor_execute", explain)
    yield found
    listen.remove(conn, "before_cursor_execute", explain)


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        (Filters(requester="ann@client.example"), "ticket_requester"),
        (Filters(status="open"), "ticket_status"),
        (Filters(channel="telegram"), "ticket_channel"),
    ],
)
def test_a_filtered_page_is_read_from_its_index(conn: Connection, filters: Filters, index: str) -> None:
    for before in (None, 4711):
        with _plans(conn) as plans:
            queries.tickets(conn, filters, contracts=None, before=before, limit=50)
        assert any(index in plan for plan in plans), plans
        assert not any(word in plan for plan in plans for word in SORTS), plans


def test_a_page_of_all_tickets_starts_at_the_newest(conn: Connection) -> None:
    with _plans(conn) as plans:
        queries.tickets(conn, Filters(), contracts=None, before=4711, limit=50)
    if is_postgresql(conn):
        assert plans[1:2] == ["->  Index Scan Backward using ticket_pkey on ticket"]
        assert not any(word in plan for plan in plans for word in SORTS)
    else:
        assert plans == ["SEARCH ticket USING INTEGER PRIMARY KEY (rowid<?)"]


def test_what_waits_is_counted_from_partial_indexes(conn: Connection) -> None:
    with _plans(conn) as plans:
        queries.backlog(conn, NOW)
    assert not any("Seq Scan" in plan for plan in plans), plans
    whole = [plan for plan in plans if plan.startswith("SCAN") and "INDEX" not in plan]
    # What is left: the newest 5000 entries, and the result of that.
    assert all(plan.split()[1] in ("entry", "anon_1", "(subquery") for plan in whole), plans
    for index in ("entry_pending", "entry_quarantined", "outbox_due", "outbox_dead"):
        assert any(index in plan for plan in plans), (index, plans)


def test_lists_of_entries_and_notices_in_a_state_use_its_index(conn: Connection) -> None:
    with _plans(conn) as plans:
        queries.entries(conn, state="quarantined", before=None, limit=50)
        queries.outbox_rows(conn, states=("dead",), before=None, limit=50)
    assert not any(word in plan for plan in plans for word in SORTS), plans
    for index in ("entry_quarantined", "outbox_dead"):
        assert any(index in plan for plan in plans), (index, plans)
