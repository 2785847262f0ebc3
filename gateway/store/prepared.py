"""Statements that run in every filing transaction, without what SQLAlchemy does around each execution.

On SQLite a statement takes 3 to 10 microseconds and SQLAlchemy's way to it 35 more: with thirty of them a mail that
was most of what a mail cost. A `Prepared` is an ordinary Core statement that SQLAlchemy compiles once; after that it
goes to the driver as text with its parameters in order, converted by the same column types. On any other database it
is executed by SQLAlchemy as usual.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection, Executable, Row
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import NoResultFound


class TransactionLost(Exception):
    """SQLite rolled the whole transaction back by itself: the next statement would commit alone."""


class Prepared:
    """One statement. Values are given by the names of its bound parameters, for an INSERT by column."""

    def __init__(self, statement: Executable) -> None:
        """A statement without expanding (`IN`) parameters."""
        self._statement = statement
        self._made: dict[tuple[str, ...], _Sqlite] = {}

    def all(self, conn: Connection, values: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """Every row."""
        if conn.dialect.name != "sqlite":
            return conn.execute(self._statement, dict(values)).all()
        made = self._sqlite(conn.dialect, values)
        return [made.row(found) for found in made.run(conn, values)]

    def first(self, conn: Connection, values: Mapping[str, Any]) -> Row[Any] | None:
        """The one row, or None."""
        rows = self.all(conn, values)
        return rows[0] if rows else None

    def one(self, conn: Connection, values: Mapping[str, Any]) -> Row[Any]:
        """The one row. Raises NoResultFound."""
        rows = self.all(conn, values)
        if not rows:
            raise NoResultFound("no row was found when one was required")
        return rows[0]

    def scalar(self, conn: Connection, values: Mapping[str, Any]) -> Any:
        """The first column of the one row, or None."""
        rows = self.all(conn, values)
        return rows[0][0] if rows else None

    def run(self, conn: Connection, values: Mapping[str, Any]) -> int:
        """Run it for its effect. Returns how many rows that changed."""
        if conn.dialect.name != "sqlite":
            return conn.execute(self._statement, dict(values)).rowcount
        return self._sqlite(conn.dialect, values).run(conn, values).rowcount

    def _sqlite(self, dialect: Dialect, values: Mapping[str, Any]) -> _Sqlite:
        names = tuple(values)
        made = self._made.get(names)
        if made is None:
            made = self._made[names] = _Sqlite(self._statement, dialect, names)
        return made


class _Sqlite:
    """A statement as the driver takes it, for one set of values."""

    def __init__(self, statement: Any, dialect: Dialect, names: Sequence[str]) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(names))
        self._text = str(compiled)
        binds, order = compiled.binds, compiled.positiontup
        if unknown := [name for name in names if name not in binds]:
            raise KeyError(f"the statement has no {', '.join(unknown)}")
        self._takes = [(name, binds[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in order]
        self._fixed = {name: binds[name].effective_value for name in order if name not in names}
        columns = list(statement.exported_columns)
        processors = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._gives = [(at, give) for at, give in enumerate(processors) if give is not None]
        row: Any = namedtuple("_row", [column.key for column in columns])  # type: ignore[misc]
        self._row = row._make

    def run(self, conn: Connection, values: Mapping[str, Any]) -> sqlite3.Cursor:
        """Execute it."""
        if not conn.in_transaction():
            conn.begin()
        driver = cast(sqlite3.Connection, conn.connection.dbapi_connection)  # the driver's own: nothing is between
        # With an isolation level the driver begins by itself.
        if driver.isolation_level is None and not driver.in_transaction:
            raise TransactionLost("the database rolled the transaction back")
        given = {**self._fixed, **values} if self._fixed else values
        return driver.execute(self._text, [take(given[n]) if take else given[n] for n, take in self._takes])

    def row(self, found: Sequence[Any]) -> Row[Any]:
        """A row with its columns by name and position."""
        columns = list(found)
        for at, give in self._gives:
            columns[at] = give(columns[at])
        return cast(Row[Any], self._row(columns))
