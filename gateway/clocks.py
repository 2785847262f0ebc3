"""A ticket's deadlines, computed again from its whole recorded history after every change.

The history decides and nothing else: changing class or contract recomputes from what happened, not
from now. Whatever begins or ends a clock also puts the timers that look at it later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, Row, bindparam, select, update

from gateway import actors
from gateway.context import Context
from gateway.store import timers
from gateway.store.prepared import Prepared
from gateway.store.schema import event as event_table
from gateway.store.schema import ticket as ticket_table
from normalizer.message import Json
from router import sla
from router.assignment import Assignment, Deadline, Deadlines
from router.hours import intervals
from router.policy import Calendar, Policy

Clock: TypeAlias = Literal["reaction", "resolution"]
CLOCKS: tuple[Clock, ...] = ("reaction", "resolution")

ANSWERS = frozenset({"reply", "question", "call"})
"""Events that are a public answer; by a person of staff they end the reaction clock."""
COLUMNS = ("reaction_due", "reaction_met_at", "resolution_due")
"""Of the ticket."""
STATUS_MOMENTS: Mapping[str, sla.MomentKind] = {
    "waiting": "waiting",
    "resumed": "resumed",
    "resolved": "resolved",
    "reopened": "reopened",
    "closed": "closed",
}
"""Events that say by their kind what became of the status, when they do not carry it."""


# Made once: this runs in every filing transaction, and building a statement costs more than running it.
_TICKET = Prepared(
    select(
        ticket_table.c.id,
        ticket_table.c.contract,
        ticket_table.c.opened_at,
        ticket_table.c.reaction_due,
        ticket_table.c.reaction_met_at,
        ticket_table.c.resolution_due,
        ticket_table.c.deadline_version,
        ticket_table.c.because,
    ).where(ticket_table.c.id == bindparam("ticket"))
)
_HISTORY = Prepared(
    select(event_table.c.id, event_table.c.at, event_table.c.actor, event_table.c.kind, event_table.c.data)
    .where(event_table.c.ticket_id == bindparam("ticket"))
    .order_by(event_table.c.id)
)
_RECORD = Prepared(update(event_table).where(event_table.c.id == bindparam("event")).values(data=bindparam("data")))
_UPDATE = Prepared(
    update(ticket_table)
    .where(ticket_table.c.id == bindparam("ticket"))
    .values({name: bindparam(name) for name in (*COLUMNS, "deadline_version", "because")})
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocked:
    """What the timers of a ticket are made from."""

    id: int
    contract: str | None
    opened_at: datetime
    """The source's time of its first message."""


def recompute(conn: Connection, ctx: Context, ticket_id: int, now: datetime) -> Deadlines:
    """Bring deadlines and timers of a ticket up to its history. Call it after the last event of a change.

    Writes the ticket's columns, the reasons of both deadlines, and raises `deadline_version` when
    something moved; that last event then names the policy that it was computed by. Raises NoResultFound
    when there is no such ticket.
    """
    ticket: Any = _TICKET.one(conn, {"ticket": ticket_id})
    events: Sequence[Any] = _HISTORY.all(conn, {"ticket": ticket_id})
    deadlines = sla.deadlines(moments(events), ctx.policy)
    columns = dict(
        zip(COLUMNS, (deadlines.reaction.due, deadlines.reaction.met_at, deadlines.resolution.due), strict=True)
    )
    moved = {name for name, value in columns.items() if getattr(ticket, name) != value}
    if events and _was_held(events[-1]):
        moved |= {f"{clock}_due" for clock in CLOCKS}  # timers that fired meanwhile told nobody
    wanted = list(_status_timers(ctx, ticket_id, events))
    if moved:
        version, because = ticket.deadline_version + 1, _because(ticket.because, deadlines)
        _UPDATE.run(conn, {"ticket": ticket_id, **columns, "deadline_version": version, "because": because})
        _record_policy(conn, events, ctx.policy.version)
        clocked = Clocked(id=ticket.id, contract=ticket.contract, opened_at=ticket.opened_at)
        for clock in CLOCKS:
            if f"{clock}_due" in moved:
                wanted += _deadline_timers(ctx, clocked, clock, deadlines, version, now)
    timers.put_all(conn, wanted)
    return deadlines


def _record_policy(conn: Connection, events: Sequence[Any], version: str) -> None:
    """Note in the event that moved a deadline by which policy it was computed.

    An event may name the policy that decided the class already; when the policy changed between the two,
    the deadlines' own stands beside it.
    """
    if not events:
        return
    last = events[-1]
    known = last.data.get("policy")
    if known != version:
        name = "policy" if known is None else "deadline_policy"
        _RECORD.run(conn, {"event": last.id, "data": {**last.data, name: version}})


# -- a new ticket -------------------------------------------------------------------------


def at_opening(ctx: Context, assignment: Assignment, opened_at: datetime) -> Deadlines:
    """What `recompute` would find in a history of nothing but the opening, so that no history must be read."""
    if assignment.policy == ctx.policy.version:
        return assignment.deadlines  # the router began its clocks at the same moment
    opened = {"class": assignment.class_, "contract": assignment.contract}
    return sla.deadlines([sla.Moment(at=opened_at, kind="opened", data=opened)], ctx.policy)


