"""The tables as they are in the database, and the mapping laid over them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy import Column, Connection, MetaData, Table, event

from gateway.feeds.sql_table_forms import Form, Kind, Misfit, form_of
from gateway.feeds.sql_table_keys import is_unique, rolls_back
from gateway.feeds.sql_table_settings import (
    SqlAttachments,
    SqlBeside,
    SqlLookup,
    SqlMessages,
    SqlSettings,
    SqlSpec,
    SqlTickets,
)

TIMES = frozenset({"opened_at", "updated_at", "closed_at", "reaction_due", "resolution_due", "now", "at"})
_CHARSETS = {
    "utf8mb4": None, "utf8mb3": "bmp", "utf8": "bmp", "ucs2": "bmp", "utf16": None, "utf32": None, "latin1": "cp1252",
    "cp1251": "cp1251", "koi8r": "koi8_r", "koi8u": "koi8_u", "cp866": "cp866", "cp1250": "cp1250",
    "latin2": "iso8859_2",
    "ascii": "ascii", "greek": "iso8859_7", "latin5": "iso8859_9", "cp1257": "cp1257", "latin7": "iso8859_13",
    # PostgreSQL's
    "UTF8": None, "WIN1251": "cp1251", "WIN1252": "cp1252", "KOI8R": "koi8_r", "KOI8U": "koi8_u", "WIN866": "cp866",
    "LATIN1": "latin_1", "SQL_ASCII": None,
}  # fmt: skip
"""A server's name of a character set -> Python's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Where the mapping and the database differ."""

    what: str
    mend: str


class Mismapped(Exception):
    """The mapping does not fit the database."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{each.what}: {each.mend}" for each in problems)[:450])
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A mapped column."""

    column: Column[Any]
    field: str
    spec: SqlSpec
    form: Form
    words: tuple[Column[Any], Column[Any]] | None = None
    """(word, code) of the table that its lookup names."""

    @property
    def writes(self) -> bool:
        """With a new row."""
        return self.spec.way != "in"

    @property
    def alters(self) -> bool:
        """With a change, too."""
        return self.spec.way in ("both", "out")

    @property
    def reads(self) -> bool:
        """Is it listened to?"""
        return self.spec.way != "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A table and what of it is mapped."""

    table: Table
    slots: tuple[Slot, ...]
    constants: Mapping[str, Any]
    ids: tuple[Column[Any], ...] = ()
    on: Mapping[str, str] = field(default_factory=dict)
    """Its column -> the column that it repeats."""
    next: Column[Any] | None = None
    guarded: bool = False
    """Is a second row with one key of ours refused by the database itself?"""
    statements: dict[object, Any] = field(default_factory=dict, compare=False)
    """Made once: SQLAlchemy needs longer to make one than the database to do it."""

    def of(self, name: str) -> Slot | None:
        """The column of a field."""
        return next((slot for slot in self.slots if slot.field == name), None)

    def where(self, ids: Sequence[Any]) -> sa.ColumnElement[bool]:
        """The row with this key."""
        return sa.and_(*(column == value for column, value in zip(self.ids, ids, strict=True)))

    def is_like(self) -> list[sa.ColumnElement[bool]]:
        """Rows with the constants."""
        return [self.table.c[name] == value for name, value in self.constants.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """All tables."""

    tickets: Bound
    beside: Mapping[str, Bound]
    messages: Bound | None
    attachments: Bound | None
    number: Column[Any] | None
    changed: tuple[Column[Any], Form] | None
    merged: Column[Any] | None
    gone: tuple[sa.ColumnElement[bool], ...]
    problems: tuple[Problem, ...]
    rolls_back: bool
    """False: the tables know no transactions (MyISAM)."""
    locks: bool
    """True: two pushes of one ticket at the same time have to be kept apart by us."""
    gathers: bool
    """May several tickets be made in one transaction? Not where one of them waits for a lock of ours while it holds up
    the others, nor where nothing can be taken back."""
    plain: bool
    """Does one statement make several tickets? It has to say the number that the database counted for each."""

    @property
    def looks(self) -> bool:
        """Must we ask for a ticket before we make it? Not where the database itself refuses a second one, and says so
        by nothing but our key."""
        return self.locks or not self.rolls_back or self.tickets.next is not None

    @property
    def key(self) -> Slot:
        """Where our key is."""
        return next(slot for bound in self.places() for slot in bound.slots if slot.field == "key")

    def places(self) -> Iterator[Bound]:
        """The tickets and what is beside them."""
        yield self.tickets
        yield from self.beside.values()

    def joined(self) -> sa.FromClause:
        """The tickets with what is beside them."""
        found: sa.FromClause = self.tickets.table
        for each in self.beside.values():
            same = [each.table.c[name] == self.tickets.table.c[of] for name, of in each.on.items()]
            found = found.outerjoin(each.table, sa.and_(*same, *each.is_like()))
        return found

    def ref(self, ids: Sequence[Any]) -> str:
        """A key as one text."""
        words = [str(each).rstrip() if isinstance(each, str) else str(each) for each in ids]
        return words[0] if len(words) == 1 else json.dumps(words, ensure_ascii=False, separators=(",", ":"))

    def ids(self, ref: str) -> tuple[Any, ...] | None:
        """The key of a text; None when it can be none of this table's."""
        columns = self.tickets.ids
        try:
            words = [ref] if len(columns) == 1 else json.loads(ref)
            return tuple(_as(column, word) for column, word in zip(columns, words, strict=True))
        except (ValueError, TypeError):
            return None


def _as(column: Column[Any], word: str) -> Any:
    return int(word) if isinstance(column.type, sa.Integer) else str(word)


class _Binder:
    """Lays a mapping over a database, and collects what does not fit."""

    def __init__(self, conn: Connection, settings: SqlSettings) -> None:
        self._conn, self._settings = conn, settings
        self._zone = ZoneInfo(settings.timezone)
        self._metadata = MetaData(schema=settings.schema_)
        self._sets: dict[str, Mapping[str, str | None]] = {}
        self.problems: list[Problem] = []
        if conn.dialect.name == "sqlite":
            event.listen(self._metadata, "column_reflect", _times_as_text)

    def table(self, name: str) -> Table | None:
        """As it is in the database; None, and a problem, when it is not there."""
        try:
            return Table(name, self._metadata, autoload_with=self._conn, resolve_fks=False)
        except sa.exc.NoSuchTableError:
            self.problems.append(
                Problem(
                    what=f"there is no table {name}, or we may not see it", mend="correct the name, or grant SELECT"
                )
            )
            return None

    def column(self, table: Table, name: str, why: str) -> Column[Any] | None:
        """A column by name; None, and a problem, when it is not there."""
        found = table.c.get(name)
        if found is None:
            what = f"table {table.name} has no column {name} ({why})"
            self.problems.append(
                Problem(what=what, mend="correct the name; the columns are " + ", ".join(table.c.keys()))
            )
        return found

    def slots(self, table: Table, specs: Mapping[str, Any]) -> tuple[Slot, ...]:
        """The mapped columns."""
        found = (self._slot(table, name, spec) for name, spec in specs.items())
        return tuple(slot for slot in found if slot is not None)

    def _slot(self, table: Table, name: str, spec: Any) -> Slot | None:
        column = self.column(table, name, f"mapped to {spec.field}")
        if column is None:
            return None
        form = form_of(
            column, zone=self._zone, charset=self._charset(column), unit=spec.unit, timely=spec.field in TIMES,
            refuse=spec.too_long == "refuse" or spec.field in ("key", "number"),
        )  # fmt: skip
        if form is None or (spec.field == "data") != (form.kind is Kind.BYTES):
            self.problems.append(
                Problem(
                    what=f"column {table.name}.{name} ({column.type!r}) cannot hold {spec.field}",
                    mend="map another one",
                )
            )
            return None
        if spec.default is not None:
            self._fixed(column, form, spec.default, f"columns.{name}.default")
        words = self._words(spec.lookup) if spec.lookup is not None else None
        return Slot(column=column, field=spec.field, spec=spec, form=form, words=words)

    def _words(self, lookup: SqlLookup) -> tuple[Column[Any], Column[Any]] | None:
        table = self.table(lookup.table)
        if table is None:
            return None
        word, value = self.column(table, lookup.word, "lookup"), self.column(table, lookup.value, "lookup")
        return None if word is None or value is None else (word, value)

    def constants(self, table: Table, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """As they are bound."""
        found = {}
        for name, value in given.items():
            column = self.column(table, name, "a constant")
            form = column is not None and form_of(
                column, zone=self._zone, charset=None, unit=None, timely=False, refuse=True
            )
            if column is not None and form:
                found[name] = self._fixed(column, form, value, "constants")
        return found

    def _fixed(self, column: Column[Any], form: Form, value: Any, where: str) -> Any:
        """A value of the mapping's own as it is bound; a problem when it does not fit."""
        if form.timely:
            return value
        try:
            bind, note = form.write(value)
        except Misfit as error:
            bind, note = None, str(error)
        if note:
            what = f"column {column.table.name}.{column.name} does not take {value!r} ({column.type})"
            self.problems.append(Problem(what=what, mend=f"correct `{where}`"))
        return bind

    def bound(
        self, given: SqlTickets | SqlBeside | SqlMessages | SqlAttachments, *, ids: Sequence[str],
        on: Mapping[str, str],
    ) -> Bound | None:  # fmt: skip
        """One table."""
        table = self.table(given.table)
        if table is None:
            return None
        slots = self.slots(table, given.columns)
        keys = [self.column(table, name, "of its key") for name in ids]
        for name in on:
            self.column(table, name, "what ties it to the other table")
        wanted = getattr(given, "next", None)
        counted = self.column(table, wanted, "counted by us") if wanted is not None else None
        constants = self.constants(table, given.constants)
        self._demanded(table, {*(slot.column.name for slot in slots if slot.writes), *constants, *on}, counted)
        key = next((slot.column.name for slot in slots if slot.field == "key"), None)
        return Bound(
            table=table, slots=slots, constants=constants, ids=tuple(each for each in keys if each is not None), on=on,
            next=counted, guarded=key is not None and is_unique(self._conn, table, key),
        )  # fmt: skip

    def _demanded(self, table: Table, given: set[str], counted: Column[Any] | None) -> None:
        """Columns that the table wants a value for, and that have none."""
        for column in table.c:
            filled = column.server_default is not None or column.nullable or column.identity is not None
            numbered = column is table.autoincrement_column or column is counted or column.computed is not None
            if not filled and not numbered and column.name not in given and not _numbers_itself(table, column):
                what = f"column {table.name}.{column.name} is NOT NULL and has no default"
                self.problems.append(Problem(what=what, mend="put it into `constants`, or map it"))

    def _charset(self, column: Column[Any]) -> str | None:
        if not isinstance(column.type, sa.String):
            return None
        name = self._conn.dialect.name
        if name == "postgresql":
            return _CHARSETS.get(self._encoding("").get("", "UTF8") or "UTF8")
        return self._encoding(column.table.name).get(column.name) if name == "mysql" else None

    def _encoding(self, table: str) -> Mapping[str, str | None]:
        if table not in self._sets:
            if not table:
                self._sets[table] = {"": self._conn.scalar(sa.text("SHOW server_encoding"))}
            else:
                asked = sa.text(
                    "SELECT column_name, character_set_name FROM information_schema.columns"
                    " WHERE table_schema = DATABASE() AND table_name = :table"
                )
                rows = self._conn.execute(asked, {"table": table})
                self._sets[table] = {row[0]: _CHARSETS.get(row[1] or "utf8mb4", "ascii") for row in rows}
        return self._sets[table]


def _numbers_itself(table: Table, column: Column[Any]) -> bool:
    """SQLite's INTEGER PRIMARY KEY."""
    return column.primary_key and len(table.primary_key.columns) == 1 and isinstance(column.type, sa.Integer)


def _times_as_text(_inspector: object, _table: object, found: dict[str, Any]) -> None:
    # SQLite keeps times as texts or numbers in any form; SQLAlchemy would take one form only.
    if isinstance(found["type"], sa.DateTime | sa.Date):
        found["type"] = sa.String()


def bind(conn: Connection, settings: SqlSettings) -> Shape:
    """Read the tables and lay the mapping over them. Raises Mismapped when that does not go, and SQLAlchemy's."""
    given = settings.tickets
    if given is None:
        raise Mismapped([Problem(what="`tickets` is missing", mend="`gateway feeds inspect` proposes it")])
    binder = _Binder(conn, settings)
    tickets = binder.bound(given, ids=given.id, on={})
    beside = {name: binder.bound(each, ids=(), on=each.ticket) for name, each in given.beside.items()}
    messages, files = None, None
    if (wanted := settings.messages) is not None:
        messages = binder.bound(wanted, ids=wanted.id, on=wanted.ticket)
    if (attached := settings.attachments) is not None:
        files = binder.bound(attached, ids=(), on=attached.message)
    if tickets is None:
        raise Mismapped(binder.problems)
    number, changed, merged = (
        binder.column(tickets.table, name, key) if name is not None else None
        for key, name in (("number", given.number), ("changed", given.changed), ("merged", given.merged))
    )
    zone = ZoneInfo(settings.timezone)
    unit = given.columns[given.changed].unit if given.changed is not None and given.changed in given.columns else None
    timed = changed is not None and form_of(changed, zone=zone, charset=None, unit=unit, timely=True, refuse=False)
    if timed and not timed.timely:
        what = f"column {tickets.table.name}.{given.changed} ({changed!r}) holds no time"
        binder.problems.append(Problem(what=what, mend="leave `changed` out, or name another column"))
    gone = [
        column.in_(values)
        for name, values in given.gone.items()
        if (column := binder.column(tickets.table, name, "gone")) is not None
    ]
    whole = {name: each for name, each in beside.items() if each is not None}
    all_tables = [each.table for each in (tickets, messages, files, *whole.values()) if each is not None]
    if binder.problems:
        raise Mismapped(binder.problems)
    locks, all_roll_back = _locks(tickets, messages, whole), all(rolls_back(each) for each in all_tables)
    return Shape(
        tickets=tickets, beside=whole, messages=messages, attachments=files, number=number,
        merged=merged,
        changed=(changed, timed) if changed is not None and timed else None, gone=tuple(gone),
        problems=tuple(binder.problems), locks=locks, rolls_back=all_roll_back,
        gathers=all_roll_back and (not locks or conn.dialect.name == "sqlite"),
        plain=not locks and _plain(conn, tickets, messages),
    )  # fmt: skip


def _plain(conn: Connection, tickets: Bound, messages: Bound | None) -> bool:
    """Has each row nothing but values that we know, and the ticket's number?"""
    counted = [column.name for column in tickets.ids if column is tickets.table.autoincrement_column]
    tied = [*messages.on.values()] if messages is not None else counted
    bounds = [bound for bound in (tickets, messages) if bound is not None]
    computed = any(slot.form.kind is Kind.STAMP for bound in bounds for slot in bound.slots)
    numbered = len(counted) == len(tickets.ids) and {*tied} == {*counted}
    return conn.dialect.insert_returning and numbered and not computed and all(one.next is None for one in bounds)


def _locks(tickets: Bound, messages: Bound | None, beside: Mapping[str, Bound]) -> bool:
    return bool(beside) or not tickets.guarded or (messages is not None and not messages.guarded)
