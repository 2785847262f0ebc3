"""The table of writes to ticket stores stays quick when it is full of what was written long ago."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, create_engine, event, insert

from gateway.store import feeds, schema

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LOOKS: dict[str, Callable[[Connection], object]] = {
    "due": lambda conn: feeds.due(conn, "store", NOW, 4),
    "next": lambda conn: feeds.next_due(conn, ["store"], NOW),
    "in doubt": lambda conn: feeds.in_doubt(conn, "store", kind="open"),
    "hurry": lambda conn: feeds.hurry(conn, "store", NOW),
    "forsake": lambda conn: feeds.forsake(conn, "host:1", {}, NOW, alone=True),
    "backlog": feeds.backlog,
}


@pytest.mark.parametrize("name", LOOKS)
def test_what_was_written_long_ago_is_not_read(name: str) -> None:
    engine = create_engine("sqlite://")
    schema.metadata.create_all(engine)
    asked: list[tuple[str, tuple[object, ...]]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def keep(_conn: object, _cursor: object, text: str, values: tuple[object, ...], *_: object) -> None:
        asked.append((text, values))

    with engine.connect() as conn:
        LOOKS[name](conn)
        for text, values in list(asked):
            plan = [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
            outer = [step for step in plan if step.startswith(("SCAN feed_write", "SEARCH feed_write"))]
            assert outer and all("feed_write_open" in step for step in outer), plan
    engine.dispose()


def test_the_next_one_is_of_the_future() -> None:
    engine = create_engine("sqlite://")
    schema.metadata.create_all(engine)
    base = {"feed": "store", "kind": "say", "fields": {}, "created_at": NOW}
    whens = {1: NOW - timedelta(hours=1), 2: NOW + timedelta(hours=2), 3: NOW + timedelta(hours=1)}
    with engine.begin() as conn:
        rows = [{**base, "ticket_id": ticket, "key": f"say:{ticket}", "due_at": at} for ticket, at in whens.items()]
        conn.execute(insert(schema.feed_write), rows)
        assert feeds.due(conn, "store", NOW, 4) == [1]
        assert feeds.next_due(conn, ["store"], NOW) == NOW + timedelta(hours=1)
    engine.dispose()
