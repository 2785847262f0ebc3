"""`gateway feeds inspect URL`: look at the tables, guess which ones are tickets, and write the mapping down as YAML.

Guesses come from names, types, keys and the words that stand in columns of codes; of people's data nothing is shown.
What could not be guessed is marked FILL-IN.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Connection, MetaData, Table, event

from gateway.feeds import sql_inspect_times as times
from gateway.feeds import sql_inspect_words as names
from gateway.feeds.contract import FeedError
from gateway.feeds.sql_inspect_text import Found, Guess, Tied, written
from gateway.feeds.sql_table_settings import SqlSettings

TABLES = 3_000
"""More are not looked at."""
_WORDS = 30
"""Of a column of codes."""
_TIMELY = frozenset({"opened_at", "closed_at", "resolution_due", "at"})
_LONG = {"dept": "depart", "dep": "depart", "prio": "priority", "cat": "categor"}
"""The beginning of a column's name -> of the table that it points to."""
_TEXTUAL = frozenset(
    {"key", "subject", "text", "requester", "requester_name", "author_name", "message_id", "format", "kind"}
    | {"filename", "content_type", "path"}
)


def propose(conn: Connection, settings: SqlSettings) -> str:
    """The settings of a feed, with comments. Raises FeedError where nothing looks like tickets."""
    tables = _tables(conn, settings.schema_)
    found = _tickets(tables)
    if found is None:
        raise FeedError(f"none of the {len(tables)} tables that we may see looks like tickets", again=False)
    tickets, others = found
    guess = Guess(schema=settings.schema_, tickets=_found(conn, tables, tickets, names.TICKET_COLUMNS))
    guess.others = others
    guess.changed = _named(tickets, names.CHANGED, _timely)
    if guess.changed is None and (text := times.changed(conn, tickets)) is not None:
        guess.changed_text = text
        guess.changed = text.column if text.form else None
    guess.changed_demanded = guess.tickets.demanded.pop(guess.changed or "", None) is not None
    guess.merged = _named(tickets, names.MERGED, lambda column: not _timely(column))
    guess.gone = _named(tickets, names.GONE, lambda column: not _timely(column))
    guess.gone_word = "true" if guess.gone and isinstance(tickets.c[guess.gone].type, sa.Boolean) else "1"
    guess.next = _uncounted(tickets)
    _with_messages(conn, tables, guess, tickets)
    return written(guess)


def _tables(conn: Connection, schema: str | None) -> dict[str, Table]:
    inspector = sa.inspect(conn)
    metadata = MetaData(schema=schema)
    if conn.dialect.name == "sqlite":
        event.listen(metadata, "column_reflect", _dates)
    listed = sorted(inspector.get_table_names(schema=schema))[:TABLES]
    metadata.reflect(conn, schema=schema, only=listed, resolve_fks=False)
    return {table.name: table for table in metadata.tables.values()}


def _dates(_inspector: object, _table: object, found: dict[str, Any]) -> None:
    if isinstance(found["type"], sa.DateTime | sa.Date):
        found["type"] = sa.String()
        found["comment"] = "time"


# -- which tables


def _tickets(tables: Mapping[str, Table]) -> tuple[Table, list[str]] | None:
    """(the likeliest table, others that are likely)."""
    scores = {name: _score(table) for name, table in tables.items()}
    ordered = sorted((name for name, score in scores.items() if score >= 4), key=lambda name: -scores[name])
    return (tables[ordered[0]], ordered[1:4]) if ordered else None


def _score(table: Table) -> int:
    fields = set(_columns(table, names.TICKET_COLUMNS).values())
    score = len(fields) + 2 * ("status" in fields)
    score += 4 * bool(names.TICKETS.search(table.name))
    score -= 5 * bool(names.NOT_TICKETS.search(re.sub(names.TICKETS, "", table.name)))
    return score if table.primary_key.columns else 0


