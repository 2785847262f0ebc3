"""A chat got another id at the far side: everything that names it by the old one follows, in the caller's transaction.

A group of Telegram that becomes a supergroup does so. The far side says it in the chat, and when we write to the old
id: who learns it first tells the waiting notices, the conversations and their tickets.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from sqlalchemy import Connection, or_, select, update

from gateway.store import tickets
from gateway.store.dialect import insert_new, is_one_of
from gateway.store.outbox import Row
from gateway.store.schema import conversation, outbox
from normalizer.message import Json

BORDERS = (":", "/")
"""What follows the chat's own part at the front of a conversation's id."""


def follow(conn: Connection, row: Row, destination: Mapping[str, Json]) -> None:
    """`row` was told that its destination is this one now."""
    before = row.destination or {}
    changed = {name: value for name, value in destination.items() if before.get(name, value) != value}
    own = {row.ticket_id} if row.ticket_id is not None else set()
    for name, after in changed.items():
        moved(conn, row.channel, row.account, name, before[name], after, also=own)


def moved(
    conn: Connection, channel: str, account: str, name: str, before: Json, after: Json, also: Set[int] = frozenset()
) -> None:
    """The place that destinations call `name` had the id `before`. `also`: tickets that may name it."""
    _rows(conn, channel, account, name, before, after)
    for ticket_id in sorted(_conversations(conn, channel, account, str(before), str(after)) | also):
        _ticket(conn, ticket_id, name, before, after)


def _rows(conn: Connection, channel: str, account: str, name: str, before: Json, after: Json) -> None:
    """Notices that wait for this chat."""
    waiting = select(outbox.c.id, outbox.c.destination).where(
        is_one_of(outbox.c.state, "waiting"),
        outbox.c.channel == channel,
        outbox.c.account == account,
        outbox.c.destination.is_not(None),
    )
    for found in conn.execute(waiting).all():
        if found.destination and found.destination.get(name) == before:
            values = {"destination": {**found.destination, name: after}}
            conn.execute(update(outbox).where(outbox.c.id == found.id).values(values))


def _conversations(conn: Connection, channel: str, account: str, before: str, after: str) -> set[int]:
    """Rename the conversations of this chat; the tickets that they were last about."""
    mine = (conversation.c.channel == channel, conversation.c.account == account)
    of_chat = or_(*(conversation.c.peer.startswith(before + border, autoescape=True) for border in BORDERS))
    touched = set()
    for found in conn.execute(select(conversation).where(*mine, of_chat)).all():
        values = {**found._mapping, "peer": after + found.peer.removeprefix(before)}
        # Somebody may have written under the new id already: that is newer.
        insert_new(conn, conversation, values)
        conn.execute(conversation.delete().where(*mine, conversation.c.peer == found.peer))
        if found.ticket_id is not None:
            touched.add(int(found.ticket_id))
    return touched


def _ticket(conn: Connection, ticket_id: int, name: str, before: Json, after: Json) -> None:
    place: dict[str, Any] = dict(tickets.get(conn, ticket_id).conversation or {})
    answer_to = dict(place.get("answer_to") or {})
    if answer_to.get(name) != before:
        return
    own = str(place.get("id", ""))
    if own.startswith(tuple(f"{before}{border}" for border in BORDERS)):
        place["id"] = str(after) + own.removeprefix(str(before))
    tickets.update(conn, ticket_id, conversation={**place, "answer_to": {**answer_to, name: after}})
