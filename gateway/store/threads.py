"""Thread keys and conversations: what ties a message to a ticket (rules 7 and 8)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from gateway.store.dialect import add_new, insert_into, insert_rows
from gateway.store.people import normal
from gateway.store.prepared import Prepared
from gateway.store.schema import conversation, thread_key

LONGEST = 255
"""Characters of a key's value; a longer one is kept as its hash."""

# Made once: building a statement costs more than running it.
_FIND = (
    select(thread_key)
    .where(thread_key.c.kind == bindparam("wanted_kind"), thread_key.c.value.in_(bindparam("wanted", expanding=True)))
    .order_by(thread_key.c.kind, thread_key.c.value)
    .with_for_update()
)
_FIND_ONE = Prepared(
    select(thread_key)
    .where(thread_key.c.kind == bindparam("wanted_kind"), thread_key.c.value == bindparam("wanted_value"))
    .with_for_update()
)
_PLACE = (
    conversation.c.channel == bindparam("of_channel"),
    conversation.c.account == bindparam("of_account"),
    conversation.c.peer == bindparam("of_peer"),
)
_TOUCH = Prepared(
    update(conversation)
    .where(*_PLACE)
    .values(ticket_id=bindparam("ticket_id"), last_at=bindparam("last_at"), last_digest=bindparam("last_digest"))
)


def key_value(value: str) -> str:
    """The stored form of a key's value: itself, or "sha256:" and the hex digest of a long one."""
    if len(value) <= LONGEST:
        return value
    return "sha256:" + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def add_key(
    conn: Connection, ticket_id: int, kind: str, value: str, *, issued: bool, recipient: str | None = None
) -> bool:
    """Tie a key to a ticket. False when it is tied already, to this ticket or another.

    `issued` says that we chose it (then `recipient` is whom it was sent to); else it was seen.
    """
    row = {"kind": kind, "value": key_value(value), "ticket_id": ticket_id, "issued": issued}
    row["recipient"] = None if recipient is None else normal(recipient)
    return add_new(conn, thread_key, row)


def add_keys(
    conn: Connection, ticket_id: int, keys: Sequence[tuple[str, str]], *, issued: bool, recipient: str | None = None
) -> list[tuple[str, str]]:
    """`add_key` of several (kind, value) in one go; returns those that are tied already."""
    told = None if recipient is None else normal(recipient)
    rows = [
        {"kind": kind, "value": key_value(value), "ticket_id": ticket_id, "issued": issued, "recipient": told}
        for kind, value in keys
    ]
    added = {(row.kind, row.value) for row in insert_rows(conn, thread_key, rows)}
    return [key for key, row in zip(keys, rows, strict=True) if (row["kind"], row["value"]) not in added]


def find_keys(conn: Connection, keys: Iterable[tuple[str, str]]) -> list[Row[Any]]:
    """Rows of those (kind, value) that are tied to a ticket, locked in sorted order on PostgreSQL."""
    wanted: dict[str, set[str]] = {}
    for kind, value in keys:
        wanted.setdefault(kind, set()).add(key_value(value))
    found: list[Row[Any]] = []
    for kind, values in sorted(wanted.items()):
        if len(values) == 1:
            found += _FIND_ONE.all(conn, {"wanted_kind": kind, "wanted_value": next(iter(values))})
        else:
            found += conn.execute(_FIND, {"wanted_kind": kind, "wanted": sorted(values)})
    return found


def told(conn: Connection, kind: str, value: str) -> str | None:
    """Whom a key that we issued was sent to; None where we do not know."""
    wanted = select(thread_key.c.recipient).where(thread_key.c.kind == kind, thread_key.c.value == key_value(value))
    return conn.scalar(wanted)


def keys_of(conn: Connection, ticket_id: int) -> Sequence[Row[Any]]:
    """Every key of a ticket."""
    return conn.execute(select(thread_key).where(thread_key.c.ticket_id == ticket_id)).all()


def lock_conversation(conn: Connection, channel: str, account: str, peer: str) -> Row[Any]:
    """The conversation's row, made when missing, locked until the transaction ends."""
    place = {"channel": channel, "account": account, "peer": normal(peer)}
    return _lock(conn.dialect.name).one(conn, place)


@lru_cache(maxsize=2)
def _lock(dialect: str) -> Prepared:
    # An update that changes nothing locks the row that is there, and gives it back: one statement instead of two.
    made = insert_into(dialect, conversation).on_conflict_do_update(
        index_elements=list(conversation.primary_key.columns), set_={"last_digest": conversation.c.last_digest}
    )
    return Prepared(made.returning(conversation))


def touch_conversation(
    conn: Connection, channel: str, account: str, peer: str, *, ticket_id: int | None, at: datetime, digest: str
) -> None:
    """Remember the last ticket of a conversation, when, and the digest of the last message."""
    columns = {"ticket_id": ticket_id, "last_at": at, "last_digest": digest}
    _TOUCH.run(conn, {**columns, **_where(channel, account, peer)})


def _where(channel: str, account: str, peer: str) -> dict[str, str]:
    return {"of_channel": channel, "of_account": account, "of_peer": normal(peer)}