def _columns(table: Table, patterns: Mapping[str, str]) -> dict[str, str]:
    """Column -> field; each field once."""
    taken: dict[str, str] = {}
    own = {column.name for column in table.primary_key}
    for name, pattern in patterns.items():
        for column in table.c:
            if column.name in taken or column.name in own or not _fits(column, name):
                continue
            if re.search(pattern, column.name, re.I):
                taken[column.name] = name
                break
    return taken


def _fits(column: Column[Any], name: str) -> bool:
    if name == "data":
        return not isinstance(column.type, sa.String | sa.Integer | sa.DateTime | sa.Date | sa.Boolean)
    if name in _TIMELY:
        return _timely(column)
    if name in _TEXTUAL:
        return isinstance(column.type, sa.String) and not _timely(column)
    return not _timely(column) and not isinstance(column.type, sa.LargeBinary)


def _timely(column: Column[Any]) -> bool:
    return isinstance(column.type, sa.DateTime | sa.Date) or column.comment == "time"


def _named(table: Table, pattern: str, fits: Callable[[Column[Any]], bool]) -> str | None:
    found = [each for each in table.c if re.search(pattern, each.name, re.I) and fits(each)]
    return min(found, key=lambda each: bool(each.nullable)).name if found else None


def _uncounted(table: Table) -> str | None:
    """A column of the key that nobody counts but the desk's program."""
    keys = list(table.primary_key)
    counted = [each for each in keys if each is table.autoincrement_column or each.server_default is not None]
    numbers = [each for each in keys if isinstance(each.type, sa.Integer)]
    return numbers[-1].name if numbers and not counted else None


# -- what is in them


def _found(conn: Connection, tables: Mapping[str, Table], table: Table, patterns: Mapping[str, str]) -> Found:
    found = Found(table=table.name, ids=[each.name for each in table.primary_key], columns=_columns(table, patterns))
    for column, name in found.columns.items():
        lookup = (
            _lookup(tables, table, table.c[column])
            if name in ("status", "line", "class", "assignee", "contract")
            else None
        )
        if lookup is not None:
            found.lookups[column] = (lookup[0].name, lookup[1], lookup[2])
        if name in ("status", "line", "class", "kind"):
            found.words[name] = _words(conn, table.c[column], lookup)
    found.demanded = _demanded(table, found)
    return found


def _demanded(table: Table, found: Found) -> dict[str, str]:
    """Columns that want a value -> their type."""
    wanted = {}
    for column in table.c:
        itself = column.primary_key and (
            column is table.autoincrement_column or isinstance(column.type, sa.Integer) or column.name in found.columns
        )
        if column.nullable or column.server_default is not None or column.name in found.columns or itself:
            continue
        if _timely(column):
            found.stamps.append(column.name)
        else:
            wanted[column.name] = str(column.type)
    return wanted


def _lookup(tables: Mapping[str, Table], table: Table, column: Column[Any]) -> tuple[Table, str, str] | None:
    """(table, column with the word, column with the code) of what a column points to."""
    target: Table | None = None
    for key in column.foreign_keys:
        target = tables.get(key.target_fullname.split(".")[-2])
    stem = re.sub(r"_?id$", "", column.name, flags=re.I)
    stem = _LONG.get(stem.lower(), stem)
    if target is None and stem != column.name and len(stem) > 2:
        likely = [each for name, each in tables.items() if re.search(rf"(^|_){stem}", name, re.I) and each is not table]
        target = min(likely, key=lambda each: len(each.name), default=None)
    if target is None or len(target.primary_key.columns) != 1:
        return None
    word = next((each.name for each in target.c if names.LOOKUP_WORD.search(each.name) and not each.primary_key), None)
    return (target, word, next(iter(target.primary_key)).name) if word is not None else None


