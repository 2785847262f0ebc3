"""How long free words may go to somebody, on channels where that ends a while after they wrote last."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select

from channels.registry import CHANNELS
from gateway.store.outbox import Row
from gateway.store.schema import message, ticket
from gateway.text_names import TO_STAFF
from normalizer.message import Facts


def of_row(conn: Connection, row: Row) -> Facts:
    """`window_until`, an ISO time, for the sender of a channel that has such windows; nothing for all others.

    Votes and words like STOP open a window, too, and are no messages of a ticket: they are left out, and what answers
    them names the conversation and no ticket. What goes to staff, alarms above all, answers nobody.
    """
    channel = CHANNELS.get(row.channel)
    if channel is None or channel.window is None:
        return {}
    answers = row.ticket_id is None and bool(row.destination) and row.template not in TO_STAFF
    heard = row.created_at if answers else _heard(conn, row)
    return {} if heard is None else {"window_until": (heard + channel.window).isoformat()}


def _heard(conn: Connection, row: Row) -> datetime | None:
    """When the person wrote to the account last."""
    last = (
        select(func.max(message.c.at))
        .join(ticket, ticket.c.id == message.c.ticket_id)
        .where(
            ticket.c.requester == row.recipient,
            ticket.c.channel == row.channel,
            ticket.c.account == row.account,
            message.c.author == row.recipient,
            message.c.direction == "in",
        )
    )
    heard: datetime | None = conn.scalar(last)
    return heard
