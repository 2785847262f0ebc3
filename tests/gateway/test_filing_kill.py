"""kill -9 between any two steps of filing: every message is in one ticket message, every effect is there once."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select

from gateway.store import schema
from tests import ready
from tests.gateway.filing_child import COUNT, messages

ROOT = Path(__file__).parents[2]


def file_in_child(folder: Path, url: str, *bomb: str) -> int:
    """Run the child; its return code."""
    command = ["-m", "tests.gateway.filing_child", str(folder), url, *bomb]
    return ready.run(*command, timeout=100).returncode


@pytest.mark.parametrize(
    ("point", "count"),
    [("read-unfiled", 1), ("before-begin", 3), ("before-commit", 2), ("after-commit", 2), ("filed-unreported", 1)],
)
def test_nothing_is_lost_or_doubled(db_url: str, tmp_path: Path, point: str, count: int) -> None:
    assert file_in_child(tmp_path, db_url, point, str(count)) == -signal.SIGKILL
    assert file_in_child(tmp_path, db_url) == 0
    engine = create_engine(db_url)
    try:
        with engine.connect() as conn:
            entries = conn.execute(select(schema.entry)).all()
            kept = conn.execute(select(schema.message).where(schema.message.c.current)).all()
            events = conn.execute(select(schema.event)).all()
            notices = conn.execute(select(schema.outbox)).all()
            tickets = conn.execute(select(schema.ticket)).all()
    finally:
        engine.dispose()
    sent = Counter(raw.body.sha256 for raw in messages())
    assert Counter(row.sha256 for row in entries) == sent
    assert Counter(row.sha256 for row in kept) == sent
    assert Counter(row.state for row in entries) == {"done": COUNT, "quarantined": 1}
    assert len(tickets) == COUNT - COUNT // 3 + 1
    assert max(Counter(row.key for row in events).values()) == 1
    acknowledged = Counter(row.ticket_id for row in notices if row.kind == "acknowledgement")
    assert set(acknowledged.values()) == {1}
    assert len(acknowledged) == COUNT - COUNT // 3