def _words(conn: Connection, column: Column[Any], lookup: tuple[Table, str, str] | None) -> list[str]:
    """The words of a column of codes; none when there are too many, or one could be somebody's text."""
    source = column if lookup is None else lookup[0].c[lookup[1]]
    if lookup is None and isinstance(column.type, sa.Enum):
        return [str(each) for each in column.type.enums]
    rows = conn.execute(sa.select(source).where(source.is_not(None)).distinct().limit(_WORDS + 1)).all()
    words = sorted(str(row[0]).strip() for row in rows)
    return words if len(words) <= _WORDS and all(0 < len(word) <= 40 and "@" not in word for word in words) else []


# -- messages and attachments


def _with_messages(conn: Connection, tables: Mapping[str, Table], guess: Guess, tickets: Table) -> None:
    for table in _by_name(tables, names.MESSAGES, tickets):
        tied = _tied(table, tickets) or _through(tables, table, tickets)
        if tied is None or "text" not in _columns(table, names.MESSAGE_COLUMNS).values():
            continue
        guess.messages = _found(conn, tables, table, names.MESSAGE_COLUMNS)
        _drop(guess.messages, tied.on)
        guess.messages_tied, guess.messages_next = tied, _uncounted(table)
        guess.messages.demanded = {name: kind for name, kind in guess.messages.demanded.items() if name not in tied.on}
        if tied.table is not None:
            guess.through = _found(conn, tables, tables[tied.table], {"opened_at": names.TICKET_COLUMNS["opened_at"]})
            _drop(guess.through, tied.beside)
            guess.kind_column = _one_letter(tables[tied.table])
        for files in _by_name(tables, names.FILES, table):
            on = _tied(files, table)
            columns = set(_columns(files, names.FILE_COLUMNS).values())
            if on is not None and "filename" in columns and columns & {"data", "path"}:
                guess.files, guess.files_tied = _found(conn, tables, files, names.FILE_COLUMNS), on
                _drop(guess.files, on.on)
                break
        return


def _drop(found: Found, tied: Iterable[str]) -> None:
    for name in tied:
        found.columns.pop(name, None)
        found.demanded.pop(name, None)


def _by_name(tables: Mapping[str, Table], pattern: re.Pattern[str], than: Table) -> list[Table]:
    return [table for name, table in sorted(tables.items()) if pattern.search(name) and table is not than]


def _tied(table: Table, to: Table) -> Tied | None:
    """By a declared foreign key, or by names."""
    for constraint in table.foreign_key_constraints:
        pairs = {element.parent.name: element.target_fullname.split(".") for element in constraint.elements}
        if all(target[-2] == to.name for target in pairs.values()):
            return Tied(on={name: target[-1] for name, target in pairs.items()})
    keys = [each.name for each in to.primary_key]
    if len(keys) > 1:
        return Tied(on={name: name for name in keys}) if all(name in table.c for name in keys) else None
    stem = re.sub(r"s$", "", to.name.rpartition("_")[2])
    likely = [keys[0]] if keys[0].lower() != "id" else []
    own = {each.name for each in table.primary_key}
    for name in (*likely, f"{stem}_id", f"{stem}id", f"id_{stem}", stem, "object_id"):
        if name in table.c and name not in own:
            return Tied(on={name: keys[0]})
    return None


def _through(tables: Mapping[str, Table], table: Table, tickets: Table) -> Tied | None:
    """Messages hang on a row that hangs on the ticket."""
    for middle in tables.values():
        if middle is table or middle is tickets or len(middle.primary_key.columns) != 1:
            continue
        upper, lower = _tied(middle, tickets), _tied(table, middle)
        if upper is not None and lower is not None and "object_id" not in lower.on:
            return Tied(on=lower.on, table=middle.name, beside=upper.on)
    return None


def _one_letter(table: Table) -> str | None:
    """A column that says what the row hangs on, as in object_type."""
    return next(
        (each.name for each in table.c if re.search(r"object_?type|entity_?type|^kind$", each.name, re.I)), None
    )
