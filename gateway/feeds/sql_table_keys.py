"""What a table itself sees to: that a key is there once, that a transaction can be taken back."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy import Connection, Table

_SQLITE = (
    'SELECT 1 FROM pragma_index_list(:table) AS one WHERE one."unique" AND NOT one.partial'
    " AND (SELECT count(*) FROM pragma_index_info(one.name)) = 1"
    " AND (SELECT each.name FROM pragma_index_info(one.name) AS each) = :column"
    # ON CONFLICT REPLACE or IGNORE refuses nothing: the desk's row would go, or ours not come, and no error says so.
    " AND NOT EXISTS (SELECT 1 FROM sqlite_master AS made WHERE made.name = :table AND made.type = 'table'"
    " AND made.sql LIKE '%ON%CONFLICT%')"
)


def is_unique(conn: Connection, table: Table, column: str) -> bool:
    """Does the database refuse a second row with one value there? Not when only some rows count."""
    if [each.name for each in table.primary_key] == [column]:
        return True
    if conn.dialect.name == "sqlite":
        # SQLAlchemy does not see `VARCHAR(40) UNIQUE` there.
        return conn.scalar(sa.text(_SQLITE), {"table": table.name, "column": column}) is not None
    # Of an index its expressions: those that are no columns count as well, and its columns are without them.
    whole = [_names(index.expressions) for index in table.indexes if index.unique and not _partial(index)]
    whole += [_names(one.columns) for one in table.constraints if isinstance(one, sa.UniqueConstraint)]
    return [column] in whole


def _names(parts: Iterable[object]) -> list[str]:
    return [part.name if isinstance(part, sa.Column) else "" for part in parts]


def _partial(index: sa.Index) -> bool:
    return index.dialect_options["postgresql"]["where"] is not None


def rolls_back(table: Table) -> bool:
    """Does it know transactions?"""
    return str(table.kwargs.get("mysql_engine", "")).lower() not in ("myisam", "aria", "memory")
