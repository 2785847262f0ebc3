"""Known incidents: which new tickets are about one, and the word that their requesters were promised.

A ticket that is filed while an incident that concerns it is open is linked to it, and acknowledged with "we know
about this outage, we will write when it is fixed". Closing the incident keeps that promise: one timer per linked
ticket, spread so that the account's cap swallows none of them; each looks again at its ticket when it fires.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from gateway import updates
from gateway.context import Context
from gateway.desk_acts import Conflict, Invalid, NotFound
from gateway.store import incidents, tickets, timers
from gateway.store.timers import Timer
from router.assignment import Reason
from router.policy import phrases
from router.words import Reduced, reduce

TIMER = "incident"
READ = 2000
"""Characters of a message that are searched for an incident's words: it happens in the writer's transaction."""
MOST_OPEN = 50
"""Incidents open at a time: each new ticket is held against all of them."""
LIVELY: frozenset[str] = frozenset({"", "cap", "suspect"})
"""Why nothing was said at the opening, and the requester hears of the end all the same: it was a brake, or doubt
that staff have removed by then (what is held stays silent)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """An incident as staff describe it."""

    texts: Mapping[str, str]
    """Language -> what it is, in words that fit after "we know about this outage:"."""
    contracts: Sequence[str] = ()
    """Keys; none: all, strangers too."""
    classes: Sequence[int] = ()
    words: Sequence[str] = ()
    """Phrases as in routing.yaml. Any class or any phrase will do; neither: every ticket of the contracts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a new ticket says, as far as incidents look at it."""

    subject: str
    text: str
    language: str = ""


# -- staff --------------------------------------------------------------------------------


def open_incident(conn: Connection, ctx: Context, described: Described, *, actor: str, now: datetime) -> Row[Any]:
    """Let new tickets be linked to it from now on. Raises Invalid or Conflict."""
    if not any(described.texts.values()):
        raise Invalid("say what it is in one language at least; requesters read it")
    if not (described.contracts or described.classes or described.words):
        raise Invalid("say whom it concerns: contracts, classes or words; else everybody would be told of it")
    if unknown := sorted(set(described.contracts) - set(ctx.policy.contracts)):
        raise Invalid(f"no such contract: {', '.join(unknown)}; contracts are named in contracts.yaml")
    try:
        phrases(*described.words)
    except ValueError as error:
        raise Invalid(f"words: {error}") from error
    if len(incidents.open_ones(conn)) >= MOST_OPEN:
        raise Conflict(f"{MOST_OPEN} incidents are open already; close those that are over")
    return incidents.add(
        conn,
        texts=described.texts,
        contracts=described.contracts,
        classes=described.classes,
        words=described.words,
        actor=actor,
        now=now,
    )


