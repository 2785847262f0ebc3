"""What the gateway would have said and routed, had it been the helpdesk: the report of a pilot.

Beside the old helpdesk the accounts have `outbound: off` or `capture`. Tickets are filed and notices
are composed as ever; the report shows them as people and staff would have seen them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from gateway.context import Context
from gateway.rendering import render
from gateway.store import outbox, schema
from gateway.store.blobs import Blobs
from gateway.web.frame import ApiModel

SILENT = ("off", "capture")


class Said(ApiModel):
    """One notice that went to nobody."""

    id: int
    kind: str
    recipient: str
    language: str
    state: str
    """suppressed or captured; waiting when it is not due yet."""
    due_at: datetime
    subject: str
    text: str
    """As it would have gone out, with the ticket's state of now."""


class Routed(ApiModel):
    """One ticket that was filed."""

    id: int
    number: str
    account: str
    opened_at: datetime
    requester: str
    subject: str
    class_: int | None
    line: str
    onsite: bool
    contract: str | None
    confidence: float | None
    reaction_due: datetime | None
    resolution_due: datetime | None
    because: Sequence[Any]
    """Reasons of class, line and deadlines."""
    said: Sequence[Said]


class ShadowReport(ApiModel):
    """A page of the report, the oldest ticket first."""

    items: Sequence[Routed]
    next_cursor: str | None


def silent_accounts(ctx: Context) -> list[tuple[str, str]]:
    """(channel, account) of those that write to nobody."""
    return [
        (channel, name)
        for channel, accounts in ctx.settings.channels.items()
        for name, account in accounts.items()
        if account.outbound in SILENT
    ]


def report(
    conn: Connection, ctx: Context, blobs: Blobs, *, since: datetime | None, after: int, limit: int
) -> tuple[int | None, Sequence[Routed]]:
    """Tickets of silent accounts opened from `since` on, with an id above `after`, and what was said about each.

    At most `limit` tickets are looked at; the first of the pair is where to go on, None at the end.
    """
    accounts = silent_accounts(ctx)
    table = schema.ticket
    wanted = select(table).where(table.c.id > after).order_by(table.c.id).limit(limit)
    if since is not None:
        wanted = wanted.where(table.c.opened_at >= since)
    looked_at = conn.execute(wanted).all()
    rows = [row for row in looked_at if (row.channel, row.account) in accounts]
    said = _said(conn, ctx, blobs, [row.id for row in rows])
    last = looked_at[-1].id if len(looked_at) == limit else None
    return last, [_routed(row, said.get(row.id, ())) for row in rows]


def _said(conn: Connection, ctx: Context, blobs: Blobs, ids: Sequence[int]) -> Mapping[int, Sequence[Said]]:
    table = schema.outbox
    found: dict[int, list[Said]] = {}
    where = (table.c.ticket_id.in_(ids), table.c.state.in_(("waiting", "suppressed", "captured")))
    for mapping in conn.execute(select(table).where(*where).order_by(table.c.id)).mappings():
        row = outbox.Row(**mapping)
        notice = render(conn, ctx, row, blobs)
        assert row.ticket_id is not None
        found.setdefault(row.ticket_id, []).append(
            Said(
                id=row.id, kind=row.kind, recipient=row.recipient, language=row.language, state=row.state,
                due_at=row.due_at, subject=notice.subject, text=notice.text,
            )
        )  # fmt: skip
    return found


def _routed(row: Row[Any], said: Sequence[Said]) -> Routed:
    same = (
        "id number account opened_at requester subject class_ line onsite contract confidence reaction_due"
        " resolution_due because"
    )
    return Routed(**{name: getattr(row, name) for name in same.split()}, said=said)
