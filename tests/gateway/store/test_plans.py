"""Nothing is looked for row by row: the plans of the questions that are asked for every message.

PostgreSQL is forbidden to read a whole table or to sort, as long as there is any other way: see `test_queries`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, select, update

from gateway.store import calls, cursors, journal, media
from gateway.store.blob_sweep import unreferenced
from gateway.store.blobs import Blobs
from gateway.store.dialect import is_one_of
from gateway.store.migrate import migrate
from gateway.store.outbox import claimable
from gateway.store.schema import (
    attachment,
    conversation,
    delivery,
    entry,
    identity,
    message,
    outbox,
    participant,
    rating,
    survey,
    thread_key,
    ticket,
    timer,
    view_token,
)
from gateway.store.schema import event as history
from gateway.store.schema import token as token_table
from gateway.store.sqlite import driver_connection, make_engine
from tests.gateway.databases import writer_engine
from tests.gateway.store.mails import NOW, mail, spooled

PASSING = (
    "CONSTANT ROW",
    "entry_pending",
    "entry_quarantined",
    "outbox_due",
    "outbox_sending",
    "outbox_dead",
    "media_due",
)


class Asked:
    """Records every statement of an engine, to be explained afterwards."""

    def __init__(self, engine: Engine) -> None:
        self.statements: list[tuple[str, Any]] = []
        event.listen(engine, "before_cursor_execute", self._note)

    def _note(self, _conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        self.statements.append((statement, parameters[0] if many else parameters))

    def scans(self, raw: Any) -> list[str]:
        """Steps of the plans that read a whole table or index."""
        asked, self.statements = self.statements, []
        return self._of_sqlite(raw, asked) if isinstance(raw, sqlite3.Connection) else self._of_postgresql(raw, asked)

    def _of_postgresql(self, raw: Any, asked: list[tuple[str, Any]]) -> list[str]:
        for way in ("seqscan", "bitmapscan"):
            raw.execute(f"SET enable_{way} = off")
        found = []
        for statement, parameters in asked:
            if statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
                plan = raw.execute(f"EXPLAIN (COSTS OFF) {statement}", parameters).fetchall()
                steps = "\n".join(line for (line,) in plan).split("->")
                found += [f"{step}: {statement}" for step in steps if _walks(step)]
        return found

    def _of_sqlite(self, raw: sqlite3.Connection, asked: list[tuple[str, Any]]) -> list[str]:
        found = []
        for statement, parameters in asked:
            for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters):
                step = str(row[3])
                # An index that holds nothing but the rows in a passing state may be walked.
                if step.startswith("SCAN") and not any(name in step for name in PASSING):
                    found.append(f"{step}: {statement}")
        return found


def _walks(step: str) -> bool:
    """Does this step of a plan of PostgreSQL look at row after row of a table or index?"""
    through_index = "Index" in step and "Index Cond" not in step and "Filter" in step
    return "Seq Scan" in step or (through_index and not any(name in step for name in PASSING))


@pytest.fixture
def engine(db_url: str) -> Iterator[Engine]:
    made = writer_engine(db_url)
    yield made
    made.dispose()


def check(conn: Connection, asked: Asked) -> None:
    assert asked.statements
    assert asked.scans(conn.connection.driver_connection) == []


def test_accepting_and_filing_scan_nothing(engine: Engine, blobs: Blobs, tmp_path: Any) -> None:
    asked = Asked(engine)
    with engine.connect() as conn:
        raws = [mail(1), mail(1), spooled(2, b"x" * 300_000, tmp_path / "spool"), mail(3)]
        journal.record(conn, journal.prepare(raws, blobs), None, now=NOW, blobs=blobs)
        cursors.get(conn, "mail", "support", "INBOX")
        assert len(journal.pending(conn, blobs=blobs, now=NOW, limit=32)) == 3
        journal.set_alone(conn, [1, 2])
        journal.failed(conn, 1, reason="x", now=NOW, limit=1)
        journal.done(conn, 2, outcome={}, now=NOW)
        journal.replay(conn, [1, 2], reroute=False, notify=False, now=NOW)
        journal.quarantined(conn, 10)
        journal.backlog(conn)
        unreferenced(conn, ["a" * 64])
        check(conn, asked)


def test_accepting_many_at_once_scans_nothing(tmp_path: Path, blobs: Blobs) -> None:
    url = f"sqlite:///{tmp_path / 'many.db'}"
    migrate(url, backup_to=tmp_path)
    told: list[str] = []
    engine = make_engine(url, "writer", busy_timeout=1.0)
    with engine.connect() as conn:
        raw = driver_connection(conn)
        # These statements go past SQLAlchemy.
        raw.set_trace_callback(told.append)
        for start in (1, 30):
            journal.record(conn, [mail(number) for number in range(start, start + 40)], None, now=NOW, blobs=blobs)
        raw.set_trace_callback(None)
        asked = [text for text in told if text.lstrip().startswith(("SELECT", "INSERT"))]
        assert len(asked) > 80, "the second time some of them are known"
        plans = [str(row[3]) for text in asked for row in raw.execute(f"EXPLAIN QUERY PLAN {text}")]
    engine.dispose()
    assert not [step for step in plans if "SCAN entry" in step]
    assert any(step.startswith("SEARCH entry USING COVERING INDEX entry_external") for step in plans)


def test_what_waits_of_a_call_is_looked_for_among_what_waits_and_not_among_all_calls(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'calls.db'}"
    migrate(url, backup_to=tmp_path)
    told: list[str] = []
    engine = make_engine(url, "writer", busy_timeout=1.0)
    with engine.connect() as conn:
        raw = driver_connection(conn)
        raw.set_trace_callback(told.append)
        calls.unfiled(conn, "voice", "CA1", 1)
        raw.set_trace_callback(None)
        [asked] = [text for text in told if text.startswith("SELECT")]
        plan = [str(row[3]) for row in raw.execute(f"EXPLAIN QUERY PLAN {asked}")]
    engine.dispose()
    assert plan == ["SEARCH entry USING INDEX entry_pending (id<?)"]


def test_looking_for_files_to_fetch_walks_over_none_that_is_here(engine: Engine) -> None:
    asked = Asked(engine)
    with engine.connect() as conn:
        for step in ("fetch", "transcribe"):
            media.due(conn, "telegram", "desk", NOW, 5, step)  # type: ignore[arg-type]
        media.next_due(conn, [("telegram", "desk")])
        media.has_outlived(conn, NOW)
        media.outlived(conn, NOW, 5)
        media.release(conn, "me")
        media.put_back(conn, "me")
        media.transcripts(conn, 1, but=1)
        check(conn, asked)


def test_entries_whose_bytes_are_old_are_found_by_their_age(engine: Engine) -> None:
    asked = Asked(engine)
    with engine.connect() as conn:
        journal.drop_raw(conn, before=NOW)
        plans = asked.scans(conn.connection.driver_connection)
    # It is walked from the oldest row by its key, and left after `limit` rows.
    walked = [plan.split(":")[0].split("\n")[0].strip() for plan in plans]
    assert walked in ([], ["SCAN raw"], ["Index Scan using entry_pkey on entry"])


KEYS = [
    select(ticket).where(ticket.c.number == "10000016"),
    select(ticket).where(ticket.c.id == 1),
    select(thread_key).where(thread_key.c.kind == "message_id", thread_key.c.value.in_(["a", "b"])),
    select(thread_key).where(thread_key.c.ticket_id == 1),
    select(conversation).where(
        conversation.c.channel == "mail", conversation.c.account == "a", conversation.c.peer == "p"
    ),
    select(entry.c.id).where(entry.c.channel == "mail", entry.c.external_id == "a"),
    select(identity).where(identity.c.kind == "mail", identity.c.value == "a"),
    select(identity).where(identity.c.contact_id == 1),
    select(delivery).where(delivery.c.entry_id == 1),
    select(message).where(message.c.ticket_id == 1).order_by(message.c.id),
    select(message).where(message.c.entry_id == 1, message.c.generation == 0),
    select(message).where(message.c.entry_id == 1).order_by(message.c.generation.desc()),
    select(ticket.c.id).where(ticket.c.entry_id == 1),
    select(attachment).where(attachment.c.message_id == 1),
    select(participant).where(participant.c.ticket_id == 1),
    select(history).where(history.c.ticket_id == 1).order_by(history.c.id),
    select(history.c.id).where(history.c.key == "k"),
    select(outbox).where(outbox.c.ticket_id == 1).order_by(outbox.c.id),
    select(outbox).where(outbox.c.message_id == "m"),
    select(outbox.c.id).where(claimable(NOW)).order_by(outbox.c.due_at, outbox.c.id).limit(10),
    select(outbox.c.id).where(is_one_of(outbox.c.state, "sending")).order_by(outbox.c.id),
    select(outbox.c.id).where(is_one_of(outbox.c.state, "dead")).order_by(outbox.c.id.desc()).limit(50),
    select(outbox).where(outbox.c.reply_token == "t"),
    select(outbox.c.id).where(outbox.c.key == "k"),
    select(timer).where(timer.c.ticket_id == 1, timer.c.kind == "close", timer.c.version == 1),
    select(timer).where(timer.c.fired_at.is_(None), timer.c.due_at <= NOW).order_by(timer.c.due_at).limit(10),
    select(survey).where(survey.c.token_hash == "h"),
    select(survey).where(survey.c.contact_id == 1).order_by(survey.c.asked_at.desc()),
    select(rating).where(rating.c.ticket_id == 1).order_by(rating.c.id),
    select(view_token).where(view_token.c.token_hash == "h"),
    select(token_table).where(token_table.c.token_hash == "h"),
    select(ticket).where(ticket.c.status == "new").order_by(ticket.c.id.desc()).limit(50),
    select(ticket).where(ticket.c.line == "L4").order_by(ticket.c.id.desc()).limit(50),
    select(ticket).where(ticket.c.contract == "c").order_by(ticket.c.id.desc()).limit(50),
    select(ticket).where(ticket.c.assignee == "a").order_by(ticket.c.id.desc()).limit(50),
    select(ticket).where(ticket.c.channel == "mail").order_by(ticket.c.id.desc()).limit(50),
    select(ticket).where(ticket.c.requester == "a").order_by(ticket.c.id.desc()).limit(50),
    select(ticket).where(ticket.c.updated_at > NOW).order_by(ticket.c.updated_at, ticket.c.id).limit(50),
    update(ticket).where(ticket.c.id == 1).values(status="open"),
]


def test_a_row_is_found_by_its_key(engine: Engine) -> None:
    asked, walked = Asked(engine), []
    with engine.connect() as conn:
        for query in KEYS:
            conn.execute(query)
            walked += asked.scans(conn.connection.driver_connection)
    assert walked == []


def test_what_no_index_serves_is_seen(engine: Engine) -> None:
    asked = Asked(engine)
    with engine.connect() as conn:
        for query in (select(ticket.c.id), select(ticket).order_by(ticket.c.id)):
            conn.execute(query.where(ticket.c.subject == "Help"))
            assert asked.scans(conn.connection.driver_connection)
