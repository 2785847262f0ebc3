"""Known incidents over the API: staff say what is broken and whom it concerns, and when it is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints
from sqlalchemy import Connection, Row

from gateway import incidents
from gateway.desk_acts import NotFound
from gateway.store import incidents as store
from gateway.store.tokens import Caller
from gateway.web import cursors
from gateway.web.api_asked import Limit, Text
from gateway.web.api_models import ClassNumber
from gateway.web.frame import ApiModel, Asked, Call, Job
from gateway.web.problems import Problem

_SHOWN = 200
"""Linked tickets that an incident names."""
Sentence = Annotated[Text, StringConstraints(max_length=300)]
Story = Annotated[Text, StringConstraints(max_length=2000)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Phrase = Annotated[Text, StringConstraints(max_length=100)]


class Described(Asked):
    """What is broken; a language that is left out is filled from another."""

    ru: Sentence | None = None
    uk: Sentence | None = None
    en: Sentence | None = None


class Outcome(Asked):
    """What was done; a language that is left out is filled from another, and all of them may be."""

    ru: Story | None = None
    uk: Story | None = None
    en: Story | None = None


class NewIncident(Asked):
    """An incident that people will write about. Name contracts, classes or words."""

    text: Described
    """Stands after "we know about this outage:"; one language at least."""
    contracts: Annotated[Sequence[Key], Field(max_length=500)] = ()
    """Keys; none: all, and strangers."""
    classes: Annotated[Sequence[ClassNumber], Field(max_length=6)] = ()
    """A ticket of one of these classes is about it."""
    words: Annotated[Sequence[Phrase], Field(max_length=50)] = ()
    """So is one with any of these phrases, found by their stems; `vpn*` finds what begins so."""


class Over(Asked):
    """It is over."""

    text: Outcome = Outcome()
    """Quoted in the notice to everybody who is waiting for word."""


class IncidentQuery(Asked):
    """Which incidents."""

    open: bool = False
    """Only those that are not over."""
    limit: Limit = 50
    cursor: str | None = None


class IncidentItem(ApiModel):
    """A known incident."""

    id: int
    text: Mapping[str, str]
    """By language."""
    contracts: Sequence[str]
    """Those that this token may see; none: all."""
    classes: Sequence[int]
    words: Sequence[str]
    opened_at: datetime
    opened_by: str
    closed_at: datetime | None
    closed_by: str | None
    outcome: Mapping[str, str]
    """What was said when it was over, by language."""
    linked: int
    """How many tickets are about it."""


class IncidentDetail(IncidentItem):
    """A known incident with its tickets."""

    tickets: Sequence[str]
    """Numbers of the linked tickets, the newest 200."""


class IncidentPage(ApiModel):
    """Incidents, the newest first."""

    items: Sequence[IncidentItem]
    next_cursor: str | None


async def listing(call: Call) -> IncidentPage:
    """Incidents of the caller's contracts."""
    asked, caller = call.query, call.caller
    before = cursors.read(asked.cursor)

    def job(conn: Connection) -> IncidentPage:
        rows = store.page(conn, only_open=asked.open, before=before, limit=asked.limit + 1)
        page, following = cursors.after(rows, asked.limit)
        counts = store.counts(conn, [row.id for row in page], caller.contracts)
        items = [IncidentItem(**_item(row, caller, counts.get(row.id, 0))) for row in page if _sees(caller, row)]
        return IncidentPage(items=items, next_cursor=following)

    return await call.read(job)


async def one(call: Call) -> IncidentDetail:
    """One incident with its tickets."""
    incident_id = call.number("incident")

    def job(conn: Connection) -> IncidentDetail:
        row = store.get(conn, incident_id)
        if row is None or not _sees(call.caller, row):
            raise NotFound("there is no such incident")
        return _detail(conn, call.caller, row)

    return await call.read(job)


async def create(call: Call) -> Job:
    """Open an incident."""
    services, caller, now, body = call.services, call.caller, call.services.clock(), call.body
    _may(caller, body.contracts)
    described = incidents.Described(
        texts=_given(body.text),
        contracts=tuple(dict.fromkeys(body.contracts)),
        classes=sorted(set(body.classes)),
        words=tuple(dict.fromkeys(body.words)),
    )

    def job(conn: Connection) -> IncidentDetail:
        row = incidents.open_incident(conn, services.ctx, described, actor=caller.actor, now=now)
        return _detail(conn, caller, row)

    return job


async def close(call: Call) -> Job:
    """Close an incident; everybody linked to it who still waits is told."""
    services, caller, now = call.services, call.caller, call.services.clock()
    incident_id, outcome = call.number("incident"), _given(call.body.text)

    def job(conn: Connection) -> IncidentDetail:
        row = store.get(conn, incident_id)
        if row is None or not _sees(caller, row):
            raise NotFound("there is no such incident")
        _may(caller, row.contracts)
        done = incidents.close_incident(conn, services.ctx, incident_id, outcome=outcome, actor=caller.actor, now=now)
        return _detail(conn, caller, done)

    return job


def _given(text: Described | Outcome) -> dict[str, str]:
    return text.model_dump(exclude_none=True)


def _may(caller: Caller, contracts: Sequence[str]) -> None:
    """Who is limited to contracts speaks to their people only. Raises Problem 403."""
    if caller.contracts is not None and not (contracts and set(contracts) <= set(caller.contracts)):
        raise Problem(403, "this token is limited to contracts; the incident has to be one of theirs alone")


def _sees(caller: Caller, row: Row[Any]) -> bool:
    return caller.contracts is None or not row.contracts or bool(set(row.contracts) & set(caller.contracts))


def _item(row: Row[Any], caller: Caller, linked: int) -> dict[str, Any]:
    same = "id classes words opened_at opened_by closed_at closed_by outcome"
    seen = [key for key in row.contracts if caller.contracts is None or key in caller.contracts]
    return {**{name: getattr(row, name) for name in same.split()}, "text": row.texts, "contracts": seen,
            "linked": linked}  # fmt: skip


def _detail(conn: Connection, caller: Caller, row: Row[Any]) -> IncidentDetail:
    numbers = [ticket.number for ticket in store.linked(conn, row.id) if caller.sees(ticket.contract)]
    return IncidentDetail(**_item(row, caller, len(numbers)), tickets=numbers[::-1][:_SHOWN])
