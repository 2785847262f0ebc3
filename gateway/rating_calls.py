"""Calls that ask for a mark: whom, when, how often, and what becomes of the question when nobody heard it.

Each call is a row of the outbox, the second one another row. Who may be called is looked at when the timer fires, and
again when the call is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection
from sqlalchemy import Row as Found

from channels.registry import CHANNELS, identity_kind
from gateway import call_hours, facts, next_channel, notices, shared_numbers, survey_asking, wording
from gateway.automatic import within_caps
from gateway.context import Context
from gateway.notices import Change, Scene
from gateway.store import calls, consents, outbox, people, surveys, threads, tickets, timers
from gateway.store.outbox import Row, State
from gateway.store.timers import Timer
from normalizer.call import CallState
from normalizer.message import RATING_CALL, CallEvent, Json

VOICE = "voice"
AGAIN, SETTLED = "rating_call_again", "rating_call_settled"
CALLS = 2
"""At most, for one survey."""
APART = timedelta(hours=20)
"""One number is called about one survey only within this; another one waits."""
LOOKED_BACK = timedelta(days=10)
"""Calls that were put so long ago may still have waited for their hours until lately."""
UNTOLD = timedelta(hours=6)
"""Time after which a call is over whose end nobody told us."""
WENT: tuple[State, ...] = ("sent", "unknown")
HEARD: frozenset[State] = frozenset(("waiting", "sending", "sent", "captured", "unknown"))
"""States of a notice that asked, or is still to ask, by another channel."""
VAIN: Mapping[CallState, str] = {
    "busy": "the line was busy", "no_answer": "nobody answered", "failed": "the number could not be called",
    "canceled": "the call was given up", "completed": "nobody heard the question",
}  # fmt: skip
ONCE_MORE: frozenset[CallState] = frozenset(("busy", "no_answer"))
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


# -- whom, and when -----------------------------------------------------------------------


def plan(conn: Connection, ctx: Context, ticket: Found[Any], now: datetime) -> None:
    """A ticket was resolved: look later whether the one who asked is to be called."""
    policy = ctx.surveys
    if not (policy.enabled and policy.calls) or ticket.channel != VOICE:
        return
    pause = max(policy.calls_after, policy.delay) if policy.when == "delayed" else policy.calls_after
    due_at = _hours(ctx, ticket).next_time(now + pause)
    if due_at is not None:
        timers.put(conn, ticket.id, RATING_CALL, ticket.resolutions, due_at)


def _hours(ctx: Context, ticket: Found[Any]) -> call_hours.CallHours:
    return call_hours.hours_of(ctx.policy, ticket.contract, ctx.settings.account(ticket.channel, ticket.account))


def check_first(conn: Connection, ctx: Context, timer: Timer, now: datetime) -> str | datetime:
    """Call, if it is still resolved, and the person may be called and was not asked in another way."""
    return _checked(conn, ctx, timer, now, number=1)


def check_again(conn: Connection, ctx: Context, timer: Timer, now: datetime) -> str | datetime:
    """The same after a call that nobody answered."""
    return _checked(conn, ctx, timer, now, number=2)


def check_settled(conn: Connection, ctx: Context, timer: Timer, now: datetime) -> str:
    """A call went out and nobody told us of its end: who did not hear the question is asked by the next channel."""
    row = outbox.get(conn, timer.version)
    if row is None or row.state != "sent":
        return "settled"
    sids = [key.rpartition(":")[2] for key in row.external_ids or ()]
    known = [found for sid in sids if (found := calls.find(conn, row.channel, row.account, sid)) is not None]
    survey = surveys.get(conn, int(row.variables["survey"]))
    if any(call.step != calls.UNASKED for call in known) or _over(conn, survey, now):
        return "heard"
    in_vain(conn, ctx, row, "completed", "nobody told us what became of it", now, key=f"{RATING_CALL}:{row.id}")
    return "nothing was heard of it"


CHECKS: Mapping[str, Callable[[Connection, Context, Timer, datetime], str | datetime]] = {
    RATING_CALL: check_first,
    AGAIN: check_again,
    SETTLED: check_settled,
}
"""Kind of timer -> check, for the table in `gateway.checks`."""


def _checked(conn: Connection, ctx: Context, timer: Timer, now: datetime, *, number: int) -> str | datetime:
    ticket = tickets.get(conn, timer.ticket_id)
    if ticket.status not in survey_asking.ASKABLE or ticket.resolutions != timer.version:
        return "not resolved any more"
    if refused := why_not(conn, ctx, ticket, now):
        return _refused(conn, timer, number, refused, now)
    known = surveys.of_resolution(conn, ticket.id, ticket.requester_id, ticket.resolutions)
    if known is not None and (over := _over(conn, known, now)):
        return over
    if known is not None and _asked_elsewhere(conn, ticket.id, known.id):
        return "asked another way"
    # Another node may look at another ticket of this number at this moment.
    threads.lock_conversation(conn, ticket.channel, ticket.account, ticket.requester)
    if (free_at := _free_at(conn, ticket, now)) > now:
        may = _hours(ctx, ticket).next_time(free_at)
        last = (ticket.resolved_at or now) + ctx.surveys.expires
        return may if may is not None and may < last else _refused(conn, timer, number, "called about others", now)
    if not within_caps(conn, ctx, ticket.channel, ticket.account, ticket.requester, now):
        return _refused(conn, timer, number, "cap", now)
    due_at = _hours(ctx, ticket).next_time(now)
    survey = known.id if known is not None else survey_asking.open_survey(conn, ctx, ticket, now)
    if survey is None or due_at is None:
        return _refused(conn, timer, number, "nobody may be called", now)
    _put(conn, ctx, ticket, survey, number, due_at, now)
    return "called"


def _refused(conn: Connection, timer: Timer, number: int, why: str, now: datetime) -> str:
    """Nobody is called, and the ticket's history has the reason."""
    data = {"call": number, "state": "not_made", "detail": why}
    key = f"{timer.kind}:{timer.ticket_id}:{timer.version}"
    tickets.add_event(conn, timer.ticket_id, at=now, actor="gateway", kind=RATING_CALL, data=data, key=key)
    return why


