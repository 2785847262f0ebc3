"""Known incidents and the tickets linked to them: sync functions inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, insert, select, update

from gateway.store.dialect import insert_new
from gateway.store.prepared import Prepared
from gateway.store.schema import incident, incident_ticket, ticket

# Made once: both run for every new ticket. Shared locks, where locks are the database's: whoever closes an incident
# waits for the tickets that are being linked to it, and then sees them.
_OPEN = Prepared(
    select(incident).where(incident.c.closed_at.is_(None)).order_by(incident.c.id.desc()).with_for_update(read=True)
)
_OPEN_OF = Prepared(
    select(incident)
    .join(incident_ticket, incident_ticket.c.incident_id == incident.c.id)
    .where(incident_ticket.c.ticket_id == bindparam("ticket"), incident.c.closed_at.is_(None))
)


def add(
    conn: Connection,
    *,
    texts: Mapping[str, str],
    contracts: Sequence[str],
    classes: Sequence[int],
    words: Sequence[str],
    actor: str,
    now: datetime,
) -> Row[Any]:
    """Open an incident; returns its row."""
    row = {
        "texts": dict(texts),
        "contracts": list(contracts),
        "classes": list(classes),
        "words": list(words),
        "opened_at": now,
        "opened_by": actor,
        "outcome": {},
    }
    return conn.execute(insert(incident).values(row).returning(incident)).one()


def get(conn: Connection, incident_id: int) -> Row[Any] | None:
    """One incident, open or closed."""
    return conn.execute(select(incident).where(incident.c.id == incident_id)).one_or_none()


def open_ones(conn: Connection) -> Sequence[Row[Any]]:
    """Every open incident, the newest first; none of them is closed before this transaction ends."""
    return _OPEN.all(conn, {})


def page(conn: Connection, *, only_open: bool, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Incidents by falling id."""
    wanted = select(incident).order_by(incident.c.id.desc()).limit(limit)
    if only_open:
        wanted = wanted.where(incident.c.closed_at.is_(None))
    if before is not None:
        wanted = wanted.where(incident.c.id < before)
    return conn.execute(wanted).all()


def end(conn: Connection, incident_id: int, *, outcome: Mapping[str, str], actor: str, now: datetime) -> bool:
    """Close an incident. False when it is closed already, or not there."""
    statement = (
        update(incident)
        .where(incident.c.id == incident_id, incident.c.closed_at.is_(None))
        .values(closed_at=now, closed_by=actor, outcome=dict(outcome))
    )
    return conn.execute(statement).rowcount == 1


def link(conn: Connection, incident_id: int, ticket_id: int, *, silent: str, now: datetime) -> bool:
    """Tie a ticket to an incident; `silent`: why nothing automatic was said at its opening. False: it has one."""
    row = {"ticket_id": ticket_id, "incident_id": incident_id, "silent": silent, "at": now}
    return insert_new(conn, incident_ticket, row) is not None


def linked(conn: Connection, incident_id: int) -> Sequence[Row[Any]]:
    """Tickets of an incident (id, number, channel, account, status, contract), the oldest first."""
    columns = (ticket.c.id, ticket.c.number, ticket.c.channel, ticket.c.account, ticket.c.status, ticket.c.contract)
    wanted: Select[Any] = select(*columns).join(incident_ticket, incident_ticket.c.ticket_id == ticket.c.id)
    return conn.execute(wanted.where(incident_ticket.c.incident_id == incident_id).order_by(ticket.c.id)).all()


def counts(
    conn: Connection, incident_ids: Collection[int], contracts: Collection[str] | None = None
) -> Mapping[int, int]:
    """Incident -> how many tickets are linked to it; `contracts`: only theirs."""
    wanted = select(incident_ticket.c.incident_id, func.count()).where(
        incident_ticket.c.incident_id.in_(list(incident_ids))
    )
    if contracts is not None:
        own = select(ticket.c.id).where(ticket.c.contract.in_(sorted(contracts)))
        wanted = wanted.where(incident_ticket.c.ticket_id.in_(own))
    return {row[0]: row[1] for row in conn.execute(wanted.group_by(incident_ticket.c.incident_id))}


def link_of(conn: Connection, ticket_id: int) -> Row[Any] | None:
    """What ties this ticket to an incident (incident_id, silent, at), open or closed."""
    return conn.execute(select(incident_ticket).where(incident_ticket.c.ticket_id == ticket_id)).one_or_none()


def open_of(conn: Connection, ticket_id: int) -> Row[Any] | None:
    """The open incident that this ticket is about."""
    return _OPEN_OF.first(conn, {"ticket": ticket_id})
