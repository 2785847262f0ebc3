"""Insert a row unless its key is there already: what "on conflict do nothing" is called here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_once(conn: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert one row; False when any unique key of it is taken (nothing is changed then)."""
    return bool(conn.execute(_insert(conn, table).values(values).on_conflict_do_nothing()).rowcount)


def insert_once_id(
    conn: Connection, table: Table, values: Mapping[str, Any], *, key: Sequence[str] | None = None
) -> int | None:
    """The same for a table with an `id`: the new id, or None when a unique key is taken.

    With `key` only those columns are looked at; any other key that is taken raises IntegrityError.
    """
    statement = _insert(conn, table).values(values).on_conflict_do_nothing(index_elements=key)
    return conn.execute(statement.returning(table.c.id)).scalar_one_or_none()


def count_up(conn: Connection, table: Table, key: Mapping[str, Any], column: str) -> int:
    """Add one to `column` of the row with this primary key, made when missing; returns the new value."""
    counted = table.c[column]
    statement = (
        _insert(conn, table)
        .values({**key, column: 1})
        .on_conflict_do_update(index_elements=list(key), set_={column: counted + 1})
        .returning(counted)
    )
    return int(conn.execute(statement).scalar_one())


def _insert(conn: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    return postgresql.insert(table) if conn.dialect.name == "postgresql" else sqlite.insert(table)
