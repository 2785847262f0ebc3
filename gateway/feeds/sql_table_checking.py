"""`gateway check --online` for tables: the connection, each column, each right, and what would go wrong later.

Rights are asked for with EXPLAIN: the database looks whether we may and does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway.feeds.contract import FeedError, Finding
from gateway.feeds.settings import Maps
from gateway.feeds.sql_table_engine import Busy, reading, writing
from gateway.feeds.sql_table_errors import trouble
from gateway.feeds.sql_table_forms import Kind, Misfit
from gateway.feeds.sql_table_keys import is_unique
from gateway.feeds.sql_table_messages import numbered
from gateway.feeds.sql_table_settings import SqlSettings
from gateway.feeds.sql_table_shape import Bound, Mismapped, Shape, Slot, bind
from gateway.feeds.sql_table_values import Words

_APART = timedelta(minutes=5)
KEYS = {"tickets": 24, "messages": 40}
"""Characters of the longest key of ours that is likely."""


def check(engine: Engine, settings: SqlSettings) -> Sequence[Finding]:
    """Everything at once, as far as one can get."""
    try:
        with reading(engine) as conn:
            version = ".".join(str(part) for part in conn.dialect.server_version_info or ())
            found = [Finding(good=True, what=f"connected to {conn.dialect.name} {version}")]
            try:
                shape = bind(conn, settings)
            except Mismapped as error:
                return [*found, *(Finding(good=False, what=each.what, mend=each.mend) for each in error.problems)]
            found.append(Finding(good=True, what="all tables and columns of the mapping are there"))
            found += _mapping(conn, shape, settings)
        found += _rights(engine, shape, settings)
        return found
    except (SQLAlchemyError, FeedError) as error:
        text = str(error) if isinstance(error, FeedError) else trouble(error).text
        return [Finding(good=False, what=text, mend="correct the URL, or what the database lets its user do")]


# -- rights


def _rights(engine: Engine, shape: Shape, settings: SqlSettings) -> Iterator[Finding]:
    tables = [each for each in (*shape.places(), shape.messages, shape.attachments) if each is not None]
    for bound in tables:
        for right, statement in _statements(bound, settings, is_ticket=bound in tuple(shape.places())):
            yield _right(engine, bound, right, statement)
    if engine.dialect.name == "sqlite" and settings.push:
        yield _writable(engine)


def _statements(bound: Bound, settings: SqlSettings, *, is_ticket: bool) -> Iterator[tuple[str, sa.Executable]]:
    nothing = sa.literal(1) == 0
    read = {*(slot.column for slot in bound.slots), *bound.ids, *(bound.table.c[name] for name in bound.on)}
    yield "SELECT", sa.select(*sorted(read, key=lambda each: each.name)).where(nothing)
    if not settings.push:
        return
    counted = [bound.next.name] if bound.next is not None else []
    names = [*(slot.column.name for slot in bound.slots if slot.writes), *bound.constants, *bound.on, *counted]
    columns = [bound.table.c[name] for name in dict.fromkeys(names)]
    yield "INSERT", bound.table.insert().inline().values({each.name: sa.null() for each in columns})
    altered = [slot.column for slot in bound.slots if slot.alters and slot.field != "key"]
    if is_ticket and altered:
        yield "UPDATE", bound.table.update().where(nothing).values({each.name: sa.null() for each in altered})


def _right(engine: Engine, bound: Bound, right: str, statement: Any) -> Finding:
    name = f"{right} on {bound.table.name}"
    try:
        with reading(engine) as conn:
            said = statement.compile(conn, compile_kwargs={"literal_binds": True, "render_postcompile": True})
            conn.exec_driver_sql(f"EXPLAIN {said}".replace("%", "%%"))
    except SQLAlchemyError as error:
        found = trouble(error)
        return Finding(
            good=False, what=f"{name}: {found.text}", mend=f"GRANT {right} on the table (or on the mapped columns)"
        )
    return Finding(good=True, what=f"{name} is granted")


def _writable(engine: Engine) -> Finding:
    try:
        with writing(engine, "check") as conn:
            conn.rollback()
    except (SQLAlchemyError, Busy) as error:
        return Finding(
            good=False, what=trouble(error).text, mend="let the gateway's user write the file and its folder"
        )
    return Finding(good=True, what="the file can be written")


# -- the mapping


def _mapping(conn: Connection, shape: Shape, settings: SqlSettings) -> Iterator[Finding]:
    yield from _key(conn, shape.key, "tickets")
    if shape.messages is not None:
        key = shape.messages.of("key")
        assert key is not None, "the settings demand it"
        yield from _key(conn, key, "messages")
        yield from _heard(shape, shape.messages, settings)
    else:
        yield _warning("no table of messages is mapped", "only the first message is written; map `messages`")
    if not shape.rolls_back:
        yield _warning(
            "a table knows no transactions (MyISAM)",
            "ask the desk to convert it to InnoDB; a broken write is gone on with",
        )
    yield from _times(conn, shape, settings)
    yield from _words(conn, shape, settings.map)


def _key(conn: Connection, slot: Slot, what: str) -> Iterator[Finding]:
    table, name = slot.column.table.name, slot.column.name
    needed = KEYS[what]
    if slot.form.kind is not Kind.TEXT or (slot.form.length is not None and slot.form.length < needed):
        yield Finding(
            good=False, what=f"column {table}.{name} is too narrow for our key", mend=f"{needed} characters are needed"
        )
    indexes = sa.inspect(conn).get_indexes(table, schema=slot.column.table.schema)
    indexed = {each["column_names"][0] for each in indexes if each["column_names"]}
    if is_unique(conn, slot.column.table, name):
        yield Finding(good=True, what=f"{table}.{name} keeps the key of {what}, and is unique")
    elif name in {*indexed, *(column.name for column in list(slot.column.table.primary_key)[:1])}:
        yield _warning(
            f"{table}.{name} is indexed, and not unique", "a unique index would rule doubles out for everybody"
        )
    else:
        yield _warning(f"{table}.{name} has no index", "each write looks our key up: ask for a unique index")


def _heard(shape: Shape, messages: Bound, settings: SqlSettings) -> Iterator[Finding]:
    if not settings.read:
        return
    if messages.of("public") is None and messages.of("kind") is None:
        yield _warning(
            "neither `public` nor `kind` is mapped", "every message of the desk is taken as a note, and leaves nowhere"
        )
    if not numbered(messages) and messages.of("at") is None:
        yield Finding(good=False, what="messages cannot be heard: their key is no number", mend="map a column to `at`")


def _times(conn: Connection, shape: Shape, settings: SqlSettings) -> Iterator[Finding]:
    slots = [slot for bound in (*shape.places(), shape.messages) if bound is not None for slot in bound.slots]
    walls = [slot.column for slot in slots if slot.form.kind in (Kind.WALL, Kind.DAY)]
    if not walls or conn.dialect.name == "sqlite":
        return
    # A zone that is wrong by hours makes us look for changes at the wrong times, and miss them.
    asked = "localtimestamp(0), EXTRACT(EPOCH FROM now())"
    if conn.dialect.name == "mysql":
        asked = "NOW(), UNIX_TIMESTAMP()"
    row = conn.execute(sa.text(f"SELECT {asked}")).one()
    here = datetime.fromtimestamp(float(row[1]), ZoneInfo(settings.timezone)).replace(tzinfo=None)
    if abs(here - row[0]) > _APART:
        names = ", ".join(f"{each.table.name}.{each.name}" for each in walls)
        yield _warning(
            f"it is {row[0]:%H:%M} by the server's clock and {here:%H:%M} in {settings.timezone}, and {names} hold"
            " times without a zone",
            "set `timezone` to the one that the desk's program writes them in: else what it changes is not heard",
        )


def _words(conn: Connection, shape: Shape, maps: Maps) -> Iterator[Finding]:
    """Every word of the maps has to fit its column."""
    words = Words(conn, maps)
    tables = [*shape.places(), *([shape.messages] if shape.messages is not None else [])]
    for slot in (slot for bound in tables for slot in bound.slots):
        mapped = slot.spec.values or getattr(maps, "class_" if slot.field == "class" else slot.field, None)
        for ours in mapped if isinstance(mapped, dict) else ():
            try:
                words.coded(slot, ours)
            except Misfit as error:
                yield Finding(
                    good=False, what=f"{slot.field} {ours}: {error} (column {slot.column})", mend="correct the map"
                )


def _warning(what: str, mend: str) -> Finding:
    return Finding(good=False, what=what, mend=mend, warning=True)