def why_not(conn: Connection, ctx: Context, ticket: Found[Any], now: datetime) -> str:
    """Why the one who asked is not to be called; "" when they may be."""
    if not ctx.surveys.calls:
        return "switched off"
    if not _E164.fullmatch(ticket.requester):
        return "no number that can be called"
    if _said_stop(conn, ticket.requester_id):
        return "stopped"
    return survey_asking.why_not(conn, ctx, ticket, now, calling=True)


def _said_stop(conn: Connection, contact_id: int) -> bool:
    """By any of their numbers, to any of ours, in a call or by text message."""
    numbers = [one.value for one in people.identities(conn, contact_id) if one.kind == shared_numbers.PHONE]
    telephones = [name for name in CHANNELS if identity_kind(name) == shared_numbers.PHONE]
    return consents.stopped_anywhere(conn, telephones, numbers)


def _over(conn: Connection, survey: Found[Any], now: datetime) -> str:
    if survey.expires_at <= now or survey.closed_at is not None:
        return "no survey is open"
    return "answered" if surveys.current(conn, survey.id) is not None else ""


def _asked_elsewhere(conn: Connection, ticket_id: int, survey: int) -> bool:
    rows = outbox.listing(conn, ticket_id=ticket_id, limit=1000)
    return any(
        row.variables.get("survey") == survey and row.template != RATING_CALL and row.state in HEARD for row in rows
    )


def _free_at(conn: Connection, ticket: Found[Any], now: datetime) -> datetime:
    """When this number may be called about this ticket, as far as calls about others go."""
    others = (
        max(row.created_at, row.due_at) + APART
        for row in outbox.of_kind(conn, RATING_CALL, now - LOOKED_BACK)
        if row.recipient == ticket.requester and row.ticket_id != ticket.id and row.state not in notices.GONE
    )
    return max(others, default=now)


def _put(
    conn: Connection, ctx: Context, ticket: Found[Any], survey: int, number: int, due_at: datetime, now: datetime
) -> None:
    change = Change(ticket_id=ticket.id, event_id=None, kind=RATING_CALL, actor="gateway")
    scene = Scene(conn=conn, ctx=ctx, change=change, ticket=ticket, now=now)
    variables = {"survey": survey, "call": number}
    key = f"{RATING_CALL}:{survey}:{number}"
    letter = notices.to_requester(scene, RATING_CALL, RATING_CALL, key, variables=variables, due_at=due_at)
    row_id = notices.put(scene, letter)
    if row_id is not None:
        timers.put(conn, ticket.id, SETTLED, row_id, due_at + UNTOLD)


