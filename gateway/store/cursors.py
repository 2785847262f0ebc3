"""How far each account has been read (rule 3): written in the transaction of what was passed."""

from __future__ import annotations

from sqlalchemy import Connection, select

from channels.contract import Cursor
from gateway.store import schema
from gateway.store.dialect import upsert


def put(conn: Connection, cursor: Cursor) -> None:
    """Set the cursor."""
    values = {
        "channel": cursor.channel,
        "account": cursor.account,
        "name": cursor.name,
        "value": cursor.value,
    }
    upsert(conn, schema.cursor, values, keys=("channel", "account", "name"))


def get(conn: Connection, channel: str, account: str, name: str) -> str | None:
    """The cursor's value, None when the account was never read."""
    table = schema.cursor
    query = select(table.c.value).where(table.c.channel == channel, table.c.account == account, table.c.name == name)
    return conn.execute(query).scalar_one_or_none()
