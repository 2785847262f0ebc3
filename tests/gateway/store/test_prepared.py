"""Prepared statements give what SQLAlchemy gives, and refuse what would commit alone."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import Connection, bindparam, insert, select, text, update
from sqlalchemy.exc import DBAPIError, NoResultFound

from gateway.store.dialect import MOST_ROWS, insert_missing, insert_rows
from gateway.store.prepared import Prepared, TransactionLost
from gateway.store.schema import contact, counter, entry
from gateway.store.sqlite import driver_connection
from tests.gateway.databases import writer_engine

NOW = datetime(2026, 5, 4, 9, 0, 0, 123456, tzinfo=UTC)
BY_ID = select(contact).where(contact.c.id == bindparam("of_id"))
NEW = Prepared(insert(contact).returning(contact.c.id))


def test_a_row_is_what_sqlalchemy_would_give(conn: Connection) -> None:
    made = NEW.scalar(conn, {"name": "Ірина", "created_at": NOW})
    ours = Prepared(BY_ID).one(conn, {"of_id": made})
    theirs = conn.execute(BY_ID, {"of_id": made}).one()
    assert tuple(ours) == tuple(theirs)
    assert (ours.name, ours.created_at, ours.no_surveys) == ("Ірина", NOW, False)
    assert ours._fields == theirs._fields


def test_values_go_through_the_types_of_their_columns(conn: Connection) -> None:
    values = {
        "channel": "mail", "account": "a", "format": "mail/1", "external_id": "1", "fingerprint": "", "dedupe": b"\0",
        "peer": "", "received_at": NOW, "accepted_at": NOW, "size": 1, "sha256": "",
        "facts": {"tls": True, "слово": [1]},
    }  # fmt: skip
    assert Prepared(insert(entry)).run(conn, values) == 1
    row = conn.execute(select(entry)).one()
    assert (row.facts, row.received_at, row.dedupe) == (values["facts"], NOW, b"\0")


def test_constants_of_the_statement_are_kept(conn: Connection) -> None:
    conn.execute(insert(counter), {"name": "n", "bucket": 1, "count": 3})
    up = Prepared(update(counter).where(counter.c.name == bindparam("of_name")).values(count=counter.c.count + 4))
    assert up.run(conn, {"of_name": "n"}) == 1
    assert up.run(conn, {"of_name": "other"}) == 0
    assert conn.scalar(select(counter.c.count)) == 7


def test_nothing_is_found(conn: Connection) -> None:
    wanted = Prepared(BY_ID)
    assert wanted.first(conn, {"of_id": 9}) is None
    assert wanted.scalar(conn, {"of_id": 9}) is None
    with pytest.raises(NoResultFound):
        wanted.one(conn, {"of_id": 9})


def test_a_name_that_the_statement_does_not_have_is_refused(conn: Connection) -> None:
    with pytest.raises(KeyError, match="of_name"):
        Prepared(BY_ID).all(conn, {"of_id": 1, "of_name": "x"})


def test_many_rows_at_once_and_those_that_are_there_stay(conn: Connection) -> None:
    names = [f"n{at:02}" for at in range(2 * MOST_ROWS + 3)]
    conn.execute(insert(counter), {"name": "n01", "bucket": 1, "count": 9})
    rows = [{"name": name, "bucket": 1, "count": at} for at, name in enumerate(names)]
    made = insert_rows(conn, counter, rows)
    assert sorted(row.name for row in made) == [name for name in names if name != "n01"]
    assert insert_rows(conn, counter, rows) == []
    insert_missing(conn, counter, [{"name": "n00", "bucket": 2, "count": 1}, *rows])
    found = conn.execute(select(counter.c.name, counter.c.count).where(counter.c.bucket == 1)).all()
    assert dict(map(tuple, found)) == {name: 9 if name == "n01" else at for at, name in enumerate(names)}
    assert conn.scalar(select(counter.c.count).where(counter.c.bucket == 2)) == 1
    assert insert_rows(conn, counter, []) == []


def test_it_takes_part_in_the_transaction(conn: Connection) -> None:
    NEW.scalar(conn, {"name": "a", "created_at": NOW})
    conn.rollback()
    assert conn.execute(select(contact)).all() == []


@pytest.mark.sqlite  # PostgreSQL rolls nothing back without a word: the next test
def test_after_a_silent_rollback_nothing_commits_alone(conn: Connection) -> None:
    conn.begin()
    NEW.scalar(conn, {"name": "a", "created_at": NOW})
    driver_connection(conn).execute("ROLLBACK")  # as SQLite does by itself when the disk is full
    with pytest.raises(TransactionLost):
        NEW.scalar(conn, {"name": "b", "created_at": NOW})
    assert driver_connection(conn).execute("SELECT count(*) FROM contact").fetchone() == (0,)


def test_after_a_failed_statement_nothing_is_written_and_nothing_committed(pg_url: str) -> None:
    engine = writer_engine(pg_url)
    with engine.connect() as conn:
        NEW.scalar(conn, {"name": "a", "created_at": NOW})
        with pytest.raises(DBAPIError, match="does not exist"):
            conn.execute(text("SELECT 1 FROM nowhere"))
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            NEW.scalar(conn, {"name": "b", "created_at": NOW})
        conn.commit()
        assert conn.execute(select(contact)).all() == []
    engine.dispose()
