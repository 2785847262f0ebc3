"""A proposal."""

from __future__ import annotations

from sqlalchemy import Connection, Inspector

from gateway.feeds.sql_table_settings import SqlSettings


def propose(inspector: Inspector, conn: Connection, settings: SqlSettings) -> str:
    raise NotImplementedError