def opening_columns(deadlines: Deadlines, because: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Columns of a new ticket: its deadlines and, among all reasons, theirs."""
    columns = {"reaction_due": deadlines.reaction.due, "resolution_due": deadlines.resolution.due}
    if not any(columns.values()):
        return {"because": because}
    return {**columns, "deadline_version": 1, "because": _because(because, deadlines)}


def put_first_timers(conn: Connection, ctx: Context, clocked: Clocked, deadlines: Deadlines, now: datetime) -> None:
    """The timers that look at the deadlines of a new ticket."""
    timers.put_all(conn, [row for clock in CLOCKS for row in _deadline_timers(ctx, clocked, clock, deadlines, 1, now)])


# -- the history --------------------------------------------------------------------------


def moments(events: Sequence[Row[Any]]) -> list[sla.Moment]:
    """The part of a history that the clocks look at, by time."""
    return sorted((moment for event in events for moment in _moments_of(event)), key=lambda moment: moment.at)


def _moments_of(event: Row[Any]) -> Iterator[sla.Moment]:
    match event.kind:
        case "opened" | "class" | "contract":
            wanted = ("class", "contract") if event.kind == "opened" else (event.kind,)
            data = {name: event.data[name] for name in wanted if name in event.data}
            yield sla.Moment(at=event.at, kind=event.kind, data=data)
        case kind if kind in ANSWERS and actors.is_person(event.actor):
            yield sla.Moment(at=event.at, kind="staff_answer")
    change = status_moment(event)
    if change is not None:
        # A result in a person's words answers the requester too.
        result = event.data.get("result", "") if actors.is_person(event.actor) else ""
        yield sla.Moment(at=event.at, kind=change, data={"result": result} if result else {})


def status_moment(event: Row[Any]) -> sla.MomentKind | None:
    """What an event did to the clocks by changing the status (`status: [before, after]`); None: nothing."""
    status = event.data.get("status")
    if not isinstance(status, list):
        return STATUS_MOMENTS.get(event.kind)
    before, after = status
    if after in ("waiting", "resolved", "closed"):
        return STATUS_MOMENTS[after]
    if before in ("resolved", "closed"):
        return "reopened"
    return "resumed" if before == "waiting" else None


def _was_held(event: Row[Any]) -> bool:
    status = event.data.get("status")
    return isinstance(status, list) and status[0] == "held"


def _because(known: Sequence[Mapping[str, Any]], deadlines: Deadlines) -> list[Mapping[str, Any]]:
    others = [reason for reason in known or () if reason.get("what") not in CLOCKS]
    return [*others, *(reason.as_json() for clock in CLOCKS for reason in _deadline(deadlines, clock).because)]


def _deadline(deadlines: Deadlines, clock: Clock) -> Deadline:
    return deadlines.reaction if clock == "reaction" else deadlines.resolution


# -- timers -------------------------------------------------------------------------------


def _deadline_timers(
    ctx: Context, ticket: Clocked, clock: Clock, deadlines: Deadlines, version: int, now: datetime
) -> Iterator[dict[str, Any]]:
    due = _deadline(deadlines, clock).due
    if due is None:
        return
    share = ctx.settings.tickets.warn_at
    warn_at = warning_time(
        ctx.policy, ticket.contract, deadlines.class_, clock, opened_at=ticket.opened_at, due=due, share=share
    )
    data: dict[str, Json] = {"due": due.isoformat(), "late": warn_at <= now}
    yield timers.row(ticket.id, f"warning:{clock}", version, warn_at, data)
    yield timers.row(ticket.id, f"breach:{clock}", version, due, data)


def warning_time(
    policy: Policy,
    contract: str | None,
    class_: int | None,
    clock: Clock,
    *,
    opened_at: datetime,
    due: datetime,
    share: float,
) -> datetime:
    """When `share` of a deadline's promised time is over: as much open time before `due` as the rest makes.

    Counted in the calendar of the deadline, so nobody is warned at night of what is due in the morning.
    """
    promised, calendar = due - opened_at, policy.calendar_of(contract)
    found = policy.contracts.get(contract) if contract else None
    if found is not None and class_ is not None:
        terms = found.term(class_)
        promised = (terms.reaction if clock == "reaction" else terms.resolution) or promised
        calendar = policy.calendars.get(terms.calendar) if terms.calendar else calendar
    rest = promised * (1 - share)
    if calendar is None or calendar.always:
        return due - rest
    return _before(calendar, opened_at, due, rest)


def _before(calendar: Calendar, start: datetime, due: datetime, rest: timedelta) -> datetime:
    """The instant from which `rest` of open time is left until `due`; `start` when there is not so much."""
    for opens, closes in reversed(list(takewhile(lambda span: span[0] < due, intervals(calendar, start)))):
        begins, ends = max(opens, start), min(closes, due)
        if rest <= ends - begins:
            return ends - rest
        rest -= ends - begins
    return start


def _status_timers(ctx: Context, ticket_id: int, events: Sequence[Row[Any]]) -> Iterator[dict[str, Any]]:
    """A ticket that waits or is resolved is looked at again after the configured days."""
    last = last_status_event(events)
    if last is None:
        return
    settings = ctx.settings.tickets
    state = status_moment(last)
    closing = {"waiting": settings.close_waiting, "resolved": settings.close_resolved}.get(state or "")
    if closing:
        yield timers.row(ticket_id, "close", last.id, last.at + closing)
    if state == "waiting" and last.kind == "question" and settings.question_reminder:
        yield timers.row(ticket_id, "question_reminder", last.id, last.at + settings.question_reminder)


def last_status_event(events: Sequence[Row[Any]]) -> Row[Any] | None:
    """The event that put the ticket into its present state; None while it is as it was opened."""
    return next((event for event in reversed(events) if status_moment(event) is not None), None)
