"""The few things that SQLite and PostgreSQL say differently, and what counts as trouble of the database itself."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, bindparam, literal_column, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from channels.contract import Unavailable
from gateway.store.prepared import Prepared
from gateway.store.schema import Instant


class UnsafeDatabase(Exception):
    """The database would lose what was acknowledged; the message says why and what to do."""


class Contended(Unavailable):
    """Others hold what this job needs; nothing was written. Only this job is concerned: it may be put off alone."""


class TryAgain(Exception):
    """A job saw that another transaction was faster; run again from its beginning it will see what that one did."""


CONTENTION = frozenset({"40001", "40P01"})
"""SQLSTATE of serialization_failure and deadlock_detected."""
LOCK_NOT_AVAILABLE = "55P03"
TROUBLE_STATES = ("08", "25006", "25P03", "25P04", "53", "55P03", "57", "58", "F0", "XX")
"""SQLSTATEs, or their beginnings, that say nothing about the statement: connection, read-only, resources, lock timeout,
operator intervention, system, internal error (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""
TROUBLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
"""Primary result codes that say nothing about the statement: https://www.sqlite.org/rescode.html"""


def is_trouble(error: BaseException) -> bool:
    """Is this the database's own trouble (locked, full, I/O), rather than a fault of the statement?"""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        return error.orig is not None and is_trouble(error.orig)
    driver = sys.modules.get("psycopg")  # loaded only where it is used
    if driver is not None and isinstance(error, driver.Error):
        lost = isinstance(error, driver.OperationalError | driver.InterfaceError)
        state = error.sqlstate or ""
        return state in CONTENTION or state.startswith(TROUBLE_STATES) or (not state and lost)
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.Error) and isinstance(code, int) and code & 0xFF in TROUBLE


def is_contention(error: BaseException) -> bool:
    """Did the job only lose a race, so that running it again is all it needs?"""
    if isinstance(error, DBAPIError):
        return error.orig is not None and is_contention(error.orig)
    return isinstance(error, TryAgain) or getattr(error, "sqlstate", None) in CONTENTION


def lost_out(error: BaseException) -> bool:
    """Did the job lose too many races, or wait too long for somebody's row? The others are not concerned."""
    if isinstance(error, DBAPIError):
        return error.orig is not None and lost_out(error.orig)
    return getattr(error, "sqlstate", None) in CONTENTION | {LOCK_NOT_AVAILABLE}


def is_postgresql(conn: Connection) -> bool:
    """Are there perhaps other nodes at this database?"""
    return conn.dialect.name == "postgresql"


_CLOCKS = {
    "postgresql": "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now",
    "sqlite": "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000 AS now",
}


def database_clock(conn: Connection) -> datetime:
    """The time by the database's clock, the same for every node (on SQLite to the millisecond)."""
    statement = text(_CLOCKS[conn.dialect.name]).columns(now=Instant)
    found: datetime = conn.execute(statement).scalar_one()
    return found


def clean_text(value: str) -> str:
    """Text as PostgreSQL takes it: NUL and lone surrogates become U+FFFD, as nobody could read them anyway."""
    return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


WAKE = "wake"
"""Key of `Connection.info`: what other nodes are told of at the COMMIT."""


def wake(conn: Connection, topic: str) -> None:
    """Tell every node at the COMMIT that there is work in `topic` ("journal", "outbox", "timers")."""
    if is_postgresql(conn):
        conn.info.setdefault(WAKE, set()).add(topic)


@lru_cache(maxsize=256)
def insert_into(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT with `on_conflict_…` of the dialect, "sqlite" or "postgresql"."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


@lru_cache(maxsize=256)
def _insert_new(dialect: str, table: Table) -> Prepared:
    first = next(iter(table.primary_key.columns))
    return Prepared(insert_into(dialect, table).on_conflict_do_nothing().returning(first))


def insert_new(conn: Connection, table: Table, values: Mapping[str, Any]) -> Any | None:
    """INSERT … ON CONFLICT DO NOTHING. Returns the first primary key column of the new row, None when it was there."""
    return _insert_new(conn.dialect.name, table).scalar(conn, values)


@lru_cache(maxsize=256)
def _add_new(dialect: str, table: Table) -> Prepared:
    return Prepared(insert_into(dialect, table).on_conflict_do_nothing())


def add_new(conn: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """`insert_new` where no key is wanted, which costs a third less. False when the row was there."""
    return _add_new(conn.dialect.name, table).run(conn, values) == 1


MOST_ROWS = 8
"""Rows of one INSERT: each number of rows is a statement of its own."""


@lru_cache(maxsize=256)
def _insert_rows(dialect: str, table: Table, names: tuple[str, ...], count: int, *, told: bool) -> Prepared:
    values = [{name: bindparam(f"{name}_{at}", type_=table.c[name].type) for name in names} for at in range(count)]
    statement = insert_into(dialect, table).values(values).on_conflict_do_nothing()
    return Prepared(statement.returning(*table.primary_key.columns) if told else statement)


def _in_pieces(
    conn: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, told: bool
) -> Iterator[tuple[Prepared, dict[str, Any]]]:
    for start in range(0, len(rows), MOST_ROWS):
        piece = rows[start : start + MOST_ROWS]
        statement = _insert_rows(conn.dialect.name, table, tuple(piece[0]), len(piece), told=told)
        yield statement, {f"{name}_{at}": value for at, row in enumerate(piece) for name, value in row.items()}


def insert_rows(conn: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> list[Row[Any]]:
    """Insert the rows, which name the same columns, as far as they are not there. Returns the keys of the new ones."""
    return [
        made for statement, values in _in_pieces(conn, table, rows, told=True) for made in statement.all(conn, values)
    ]


def insert_missing(conn: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """The same, without asking which were new."""
    for statement, values in _in_pieces(conn, table, rows, told=False):
        statement.run(conn, values)


@lru_cache(maxsize=256)
def _upsert(dialect: str, table: Table, names: tuple[str, ...], keys: tuple[str, ...]) -> Prepared:
    statement = insert_into(dialect, table)
    changed = {name: statement.excluded[name] for name in names if name not in keys}
    return Prepared(statement.on_conflict_do_update(index_elements=[table.c[key] for key in keys], set_=changed))


def upsert(conn: Connection, table: Table, values: Mapping[str, Any], *, keys: Iterable[str]) -> None:
    """Insert the row, or set its other columns when one with these `keys` is there."""
    _upsert(conn.dialect.name, table, tuple(values), tuple(keys)).run(conn, values)


def upsert_all(conn: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, keys: Iterable[str]) -> None:
    """`upsert` of many rows that name the same columns, in one go. There must be one."""
    keys = tuple(keys)
    statement = insert_into(conn.dialect.name, table)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    statement = statement.on_conflict_do_update(index_elements=[table.c[key] for key in keys], set_=changed)
    conn.execute(statement, [dict(row) for row in rows])


def is_one_of(column: ColumnElement[str], *values: str) -> ColumnElement[bool]:
    """`column` equals one of the `values`, written into the statement, so that a partial index on them is used.

    They are names of ours. Raises ValueError for anything else.
    """
    if not all(value.isidentifier() for value in values):
        raise ValueError(f"{values} are not all names")
    written: list[ColumnElement[str]] = [literal_column(f"'{value}'") for value in values]
    return column == written[0] if len(written) == 1 else column.in_(written)
