"""Where conversations with a menu stand, as sync functions inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from gateway.store.dialect import insert_new
from gateway.store.people import normal
from gateway.store.prepared import Prepared
from gateway.store.schema import dialog, ticket

_PLACE = (
    dialog.c.channel == bindparam("of_channel"),
    dialog.c.account == bindparam("of_account"),
    dialog.c.peer == bindparam("of_peer"),
)
_FIND = Prepared(select(dialog.c.state).where(*_PLACE).with_for_update())
_LOOK = Prepared(select(dialog.c.state).where(*_PLACE))


def find(conn: Connection, channel: str, account: str, peer: str) -> Mapping[str, Any] | None:
    """The state of a conversation, locked until the transaction ends; None when there never was one."""
    row = _FIND.first(conn, {"of_channel": channel, "of_account": account, "of_peer": normal(peer)})
    return None if row is None else dict(row.state)


def lock(conn: Connection, channel: str, account: str, peer: str, now: datetime) -> Mapping[str, Any]:
    """The state of a conversation, made empty when there is none, locked until the transaction ends."""
    place = {"channel": channel, "account": account, "peer": normal(peer)}
    insert_new(conn, dialog, {**place, "state": {}, "updated_at": now})
    return find(conn, channel, account, peer) or {}


def private_place(conn: Connection, channel: str, account: str, person: str) -> Mapping[str, Any] | None:
    """Where somebody is written to alone (`Conversation.answer_to`); None when they never wrote to us in private."""
    place = {"of_channel": channel, "of_account": account, "of_peer": normal(person)}
    # Not locked: whoever asks holds a ticket, and who is heard locks the dialog before the ticket.
    row = _LOOK.first(conn, place)
    if row is not None and row.state.get("private"):
        return dict(row.state["private"])
    theirs = (
        select(ticket.c.conversation)
        .where(
            ticket.c.requester == normal(person),
            ticket.c.channel == channel,
            ticket.c.account == account,
            ticket.c.conversation.is_not(None),
        )
        .order_by(ticket.c.id.desc())
        .limit(_LATELY)
    )
    said = (place for place in conn.scalars(theirs) if place and place.get("private"))
    return next((place["answer_to"] for place in said if place.get("answer_to")), None)


_LATELY = 20
"""Tickets of a person that are looked at for a private one."""


def save(
    conn: Connection, channel: str, account: str, peer: str, state: Mapping[str, Any], *, entry_id: int, now: datetime
) -> None:
    """Remember the state that this entry led to."""
    conn.execute(
        update(dialog)
        .where(dialog.c.channel == channel, dialog.c.account == account, dialog.c.peer == normal(peer))
        .values(state=dict(state), entry_id=entry_id, updated_at=now)
    )
