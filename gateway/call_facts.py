"""What is known of a caller when a call begins, and of the ticket whose number they key in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from gateway import both_numbers, rating_calls, shared_numbers, surveys, wording
from gateway.context import Context
from gateway.coverage import contract_of
from gateway.dialogs import ivr_states as ivr
from gateway.identities import Identity
from gateway.notices import numbers_of
from gateway.shared_numbers import HIDDEN, PHONE
from gateway.store import consents, incidents, people, tickets
from gateway.store.journal import Entry
from normalizer.call import Begun
from normalizer.message import CallEvent
from router import contracts
from router.hours import is_open

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
SMS = "sms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request of a call."""

    conn: Connection
    ctx: Context
    entry: Entry
    event: CallEvent
    call: Row[Any]
    now: datetime

    @property
    def plan(self) -> ivr.Plan:
        """How calls are led now."""
        plan = self.ctx.calls.plan()
        return replace(plan, other_numbers=True) if self.ctx.settings.feeds else plan


def caller_of(event: CallEvent) -> str:
    """Who calls; without a number each call is somebody else's."""
    return people.normal(event.caller.address) or f"{HIDDEN}{event.call}".lower()


def is_hidden(caller: str) -> bool:
    """Nobody knows who called."""
    return caller.startswith(HIDDEN)


def is_one_persons(asked: Asked) -> bool:
    """The number is known, and as far as we know one person's."""
    return not is_hidden(asked.call.caller) and not shared_numbers.is_shared(
        asked.conn, asked.ctx, PHONE, asked.call.caller
    )


def known(asked: Asked) -> ivr.Known:
    """The beginning of a call."""
    if asked.event.ours:
        return _known_of_ours(asked)
    conn, policy = asked.conn, asked.ctx.policy
    contract = _contract(asked)
    calendar = policy.calendars.get(asked.ctx.calls.hours) or policy.calendar_of(contract)
    return ivr.Known(
        language=_language(asked),
        open=calendar is None or is_open(calendar, asked.now),
        duty=policy.contracts[contract].emergency_phone if contract is not None else "",
        incident=_incident(conn, contract),
    )


def _known_of_ours(asked: Asked) -> ivr.Known:
    """Of a call that we made; there is nothing to ask where nobody knows what for."""
    conn, happening = asked.conn, asked.event.happening
    row = rating_calls.row_of(conn, asked.call.channel, asked.call.account, asked.event)
    return ivr.Known(
        answered_by=happening.answered_by if isinstance(happening, Begun) else "",
        language=row.language if row is not None else "",
        ours=True,
        survey=rating_calls.survey_of(conn, row, asked.now),
        date=rating_calls.day_of(conn, asked.ctx, row, asked.now) if row is not None else "",
    )


def _contract(asked: Asked) -> str | None:
    """Key of the contract whose hours and engineer on duty are the caller's. Nothing is told to anybody by it."""
    caller = asked.call.caller
    if is_hidden(caller):
        return None
    listed = asked.ctx.policy.covers.get(contracts.normal(caller, SMS))
    if listed is not None or not is_one_persons(asked):
        return listed
    return contract_of(asked.conn, asked.ctx, Identity(kind=PHONE, value=caller)) or None


def _language(asked: Asked) -> str:
    if not is_one_persons(asked):
        return ""
    found = people.find(asked.conn, PHONE, asked.call.caller)
    return (people.get(asked.conn, found.contact_id).language or "") if found is not None else ""


def _incident(conn: Connection, contract: str | None) -> Mapping[str, str]:
    """The newest one that this caller may call about, in every language that it is described in."""
    for row in incidents.open_ones(conn):
        if not row.contracts or contract in row.contracts:
            return {language: words for language, words in row.texts.items() if words}
    return {}


def ticket_state(asked: Asked, number: str, language: str) -> ivr.Found:
    """What the caller may hear of this ticket: its state and a date, and only where their number is known as that of
    the one who asked."""
    person = people.find(asked.conn, PHONE, asked.call.caller) if is_one_persons(asked) else None
    named = [tickets.get(asked.conn, one) for one in both_numbers.find(asked.conn, [number]).get(number, ())]
    own = [row for row in named if person is not None and row.requester_id == person.contact_id]
    if not own:
        return ivr.Found()
    ticket = own[0]
    state = "new" if ticket.status == "held" else ticket.status
    at = (ticket.resolved_at if state in ("resolved", "closed") else None) or ticket.opened_at
    account = asked.ctx.settings.account(asked.call.channel, asked.call.account)
    zone = account.timezone if account is not None else "UTC"
    survey = surveys.offered(asked.conn, asked.ctx, ticket, asked.now)
    return ivr.Found(
        number=number,
        state=f"state_{state}",
        variables={"date": wording.day(language, at, asked.now, zone)},
        survey=survey or 0,
    )


def is_texted(asked: Asked) -> bool:
    """The ticket's number goes to the caller by text message, too."""
    settings, caller = asked.ctx.settings, asked.call.caller
    ours = settings.account(asked.call.channel, asked.call.account)
    if ours is None or ours.outbound != "on" or SMS not in settings.outbox.next_channel or not _E164.fullmatch(caller):
        return False
    if people.unreachable_by(asked.conn, PHONE, caller, SMS) is not None:
        return False
    if shared_numbers.bars(asked.conn, asked.ctx, SMS, caller, "acknowledgement"):
        return False
    return any(
        account.outbound == "on" and not consents.stopped(asked.conn, SMS, number, caller)
        for account in settings.accounts(SMS).values()
        for number in numbers_of(account)
    )