def close_incident(
    conn: Connection, ctx: Context, incident_id: int, *, outcome: Mapping[str, str], actor: str, now: datetime
) -> Row[Any]:
    """It is over: whoever is linked to it and not resolved will hear so. Raises NotFound, Conflict (closed already).

    `outcome`: language -> what was done, quoted in the notice; may be empty.
    """
    if not incidents.end(conn, incident_id, outcome=outcome, actor=actor, now=now):
        if incidents.get(conn, incident_id) is None:
            raise NotFound("there is no such incident")
        raise Conflict("this incident is closed already")
    pace = max(1, ctx.settings.caps.per_account_minute // 2)  # the other half is for whatever else happens
    before: Counter[tuple[str, str]] = Counter()
    rows = []
    for linked in incidents.linked(conn, incident_id):
        account = (linked.channel, linked.account)
        due_at = now + timedelta(minutes=before[account] // pace)
        before[account] += 1
        rows.append(timers.row(linked.id, TIMER, incident_id, due_at, {"actor": actor}))
    timers.put_all(conn, rows)
    row = incidents.get(conn, incident_id)
    assert row is not None
    return row


# -- new tickets --------------------------------------------------------------------------


def link_new(conn: Connection, ctx: Context, ticket_id: int, said: Said, *, silent: str, now: datetime) -> int | None:
    """Link a ticket that is being opened to the open incident that concerns it; returns the incident's id.

    Before its acknowledgement is composed. `silent`: why nothing automatic is said to its requester.
    """
    known = incidents.open_ones(conn)
    found = _concerning(ctx, known, tickets.get(conn, ticket_id), said) if known else None
    if found is None:
        return None
    incident, because = found
    if not incidents.link(conn, incident.id, ticket_id, silent=silent[:24], now=now):
        return None
    ticket = tickets.get(conn, ticket_id)
    reasons = [asdict(reason) for reason in because]
    tickets.update(
        conn,
        ticket_id,
        tags=[*dict.fromkeys([*ticket.tags, f"incident:{incident.id}"])],
        because=[*ticket.because, *reasons],
    )
    data = {"incident": incident.id, "because": reasons}
    key = f"incident:{ticket_id}"
    tickets.add_event(conn, ticket_id, at=now, actor="gateway", kind="incident", data=data, key=key)
    return int(incident.id)


def _concerning(
    ctx: Context, known: Sequence[Row[Any]], ticket: Row[Any], said: Said
) -> tuple[Row[Any], tuple[Reason, ...]] | None:
    """The incident that fits most closely (its words before its classes before its contracts), then the newest."""
    covered = [incident for incident in known if not incident.contracts or ticket.contract in incident.contracts]
    reduced = None
    if any(incident.words for incident in covered):
        reduced = reduce(said.subject, said.text[:READ], said.language)
    best: tuple[int, Row[Any], tuple[Reason, ...]] | None = None
    for incident in covered:
        found = concerns(ctx, incident, ticket, reduced)
        if found is not None and (best is None or found[0] > best[0]):
            best = (found[0], incident, found[1])
    return None if best is None else best[1:]


def concerns(
    ctx: Context, incident: Row[Any], ticket: Row[Any], reduced: Reduced | None
) -> tuple[int, tuple[Reason, ...]] | None:
    """(how closely, why) this incident of the ticket's contract is what the ticket is about; None: it is not."""
    value = str(incident.id)
    if incident.contracts:
        place = Reason(what="incident", value=value, cause=f"contract:{ticket.contract}", detail="its contract")
    else:
        place = Reason(what="incident", value=value, cause="contract:all", detail="it concerns every contract")
    if incident.words and reduced is not None and (found := phrases(*incident.words).find(reduced)):
        quoted = " ".join(reduced.quote(found[0]))
        return 2, (place, Reason(what="incident", value=value, cause="words", detail=f"“{quoted}”"))
    class_ = _class_of(ctx, ticket)
    if class_ in incident.classes:
        return 1, (place, Reason(what="incident", value=value, cause=f"class:{class_}", detail="the ticket's class"))
    return None if incident.words or incident.classes else (0, (place,))


def _class_of(ctx: Context, ticket: Row[Any]) -> int | None:
    """The decided class, or a proposed one that only waits for a person's confirmation."""
    if ticket.class_ is not None:
        return int(ticket.class_)
    sure = ticket.proposed_class is not None and (ticket.confidence or 0.0) >= ctx.policy.thresholds.class_
    return int(ticket.proposed_class) if sure else None


# -- when it is over ----------------------------------------------------------------------


def tell_it_is_over(conn: Connection, ctx: Context, timer: Timer, now: datetime) -> str:
    """The check of a timer: the promise is kept unless the ticket has got its answer meanwhile (rule 14)."""
    ticket = tickets.lock(conn, timer.ticket_id)
    if ticket.status in ("resolved", "closed"):
        return f"{ticket.status} already"
    link = incidents.link_of(conn, ticket.id)
    if link is None or link.incident_id != timer.version:
        return "not linked"
    event_id = tickets.add_event(
        conn,
        ticket.id,
        at=now,
        actor=timer.data.get("actor", "gateway"),
        kind="incident_over",
        data={"incident": timer.version},
        key=f"incident-over:{timer.version}:{ticket.id}",
    )
    change = updates.Change(
        ticket_id=ticket.id,
        event_id=event_id,
        kind="incident_over",
        actor="gateway",
        data={"incident": timer.version},
        automatic_ok=link.silent in LIVELY,
    )
    updates.compose(conn, ctx, change, now)
    return "told" if change.automatic_ok else f"silent: {link.silent}"


CHECKS: Mapping[str, Callable[[Connection, Context, Timer, datetime], str]] = {TIMER: tell_it_is_over}
"""Kind of timer -> check."""
