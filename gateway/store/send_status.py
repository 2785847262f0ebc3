"""How far messages of ours have got at a far side that reports it: one row each, and a rank that only rises."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from gateway.store.dialect import insert_new
from gateway.store.schema_chats import send_status
from normalizer.message import SendState, SendStatus

RANKS: Mapping[SendState, int] = {
    "accepted": 0, "queued": 1, "sending": 2, "sent": 3, "undelivered": 4, "failed": 4, "canceled": 4, "delivered": 5,
    "read": 6,
}  # fmt: skip
"""Reports come in any order, and twice: the highest one counts. What arrived after all did arrive."""


def advance(conn: Connection, status: SendStatus, *, outbox_id: int, channel: str, account: str, now: datetime) -> bool:
    """Write the state down. False when it, or one beyond it, is known."""
    said = {"state": status.state, "verdict": status.verdict, "detail": status.detail[:500], "at": now}
    row = {"external_key": status.external_key, "outbox_id": outbox_id, "channel": channel, "account": account}
    if insert_new(conn, send_status, {**row, **said}) is not None:
        return True
    lower = [state for state, rank in RANKS.items() if rank < RANKS[status.state]]
    statement = (
        update(send_status)
        .where(send_status.c.external_key == status.external_key, send_status.c.state.in_(lower))
        .values(said)
    )
    return conn.execute(statement).rowcount == 1


def alarms_since(conn: Connection, since: datetime) -> dict[tuple[str, str], str]:
    """(channel, account) -> why, of those whose setup kept a message from arriving after `since`."""
    wanted = (
        select(send_status.c.channel, send_status.c.account, func.max(send_status.c.detail).label("why"))
        .where(send_status.c.at > since, send_status.c.verdict == "alarm")
        .group_by(send_status.c.channel, send_status.c.account)
    )
    return {(row.channel, row.account): row.why for row in conn.execute(wanted)}
