"""What timers check when they fire: one visible table, kind -> check (rule 14).

Each check reads its condition again in the transaction that marks the timer as fired, and returns
what it found in a few words.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, select

from gateway import clocks, desk, incidents, rating_calls, surveys, updates
from gateway.context import Context
from gateway.store import schema, tickets
from gateway.store.timers import Timer
from gateway.timers import Check
from gateway.updates import Change
from normalizer.message import Json


def _deadline(kind: Literal["warning", "breach"], clock: clocks.Clock) -> Check:
    """A deadline comes near, or has passed: said once for each deadline, if it still holds."""

    def check(conn: Connection, ctx: Context, timer: Timer, now: datetime) -> str:
        ticket = tickets.get(conn, timer.ticket_id)
        due: datetime | None = getattr(ticket, f"{clock}_due")
        if due is None:
            return "the clock does not run"
        if due != datetime.fromisoformat(timer.data["due"]):
            return "the deadline moved"
        if ticket.status == "held":
            return "held"
        if kind == "warning" and now >= due:
            return "too late to warn"
        if kind == "warning" and timer.data["late"] and _warned(conn, ticket.id, clock):
            return "warned before"
        data: dict[str, Json] = {"clock": clock, "due": due.isoformat()}
        key = f"{kind}:{ticket.id}:{clock}:{due.isoformat()}"
        return _tell(conn, ctx, ticket.id, kind, kind, data, key, now)

    return check


def _warned(conn: Connection, ticket_id: int, clock: str) -> bool:
    return any(
        event.kind == "warning" and event.data.get("clock") == clock for event in tickets.history(conn, ticket_id)
    )


def _tell(
    conn: Connection,
    ctx: Context,
    ticket_id: int,
    event: str,
    change: str,
    data: Mapping[str, Json],
    key: str,
    now: datetime,
) -> str:
    event_id = tickets.add_event(conn, ticket_id, at=now, actor="gateway", kind=event, data=data, key=key)
    if event_id is None:
        return "told before"
    updates.compose(
        conn, ctx, Change(ticket_id=ticket_id, event_id=event_id, kind=change, actor="gateway", data=data), now
    )
    return "told"


def _same_state(conn: Connection, timer: Timer) -> tuple[Row[Any], Row[Any]] | None:
    """The ticket and the event that began its state, if that is still the state the timer was put for."""
    last = clocks.last_status_event(tickets.history(conn, timer.ticket_id))
    ticket = tickets.get(conn, timer.ticket_id)
    if last is None or last.id != timer.version or ticket.status != clocks.status_moment(last):
        return None
    return ticket, last


def close(conn: Connection, ctx: Context, timer: Timer, now: datetime) -> str:
    """Close a ticket that has waited for the customer, or stood resolved, for the configured days."""
    found = _same_state(conn, timer)
    if found is None:
        return "the status changed"
    ticket, _ = found
    settings = ctx.settings.tickets
    if not {"waiting": settings.close_waiting, "resolved": settings.close_resolved}[ticket.status]:
        return "switched off"
    desk.close(conn, ctx, ticket.id, actor="gateway", now=now, key=f"close:{timer.id}")
    return "closed"


def question_reminder(conn: Connection, ctx: Context, timer: Timer, now: datetime) -> str:
    """Repeat a question that had no answer, once, and say when the ticket will be closed."""
    found = _same_state(conn, timer)
    if found is None:
        return "answered, or the status changed"
    ticket, asked = found
    settings = ctx.settings.tickets
    if not settings.question_reminder:
        return "switched off"
    text = conn.scalar(select(schema.message.c.text).where(schema.message.c.id == asked.data.get("message")))
    closes_at = (asked.at + settings.close_waiting).isoformat() if settings.close_waiting else None
    data: dict[str, Json] = {"reminder": True, "text": text or "", "closes_at": closes_at, "asked": asked.id}
    return _tell(conn, ctx, ticket.id, "reminder", "question", data, f"reminder:{timer.id}", now)


CHECKS: Mapping[str, Check] = {
    "warning:reaction": _deadline("warning", "reaction"),
    "breach:reaction": _deadline("breach", "reaction"),
    "warning:resolution": _deadline("warning", "resolution"),
    "breach:resolution": _deadline("breach", "resolution"),
    "question_reminder": question_reminder,
    "close": close,
    **surveys.CHECKS,
    **rating_calls.CHECKS,
    **incidents.CHECKS,
}
"""Every kind of timer. `gateway.surveys` adds survey and survey_reminder, `gateway.rating_calls` its three,
`gateway.incidents` incident."""
