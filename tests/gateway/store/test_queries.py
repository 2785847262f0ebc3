"""Staff's reads walk an index: the same time among millions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy import event as listen

from gateway.store import queries, schema
from gateway.store.queries import Filters

NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def conn() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    schema.metadata.create_all(engine)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


@contextmanager
def _plans(conn: Connection) -> Iterator[list[str]]:
    """The query plans of every statement that runs inside."""
    found: list[str] = []

    def explain(_conn: Any, cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if statement.startswith("SELECT"):
            cursor.execute("EXPLAIN QUERY PLAN " + statement, parameters)
            found.extend(row[3] for row in cursor.fetchall())

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
        assert not any("TEMP B-TREE" in plan for plan in plans), plans


def test_a_page_of_all_tickets_starts_at_the_newest(conn: Connection) -> None:
    with _plans(conn) as plans:
        queries.tickets(conn, Filters(), contracts=None, before=4711, limit=50)
    assert plans == ["SEARCH ticket USING INTEGER PRIMARY KEY (rowid<?)"]


def test_what_waits_is_counted_from_partial_indexes(conn: Connection) -> None:
    with _plans(conn) as plans:
        queries.backlog(conn, NOW)
    whole = [plan for plan in plans if plan.startswith("SCAN") and "INDEX" not in plan]
    # What is left: the newest 5000 entries, and the result of that.
    assert all(plan.split()[1] in ("entry", "anon_1", "(subquery") for plan in whole), plans
    for index in ("entry_pending", "entry_quarantined", "outbox_due", "outbox_dead"):
        assert any(index in plan for plan in plans), (index, plans)


def test_lists_of_entries_and_notices_in_a_state_use_its_index(conn: Connection) -> None:
    with _plans(conn) as plans:
        queries.entries(conn, state="quarantined", before=None, limit=50)
        queries.outbox_rows(conn, states=("dead",), before=None, limit=50)
    assert [("entry_quarantined" in plans[0]), ("outbox_dead" in plans[-1])] == [True, True], plans
