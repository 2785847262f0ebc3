"""Where conversations with a menu stand, as sync functions inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from gateway.store.dialect import insert_new
from gateway.store.people import normal
from gateway.store.prepared import Prepared
from gateway.store.schema import dialog

_PLACE = (
    dialog.c.channel == bindparam("of_channel"),
    dialog.c.account == bindparam("of_account"),
    dialog.c.peer == bindparam("of_peer"),
)
_FIND = Prepared(select(dialog.c.state).where(*_PLACE).with_for_update())


def find(conn: Connection, channel: str, account: str, peer: str) -> Mapping[str, Any] | None:
    """The state of a conversation, locked until the transaction ends; None when there never was one."""
    row = _FIND.first(conn, {"of_channel": channel, "of_account": account, "of_peer": normal(peer)})
    return None if row is None else dict(row.state)


def lock(conn: Connection, channel: str, account: str, peer: str, now: datetime) -> Mapping[str, Any]:
    """The state of a conversation, made empty when there is none, locked until the transaction ends."""
    place = {"channel": channel, "account": account, "peer": normal(peer)}
    insert_new(conn, dialog, {**place, "state": {}, "updated_at": now})
    return find(conn, channel, account, peer) or {}


def save(
    conn: Connection, channel: str, account: str, peer: str, state: Mapping[str, Any], *, entry_id: int, now: datetime
) -> None:
    """Remember the state that this entry led to."""
    conn.execute(
        update(dialog)
        .where(dialog.c.channel == channel, dialog.c.account == account, dialog.c.peer == normal(peer))
        .values(state=dict(state), entry_id=entry_id, updated_at=now)
    )
