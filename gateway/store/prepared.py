"""Statements that run in every filing transaction, without what SQLAlchemy does around each execution.

On SQLite a statement takes 3 to 10 microseconds and SQLAlchemy's way to it 35 more: with thirty of them a mail that
was most of what a mail cost. A `Prepared` is an ordinary Core statement that SQLAlchemy compiles once; after that it
goes to the driver (sqlite3 or psycopg) as text with its parameters, converted by the same column types.
"""

from __future__ import annotations

import json
import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from pydantic_core import PydanticSerializationError, to_json
from sqlalchemy import Connection, Executable, Row, Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import NoResultFound

Converter: TypeAlias = Callable[[Any], Any]
"""A column's value as the driver takes it, or as we want it."""
T = TypeVar("T")


class TransactionLost(Exception):
    """The database rolled the whole transaction back by itself: the next statement would commit alone."""


def json_text(value: Any) -> str:
    """As `json.dumps` has it, in a fifth of its time: filing a mail writes a dozen of these."""
    try:
        return to_json(value).decode()
    except PydanticSerializationError:
        return json.dumps(value)  # a lone surrogate has no UTF-8: there it is escaped


class Cursor(Protocol):
    """What both drivers give back."""

    @property
    def rowcount(self) -> int:
        """Rows that were changed."""
        ...

    @property
    def description(self) -> Any:
        """(name, kind, …) of each column, as PEP 249 has it."""
        ...

    def fetchall(self) -> Sequence[Any]:
        """Every row."""
        ...


class Prepared:
    """One statement. Values are given by the names of its bound parameters, for an INSERT by column."""

    def __init__(self, statement: Executable) -> None:
        """A statement without expanding (`IN`) parameters."""
        self._statement = statement
        self._made: dict[tuple[str, ...], _Compiled] = {}

    def all(self, conn: Connection, values: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """Every row."""
        made = self._compiled(conn.dialect, values)
        return made.rows(made.run(conn, values))

    def pipelined(self, conn: Connection, many: Sequence[Mapping[str, Any]]) -> list[Sequence[Row[Any]]]:
        """Every row of each of several executions with the same names, sent together (psycopg only)."""
        made = self._compiled(conn.dialect, many[0])
        driver: Any = conn.connection.driver_connection
        with driver.pipeline():
            cursors = [made.run(conn, values) for values in many]
        return [made.rows(cursor) for cursor in cursors]

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
        return self._compiled(conn.dialect, values).run(conn, values).rowcount

    def _compiled(self, dialect: Dialect, values: Mapping[str, Any]) -> _Compiled:
        names = (dialect.name, *values)
        made = self._made.get(names)
        if made is None:
            kind = _Sqlite if dialect.name == "sqlite" else _Psycopg
            made = self._made[names] = kind(self._statement, dialect, names[1:])
        return made


class _Compiled:
    """A statement as the driver takes it, for one set of values."""

    def __init__(self, statement: Any, dialect: Dialect, names: Sequence[str]) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(names))
        self._text = str(compiled)
        binds = compiled.binds
        self._order = tuple(compiled.positiontup if compiled.positional else compiled.bind_names.values())
        if unknown := [name for name in names if name not in binds]:
            raise KeyError(f"the statement has no {', '.join(unknown)}")
        self._takes = _converters(
            binds[name].type.dialect_impl(dialect).bind_processor(dialect) for name in self._order
        )
        self._fixed = {name: binds[name].effective_value for name in self._order if name not in names}
        columns = list(statement.exported_columns)
        self._dialect = dialect
        self._types = [column.type.dialect_impl(dialect) for column in columns]
        self._gives: Sequence[tuple[int, Converter]] | None = None
        self._row: Any = namedtuple("_row", [column.key for column in columns])  # type: ignore[misc]

    def run(self, conn: Connection, values: Mapping[str, Any]) -> Cursor:
        """Execute it."""
        if not conn.in_transaction():
            conn.begin()
        given = {**self._fixed, **values} if self._fixed else values
        taken = [given[name] for name in self._order]
        for at, take in self._takes:
            taken[at] = take(taken[at])
        return self._execute(conn.connection.driver_connection, taken)

    def _execute(self, driver: Any, taken: Sequence[Any]) -> Cursor:
        raise NotImplementedError

    def rows(self, cursor: Cursor) -> Sequence[Row[Any]]:
        """Rows with their columns by name and position."""
        found = cursor.fetchall()
        if not found:
            return ()
        gives = self._gives
        if gives is None:
            kinds = zip(self._types, cursor.description or (), strict=True)
            gives = self._gives = _converters(kind.result_processor(self._dialect, told[1]) for kind, told in kinds)
        return [cast(Row[Any], self._made_row(gives, columns)) for columns in found]

    def _made_row(self, gives: Sequence[tuple[int, Converter]], columns: Sequence[Any]) -> Any:
        row = list(columns)
        for at, give in gives:
            row[at] = give(row[at])
        return self._row._make(row)


def _converters(of_columns: Iterable[Converter | None]) -> Sequence[tuple[int, Converter]]:
    """(position, converter) of those columns that have one: most go to the driver, and come back, as they are."""
    return [(at, convert) for at, convert in enumerate(of_columns) if convert is not None]


class _Sqlite(_Compiled):
    def _execute(self, driver: sqlite3.Connection, taken: Sequence[Any]) -> Cursor:
        refuse_outside_transaction(driver)
        return driver.execute(self._text, taken)


def refuse_outside_transaction(driver: sqlite3.Connection) -> None:
    """Raise TransactionLost where the next statement would commit alone."""
    # With an isolation level the driver begins by itself.
    if driver.isolation_level is None and not driver.in_transaction:
        raise TransactionLost("the database rolled the transaction back")


class _Psycopg(_Compiled):
    def _execute(self, driver: Any, taken: Sequence[Any]) -> Cursor:
        return cast(Cursor, driver.execute(self._text, dict(zip(self._order, taken, strict=True))))


PIECES = (64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1)
"""Rows of one statement. Each number of rows is a statement of its own, that is kept: so there are few of them."""


def pieces(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """`rows` in as few of these numbers as they make."""
    start = 0
    while left := len(rows) - start:
        size = next(size for size in PIECES if size <= left)
        yield rows[start : start + size]
        start += size


class Rows:
    """An INSERT of many rows by few statements, on SQLite. Values are given by position."""

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        """Of these columns."""
        dialect = sqlite.dialect(json_serializer=json_text)
        kinds = [table.c[name].type.dialect_impl(dialect) for name in columns]
        self._takes = _converters(kind.bind_processor(dialect) for kind in kinds)
        self._width = len(columns)
        row = f"({', '.join('?' * self._width)})"
        insert = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES "
        self._statements = {size: insert + ", ".join([row] * size) for size in PIECES}

    def insert(self, conn: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert all of them, each of all columns. Raises sqlite3.IntegrityError for one that is there."""
        if not conn.in_transaction():
            conn.begin()
        driver = cast(sqlite3.Connection, conn.connection.driver_connection)
        for piece in pieces(rows):
            refuse_outside_transaction(driver)
            given = list(chain.from_iterable(piece))
            for first, take in self._takes:
                for at in range(first, len(given), self._width):
                    given[at] = take(given[at])
            driver.execute(self._statements[len(piece)], given)
