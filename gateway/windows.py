"""How long free words may go to somebody, on channels where that ends a while after they wrote last."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, select

from channels.registry import CHANNELS
from gateway.store.outbox import Row
from gateway.store.prepared import Prepared
from gateway.store.schema import message, ticket
from normalizer.message import Facts

_HEARD = Prepared(
    select(func.max(message.c.at))
    .join(ticket, ticket.c.id == message.c.ticket_id)
    .where(
        ticket.c.requester == bindparam("of_person"),
        ticket.c.channel == bindparam("of_channel"),
        ticket.c.account == bindparam("of_account"),
        message.c.author == bindparam("of_person"),
        message.c.direction == "in",
    )
)


def of_row(conn: Connection, row: Row) -> Facts:
    """`window_until`, an ISO time, for the sender of a channel that has such windows; nothing for all others.

    Votes and words like STOP open a window, too, and are no messages of a ticket: they are left out, and what answers
    them names the conversation and no ticket.
    """
    channel = CHANNELS.get(row.channel)
    if channel is None or channel.window is None:
        return {}
    wanted = {"of_person": row.recipient, "of_channel": row.channel, "of_account": row.account}
    heard = row.created_at if row.ticket_id is None and row.destination else _HEARD.scalar(conn, wanted)
    return {} if heard is None else {"window_until": (heard + channel.window).isoformat()}
