"""Reports of how far a message of ours has got: ranked, shown on the ticket, and acted on when it did not arrive.

They come late, twice, in any order, never, and before the call that sent the message has returned.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, update

from channels.registry import identity_kind
from gateway import next_channel, updates
from gateway.context import Context
from gateway.filing_case import Filed
from gateway.filing_robots import may_wait, put_back
from gateway.filing_threads import find_issued
from gateway.outbox_results import NOT_TOLD_ABOUT
from gateway.store import consents, outbox, people, phones, schema, send_status, tickets
from gateway.store.journal import Entry
from gateway.store.outbox import Row, State
from gateway.updates import Change
from normalizer.message import Json, KeyKind, SendStatus, ThreadKey, Verdict

SHOWN = frozenset({"delivered", "read"})
"""What the ticket's history shows beside what failed."""
WENT: tuple[State, ...] = ("sent", "unknown")
"""States of a notice that a failure changes."""
FAILED: tuple[State, ...] = ("refused", "unreachable", "unknown")
"""States that an arrival changes."""
AGAIN: tuple[State, ...] = (*FAILED, "waiting")
"""The same where it is the last try that arrived, which was reported as lost before."""
ENDS: Mapping[Verdict, State] = {"unreachable": "unreachable", "consent": "unreachable"}
"""What a notice is after a verdict; refused after the others."""
NO_MOBILE = frozenset({"21614", "30006"})
"""Codes by which the network says that a number is a landline."""
TRIES = 3
"""A telephone that is off: the notice goes out so many times in all, then by the next channel."""
PAUSE = timedelta(minutes=30)


def file_status(conn: Connection, ctx: Context, entry: Entry, status: SendStatus, now: datetime) -> Filed:
    """Write a report down and do what it asks for, once."""
    row = _row(conn, entry, status)
    sending = row.state == "sending" if row is not None else outbox.is_sending(
        conn, entry.raw.channel, people.normal(status.recipient)
    )  # fmt: skip
    if sending and may_wait(entry, now):
        return put_back(conn, entry, now)
    if row is None:
        return Filed(kind="status", because="names nothing that we sent")
    place = {"channel": entry.raw.channel, "account": entry.raw.account}
    if not send_status.advance(conn, status, outbox_id=row.id, **place, now=now):
        return Filed(kind="status", because="known, or overtaken by a later one")
    if _is_present(row, status):
        _act(conn, ctx, entry, row, status, now)
    number = str(tickets.get(conn, row.ticket_id).number) if row.ticket_id is not None else ""
    return Filed(kind="status", ticket_id=row.ticket_id, number=number, because=status.state)


# -- which notice -------------------------------------------------------------------------


def _row(conn: Connection, entry: Entry, status: SendStatus) -> Row | None:
    """The notice: by its row in the address that we gave, else by the key that its sending left."""
    row = outbox.get(conn, status.notice) if status.notice else None
    if row is not None and _fits(row, entry, status):
        return row
    key = find_issued(conn, [ThreadKey(kind=KeyKind.EXTERNAL, value=status.external_key)])
    rows = outbox.listing(conn, ticket_id=key.ticket_id, limit=1000) if key is not None else []
    return next((one for one in rows if status.external_key in (one.external_ids or ())), None)


def _fits(row: Row, entry: Entry, status: SendStatus) -> bool:
    """After a restored backup rows have numbers that others had before."""
    same = (row.channel, row.account) == (entry.raw.channel, entry.raw.account)
    return same and people.normal(row.recipient) == people.normal(status.recipient)


def _is_present(row: Row, status: SendStatus) -> bool:
    """It is about the last try; what became of an earlier one says nothing about the notice."""
    return not row.external_ids or status.external_key in row.external_ids


# -- what it came to ----------------------------------------------------------------------


def _act(conn: Connection, ctx: Context, entry: Entry, row: Row, status: SendStatus, now: datetime) -> None:
    if status.verdict:
        _failed(conn, ctx, entry, row, status, now)
    elif status.state in SHOWN:
        ours = status.external_key in (row.external_ids or ())
        _set(conn, row, AGAIN if ours else FAILED, "sent", status.state, now)
        people.mark_reachable(conn, identity_kind(row.channel), row.recipient, row.channel)
        _event(conn, entry, row, "delivered", {"outbox": row.id, "notice": row.kind, "state": status.state})


def _failed(conn: Connection, ctx: Context, entry: Entry, row: Row, status: SendStatus, now: datetime) -> None:
    if status.verdict == "consent":
        ours = consents.endpoint(row.account, {"from": status.endpoint})
        sent_at = row.sending_at or entry.raw.received_at
        consents.refused(conn, row.channel, ours, row.recipient, sent_at=sent_at, now=entry.raw.received_at)
    elif status.verdict == "unreachable":
        if row.channel == "sms" and status.code in NO_MOBILE:
            phones.learn(conn, row.recipient, "no mobile", now=now)
        people.mark_unreachable(conn, identity_kind(row.channel), row.recipient, row.channel, status.detail, now)
    if row.state not in WENT:
        return
    data: dict[str, Json] = {
        "outbox": row.id,
        "notice": row.kind,
        "recipient": row.recipient,
        "detail": status.detail,
        "verdict": status.verdict,
    }
    if status.verdict == "temporary" and row.attempts < TRIES and row.state == "sent":
        again = now + PAUSE
        _set(conn, row, WENT, "waiting", status.detail, now, due_at=again, settled_at=None, owner=None)
        _event(conn, entry, row, "undelivered", {**data, "state": "waiting", "again": again.isoformat()})
        return
    end: State = ENDS.get(status.verdict, "refused")
    fault = "ours" if status.verdict == "alarm" else "far_side"
    _set(conn, row, WENT, end, status.detail, now, fault=fault)
    if (way := next_channel.hand_on(conn, ctx, row, now)) is not None:
        data["next"] = {"channel": way.channel, "recipient": way.address}
    data["state"] = end
    event_id = _event(conn, entry, row, "undelivered", data)
    if event_id is None or row.ticket_id is None or row.kind in NOT_TOLD_ABOUT:
        return
    change = Change(ticket_id=row.ticket_id, event_id=event_id, kind="undelivered", actor="gateway", data=data)
    updates.compose(conn, ctx, change, now)


def _set(
    conn: Connection, row: Row, before: tuple[State, ...], after: State, detail: str, now: datetime, **more: Any
) -> None:
    values = {"state": after, "detail": f"reported: {detail}"[:1000], "settled_at": now, **more}
    conn.execute(
        update(schema.outbox).where(schema.outbox.c.id == row.id, schema.outbox.c.state.in_(before)).values(values)
    )


def _event(conn: Connection, entry: Entry, row: Row, kind: str, data: Mapping[str, Json]) -> int | None:
    if row.ticket_id is None:
        return None
    at, key = entry.raw.received_at, f"status:{entry.id}"
    return tickets.add_event(conn, row.ticket_id, at=at, actor="gateway", kind=kind, data=dict(data), key=key)
