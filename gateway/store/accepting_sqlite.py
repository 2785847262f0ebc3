"""Accepting on SQLite: what waits together is written by one statement for each table.

While a statement runs the loop goes on beside it, but before and after each one the two threads wait for each other,
which takes longer than a row. So messages that nobody has seen, which is nearly all of them, go in pieces. A piece in
which anything may be a repeat or a variant is written message by message, and so is a lone one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import BigInteger, Boolean, Connection, bindparam, insert, select, text
from sqlalchemy.dialects import sqlite

from channels.contract import Accepted
from gateway.store.accepting import COLUMNS, New
from gateway.store.prepared import Prepared, Rows, pieces
from gateway.store.schema import delivery, entry, raw

_SAME_ID = select(entry.c.id).where(
    entry.c.channel == bindparam("channel"), entry.c.external_id == bindparam("external_id")
)
_ENTRY = Prepared(
    sqlite.insert(entry)
    .values({name: bindparam(name) for name in COLUMNS} | {"variant": _SAME_ID.exists().select().scalar_subquery()})
    .on_conflict_do_nothing(index_elements=[entry.c.dedupe])
    .returning(entry.c.id, entry.c.variant)
)
_RAW = Prepared(insert(raw))
# The names are one parameter: a list of parameters would be a statement of its own for each length.
# CROSS JOIN: each name is looked up in the index, https://www.sqlite.org/optoverview.html#crossjoin
_KNOWN = Prepared(
    text("""
        SELECT (SELECT coalesce(max(id), 0) FROM entry) AS newest, EXISTS (
            SELECT 1 FROM json_each(:names) AS named CROSS JOIN entry
            WHERE entry.channel = json_extract(named.value, '$[0]')
            AND entry.external_id = json_extract(named.value, '$[1]')
        ) AS known
    """).columns(newest=BigInteger, known=Boolean)
)
_of_entry = itemgetter(*COLUMNS)
_ENTRIES = Rows(entry, ("id", *COLUMNS))
_RAWS = Rows(raw, ("entry_id", "content"))
_DELIVERIES = Rows(delivery, ("entry_id", "account", "recipient"))


def insert_all(conn: Connection, messages: Sequence[New]) -> list[Accepted | None]:
    """Write entries with their bytes and deliveries, in this order; None for one that was there already."""
    found: list[Accepted | None] = []
    for piece in pieces(messages):
        first = _free(conn, piece)
        found += _one_by_one(conn, piece) if first is None else _at_once(conn, piece, first)
    return found


def _free(conn: Connection, piece: Sequence[New]) -> int | None:
    """The first id that is free; None where one of the messages may be known, or two of them have the same id."""
    names = {(new.values["channel"], new.values["external_id"]) for new in piece}
    if len(piece) == 1 or len(names) < len(piece):
        return None
    found = _KNOWN.one(conn, {"names": json.dumps([*names])})
    return None if found.known else int(found.newest) + 1


def _at_once(conn: Connection, piece: Sequence[New], first: int) -> list[Accepted | None]:
    numbered = list(enumerate(piece, first))
    _ENTRIES.insert(conn, [(number, *_of_entry(new.values)) for number, new in numbered])
    _RAWS.insert(conn, [(number, new.content) for number, new in numbered if new.content is not None])
    _DELIVERIES.insert(conn, [(number, *to) for number, new in numbered for to in dict.fromkeys(new.deliveries)])
    return [Accepted(entry=number, duplicate=False) for number, _ in numbered]


def _one_by_one(conn: Connection, piece: Sequence[New]) -> Iterator[Accepted | None]:
    for new in piece:
        made: Any = _ENTRY.first(conn, new.values)
        if made is None:
            yield None
            continue
        if new.content is not None:
            _RAW.run(conn, {"entry_id": made.id, "content": new.content})
        _DELIVERIES.insert(conn, [(made.id, *to) for to in dict.fromkeys(new.deliveries)])
        yield Accepted(entry=made.id, duplicate=False, variant=made.variant)
