"""The last look before a notice goes to a telephone: what its person said meanwhile, and whose number it is.

A notice may wait for hours; who said STOP since gets no more of them, whatever was queued before.
"""

from __future__ import annotations

from sqlalchemy import Connection

from channels.registry import identity_kind
from gateway import notices, shared_numbers
from gateway.context import Context
from gateway.store.outbox import Row
from gateway.text_names import TO_STAFF, WORD_TEXTS

STOPPED = "the person wants no messages from this number of ours"


def why_not(conn: Connection, ctx: Context, row: Row) -> str:
    """Why this row must not go out by its channel, in words for staff; "" when it may.

    The answer to STOP, START and HELP always may: it is what was asked for last.
    """
    if identity_kind(row.channel) != shared_numbers.PHONE or row.template in WORD_TEXTS:
        return ""
    if notices.wants_none(conn, ctx.settings, row.channel, row.account, row.destination, row.recipient):
        return STOPPED
    if row.template in TO_STAFF:
        return ""  # whose number that is the configuration says
    return shared_numbers.bars(conn, ctx, row.channel, row.recipient, row.kind)
