"""Several new tickets in one transaction: a COMMIT costs as much for many as for one.

Where the tables are plain, all rows of a table are one statement, too. Whatever goes wrong with one of them goes wrong
for all: the caller takes everything back and makes them one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Dialect

from gateway.feeds.contract import Open
from gateway.feeds.sql_table_settings import SqlSettings
from gateway.feeds.sql_table_shape import Bound, Shape
from gateway.feeds.sql_table_writing import COUNTED, Writer, Wrote


class Unexpected(Exception):
    """The database did not say which row is which, or made fewer rows: a trigger made something else of them."""


def open_all(
    conn: Connection, shape: Shape, settings: SqlSettings, now: datetime, writes: Sequence[Open]
) -> Sequence[Wrote]:
    """Make the tickets, none of which has files. Raises what `Writer.write` raises, an IntegrityError when one of them
    is there already, and Unexpected."""
    writers = [Writer(conn, shape, settings, now, looks=shape.looks) for _ in writes]
    if not shape.plain:
        return [writer.write(write) for writer, write in zip(writers, writes, strict=True)]
    facts = [writer.facts(write.ticket, write.first) for writer, write in zip(writers, writes, strict=True)]
    rows = [writer.ticket_row(each) for writer, each in zip(writers, facts, strict=True)]
    [number], key = shape.tickets.ids, shape.key.column
    numbers = dict(_inserted(conn, shape.tickets, rows, (key, number)))
    try:
        places = [{number.name: numbers[row[key.name]]} for row in rows]
    except KeyError:
        raise Unexpected from None
    if shape.messages is not None:
        said = zip(writers, facts, places, strict=True)
        _inserted(conn, shape.messages, [one.message_row(shape.messages, each, place) for one, each, place in said], ())
    else:
        for writer, write in zip(writers, writes, strict=True):
            writer.unmapped(write.first, new=True)
    return [writer.done([place[number.name]]) for writer, place in zip(writers, places, strict=True)]


@dataclass(frozen=True, slots=True)
class _Insert:
    """A statement for so many rows with these columns."""

    text: str
    order: tuple[int, ...] | None
    """Where the driver takes parameters by their places: which value stands where. None: it takes them by names."""
    binders: tuple[Callable[[Any], Any] | None, ...]
    """What makes a value into one that the driver takes, for each column."""

    def bound(self, rows: Sequence[Sequence[Any]]) -> Any:
        """The parameters."""
        values = [
            each if binder is None else binder(each)
            for row in rows
            for each, binder in zip(row, self.binders, strict=True)
        ]
        if self.order is not None:
            return tuple([values[place] for place in self.order])
        return {_name(place): each for place, each in enumerate(values)}


def _name(place: int) -> str:
    return f"p{place}"


def _inserted(
    conn: Connection, bound: Bound, rows: Sequence[Mapping[str, Any]], said: Sequence[Column[Any]]
) -> list[Any]:
    """Make rows; what the database says of them, in any order. Raises Unexpected where it made fewer."""
    alike: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for row in rows:
        whole = {**bound.constants, **row}
        alike.setdefault(tuple(whole), []).append(tuple(whole.values()))
    found: list[Any] = []
    for names, values in alike.items():
        place = ("insert", names, len(values))
        insert = bound.statements.get(place)
        if insert is None:
            insert = bound.statements[place] = _compiled(bound, names, len(values), said, conn.dialect)
        made = conn.exec_driver_sql(insert.text, insert.bound(values), execution_options=COUNTED)
        if said:
            found += made.all()
        elif made.rowcount != len(values):
            raise Unexpected
    return found


def _compiled(bound: Bound, names: Sequence[str], count: int, said: Sequence[Column[Any]], dialect: Dialect) -> _Insert:
    # SQLAlchemy keeps no compiled statement of several rows, and needs longer to make one than the database to do it.
    columns = [bound.table.c[name] for name in names]
    places = {_name(place): place for place in range(count * len(columns))}
    free = iter(places)
    given = [{column: sa.bindparam(next(free), type_=column.type) for column in columns} for _ in range(count)]
    statement = sa.insert(bound.table).values(given)
    compiled = (statement.returning(*said) if said else statement).compile(dialect=dialect)
    return _Insert(
        text=str(compiled),
        order=tuple(places[name] for name in compiled.positiontup or ()) if compiled.positional else None,
        binders=tuple(column.type.dialect_impl(dialect).bind_processor(dialect) for column in columns),
    )
