"""Calls whose end nobody tells us: they are over by themselves, and leave what any other call would."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from gateway.call_tickets import Turn
from gateway.context import Context
from gateway.filing_calls import is_over
from gateway.store import calls, journal
from gateway.store.blobs import Blobs
from normalizer.call import Ended
from normalizer.message import Address, CallEvent


def give_up(conn: Connection, ctx: Context, blobs: Blobs, call_id: int, now: datetime) -> bool:
    """Let a call be over of which we heard no end, in the caller's transaction: a ticket, or its reason, and the
    outcome `no_end` for both. A late word of its end still counts. False when it is over by now. Raises Conflict."""
    row = calls.lock_known(conn, call_id)
    if row.outcome or row.ended_at is not None:
        return False
    for first in journal.load(conn, [row.entry_id] if row.entry_id is not None else [], blobs):
        event = CallEvent(
            call=row.call, happening=Ended(state="completed"), aside=True, caller=Address(address=""),
            called=row.called,
        )  # fmt: skip
        is_over(Turn(conn=conn, ctx=ctx, entry=first, event=event, call=row, now=now, unheard_end="ticket_no_end"))
    calls.change(conn, call_id, outcome=calls.NO_END)
    return True