def look(conn: Connection, ctx: Context, row: Row, now: datetime) -> str | datetime:
    """Right before a call: why it must not be made any more, or when it may be; "" when it is to be made now."""
    if row.kind != RATING_CALL or row.ticket_id is None:
        return ""
    ticket = tickets.get(conn, row.ticket_id)
    survey = surveys.of_resolution(conn, ticket.id, ticket.requester_id, ticket.resolutions)
    if survey is None or survey.id != row.variables.get("survey"):
        return "no survey is open"
    if why := why_not(conn, ctx, ticket, now) or _over(conn, survey, now):
        return why
    may = _hours(ctx, ticket).next_time(now)
    if may is None:
        return "nobody may be called"
    return may if may > now else ""


# -- the call -----------------------------------------------------------------------------


def row_of(conn: Connection, channel: str, account: str, event: CallEvent) -> Row | None:
    """The notice that a call of ours is made for. After a restored backup rows have numbers that others had before."""
    row = outbox.get(conn, event.notice) if event.ours and event.notice else None
    if row is None or (row.channel, row.account, row.kind) != (channel, account, RATING_CALL):
        return None
    return row if people.normal(row.recipient) == people.normal(event.caller.address) else None


def survey_of(conn: Connection, row: Row | None, now: datetime) -> int:
    """The survey that a call is about; 0: it is over, or answered."""
    survey = surveys.get(conn, int(row.variables["survey"])) if row is not None else None
    return 0 if survey is None or _over(conn, survey, now) else int(survey.id)


def day_of(conn: Connection, ctx: Context, row: Row, now: datetime) -> str:
    """When the one who is called asked, in words."""
    if row.ticket_id is None:
        return ""
    ticket = tickets.get(conn, row.ticket_id)
    zone, _ = facts.zones(ctx, ticket, ctx.settings.account(row.channel, row.account))
    return wording.day(row.language, ticket.opened_at, now, zone)


def words(conn: Connection, ctx: Context, row: Row, now: datetime) -> str:
    """What the call begins with; for staff, and for accounts that only capture."""
    desk = facts.desk_name(ctx, ctx.settings.account(row.channel, row.account))
    said = ctx.texts.calls[row.language]
    return f"{said['rating_call'].format(desk=desk, date=day_of(conn, ctx, row, now))} {said['rate']}"


# -- what came of it ----------------------------------------------------------------------


def is_under_way(conn: Connection, channel: str, account: str, event: CallEvent) -> bool:
    """The request to make this call has not returned, as far as we know: it is told of before."""
    row = row_of(conn, channel, account, event)
    return row is not None and row.state == "sending"


def answered(conn: Connection, row: Row, *, at: datetime, key: str) -> None:
    """A person heard the question."""
    outbox.correct(conn, row.id, ("unknown", "unreachable"), "sent", "answered", at)
    _note(conn, row, {"state": "answered"}, at=at, key=key)


def in_vain(conn: Connection, ctx: Context, row: Row, state: CallState, why: str, now: datetime, *, key: str) -> None:
    """Nobody heard the question: they are called once more where that may help, else asked by the next channel."""
    why = why or VAIN[state]
    if row.state not in (*WENT, "sending") or row.ticket_id is None:
        return
    outbox.correct(conn, row.id, WENT, "unreachable", why, now)
    data: dict[str, Json] = {"state": state, "detail": why}
    again = _once_more(conn, ctx, row, now) if state in ONCE_MORE else None
    if again is not None:
        data["again"] = again.isoformat()
    elif (way := next_channel.hand_on(conn, ctx, row, now)) is not None:
        data["next"] = {"channel": way.channel, "recipient": way.address}
    _note(conn, row, data, at=now, key=key)


def _once_more(conn: Connection, ctx: Context, row: Row, now: datetime) -> datetime | None:
    """When they are called once more; None: they were called often enough."""
    if row.ticket_id is None or int(row.variables.get("call", CALLS)) >= CALLS:
        return None
    ticket = tickets.get(conn, row.ticket_id)
    due_at = _hours(ctx, ticket).next_time(now + ctx.surveys.call_again)
    if due_at is not None:
        timers.put(conn, ticket.id, AGAIN, ticket.resolutions, due_at)
    return due_at


def _note(conn: Connection, row: Row, data: Mapping[str, Json], *, at: datetime, key: str) -> None:
    if row.ticket_id is not None:
        told = {"outbox": row.id, "call": row.variables.get("call", 1), **data}
        tickets.add_event(conn, row.ticket_id, at=at, actor="gateway", kind=RATING_CALL, data=told, key=key)
