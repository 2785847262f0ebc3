"""Asking for a rating: who may be asked, when, and the timers that do it later.

Tokens are derived from the key file and a nonce that nobody outside can guess; the store keeps a hash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row

from gateway import notices, shared_numbers
from gateway.automatic import is_robots, within_caps
from gateway.context import Context
from gateway.notices import Change, Letter, Scene
from gateway.store import consents, dialogs, people, surveys, tickets, timers
from gateway.store.timers import Timer
from normalizer.message import RATING_CALL, Json

ASKABLE = ("resolved", "closed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What asking came to."""

    survey_id: int | None = None
    refused: str = ""
    """Why this person is not asked; "" when a survey is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Person:
    conn: Connection
    ctx: Context
    ticket: Row[Any]
    now: datetime
    calling: bool = False
    """They would be asked by a call of ours."""

    @property
    def contact(self) -> Row[Any]:
        return people.get(self.conn, self.ticket.requester_id)


Test: TypeAlias = Callable[[_Person], bool]


def _unreachable(person: _Person) -> bool:
    return notices.person(person.conn, person.ticket.channel, person.ticket.requester).unreachable


def _stopped(person: _Person) -> bool:
    ticket = person.ticket
    place = (ticket.conversation or {}).get("answer_to")
    ours = notices.our_end(person.ctx.settings, ticket.channel, ticket.account, place)
    return consents.stopped(person.conn, ticket.channel, ours, ticket.requester)


def _shared(person: _Person) -> bool:
    ticket = person.ticket
    kind = RATING_CALL if person.calling else "survey"
    return shared_numbers.bars(person.conn, person.ctx, ticket.channel, ticket.requester, kind) != ""


def _no_way_out(person: _Person) -> bool:
    account = person.ctx.settings.account(person.ticket.channel, person.ticket.account)
    return account is None or account.outbound == "off"


def _lately(person: _Person) -> bool:
    # A ticket that was reopened asks again: the first answer was about work that was not done.
    last = surveys.last_asked(person.conn, person.ticket.requester_id, except_ticket=person.ticket.id)
    return last is not None and person.now - last < person.ctx.surveys.cooldown


NEVER: tuple[tuple[str, Test], ...] = (
    ("no address", lambda person: not person.ticket.requester),
    ("held", lambda person: person.ticket.status == "held"),
    ("unreadable", lambda person: "unreadable" in (person.ticket.tags or ())),
    ("staff", lambda person: person.ctx.settings.agent_by_address(person.ticket.requester) is not None),
    ("own address", lambda person: person.ctx.settings.is_own(person.ticket.requester)),
    ("robot", lambda person: is_robots(person.conn, person.ticket.id)),
    ("wants no surveys", lambda person: bool(person.contact.no_surveys)),
    ("stopped", _stopped),
    ("unreachable", _unreachable),
    ("a shared number", _shared),
    ("outbound off", _no_way_out),
)
"""Reason not to ask, whoever wants it -> whether it holds."""
POLICY: tuple[tuple[str, Test], ...] = (
    ("surveys are off", lambda person: not person.ctx.surveys.enabled),
    ("asked lately", _lately),
)
"""Reasons not to ask by ourselves; a person of staff may."""


def why_not(
    conn: Connection, ctx: Context, ticket: Row[Any], now: datetime, *, by_staff: bool = False, calling: bool = False
) -> str:
    """ "" when the requester may be asked for a rating (`calling`: by a call of ours), else the reason why not."""
    person = _Person(conn=conn, ctx=ctx, ticket=ticket, now=now, calling=calling)
    tests = NEVER if by_staff else (*NEVER, *POLICY)
    return next((reason for reason, holds in tests if holds(person)), "")


def open_survey(conn: Connection, ctx: Context, ticket: Row[Any], now: datetime) -> int | None:
    """Open the survey about the present resolution; None when this person was asked about it before."""
    nonce = ctx.keyring.token(
        "survey-nonce", ticket.number, ticket.opened_at.isoformat(), ticket.requester, str(ticket.resolutions)
    )
    return surveys.open_(
        conn,
        ticket_id=ticket.id,
        contact_id=ticket.requester_id,
        recipient=ticket.requester,
        resolution=ticket.resolutions,
        nonce=nonce,
        token_hash=ctx.keyring.hash(token_of(ctx, nonce)),
        channel=ticket.channel,
        language=notices.language_for(notices.person(conn, ticket.channel, ticket.requester), ticket.language),
        asked_at=now,
        expires_at=now + ctx.surveys.expires,
    )


def token_of(ctx: Context, nonce: str) -> str:
    """The token of `/rate/{token}`."""
    return ctx.keyring.token("survey", nonce)


def with_resolved(conn: Connection, ctx: Context, ticket: Row[Any], now: datetime) -> int | None:
    """The survey that the resolved notice carries, or None; then it may be asked later by a timer."""
    if ctx.surveys.when == "delayed":
        if ctx.surveys.enabled:
            timers.put(conn, ticket.id, "survey", ticket.resolutions, now + ctx.surveys.delay)
        return None
    if why_not(conn, ctx, ticket, now):
        return None
    survey_id = open_survey(conn, ctx, ticket, now)
    if survey_id is not None:
        _remind_later(conn, ctx, ticket, now)
    return survey_id


def ask(conn: Connection, ctx: Context, ticket_id: int, now: datetime) -> Asked:
    """Staff ask for a rating at once. Neither delay nor cooldown hold, everything else does."""
    ticket = tickets.get(conn, ticket_id)
    refused = why_not(conn, ctx, ticket, now, by_staff=True)
    return Asked(refused=refused) if refused else _ask(conn, ctx, ticket, now)


def _ask(conn: Connection, ctx: Context, ticket: Row[Any], now: datetime) -> Asked:
    survey_id = open_survey(conn, ctx, ticket, now)
    if survey_id is None:
        return Asked(refused="asked before")
    _put(conn, ctx, ticket, "survey", survey_id, now)
    _remind_later(conn, ctx, ticket, now)
    return Asked(survey_id=survey_id)


def _put(conn: Connection, ctx: Context, ticket: Row[Any], template: str, survey_id: int, now: datetime) -> None:
    change = Change(ticket_id=ticket.id, event_id=None, kind=template, actor="gateway")
    scene = Scene(conn=conn, ctx=ctx, change=change, ticket=ticket, now=now)
    notices.put(scene, letter(scene, template, survey_id))


def letter(scene: Scene, template: str, survey_id: int) -> Letter:
    """The question, or its reminder. About what was said in a group it is asked in private, where there is such a
    conversation: a mark is nobody else's business. Else it answers there, and only the requester has a vote."""
    made = notices.to_requester(
        scene, "survey", template, f"{template}:{survey_id}", variables={"survey": survey_id}
    )  # fmt: skip
    alone = private_place(scene)
    if alone is None:
        return made
    return replace(made, destination=alone, variables={**made.variables, "answers": ""})


def private_place(scene: Scene) -> Mapping[str, Json] | None:
    """Where the requester of a ticket of a group is written to alone; None for other tickets, and where nowhere."""
    ticket = scene.ticket
    if not notices.is_overheard(ticket):
        return None
    return dialogs.private_place(scene.conn, ticket.channel, ticket.account, ticket.requester)


def _remind_later(conn: Connection, ctx: Context, ticket: Row[Any], now: datetime) -> None:
    if ctx.surveys.reminder:
        timers.put(conn, ticket.id, "survey_reminder", ticket.resolutions, now + ctx.surveys.reminder_after)


# -- timers -------------------------------------------------------------------------------


def check_survey(conn: Connection, ctx: Context, timer: Timer, now: datetime) -> str:
    """The delay after a resolution is over: ask, if it is still resolved and the person may be asked."""
    ticket = tickets.get(conn, timer.ticket_id)
    if ticket.status not in ASKABLE or ticket.resolutions != timer.version:
        return "not resolved any more"
    refused = why_not(conn, ctx, ticket, now)
    if not refused and not within_caps(conn, ctx, ticket.channel, ticket.account, ticket.requester, now):
        refused = "cap"
    return refused or _ask(conn, ctx, ticket, now).refused or "asked"


def check_reminder(conn: Connection, ctx: Context, timer: Timer, now: datetime) -> str:
    """Repeat a question once, if nobody answered it and it still makes sense."""
    ticket = tickets.get(conn, timer.ticket_id)
    if ticket.status not in ASKABLE or ticket.resolutions != timer.version:
        return "not resolved any more"
    survey = surveys.of_resolution(conn, ticket.id, ticket.requester_id, timer.version)
    if survey is None or survey.expires_at <= now or survey.closed_at is not None:
        return "no survey is open"
    if surveys.votes(conn, survey.id):
        return "answered"
    if not ctx.surveys.reminder:
        return "switched off"
    refused = why_not(conn, ctx, ticket, now, by_staff=True)
    if refused:
        return refused
    if not within_caps(conn, ctx, ticket.channel, ticket.account, ticket.requester, now):
        return "cap"
    _put(conn, ctx, ticket, "survey_reminder", survey.id, now)
    return "reminded"


CHECKS: Mapping[str, Callable[[Connection, Context, Timer, datetime], str]] = {
    "survey": check_survey,
    "survey_reminder": check_reminder,
}
"""Kind of timer -> check, for the table in `gateway.checks`."""
