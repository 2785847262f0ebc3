"""Rows of the store as answers of the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from gateway.store import incidents, queries
from gateway.web.api_models import (
    AttachmentItem,
    Clock,
    Deadlines,
    EventItem,
    MessageItem,
    NoticeItem,
    Participant,
    Person,
    Revision,
    TicketDetail,
    TicketItem,
    TicketState,
)
from gateway.web.frame import PREFIX


def tickets(conn: Connection, rows: Sequence[Row[Any]]) -> list[TicketItem]:
    """Tickets with their messages, in four queries whatever their number."""
    names = queries.requester_names(conn, rows)
    messages = queries.messages(conn, [row.id for row in rows])
    files = queries.attachments(conn, [message.id for found in messages.values() for message in found])
    return [
        TicketItem(
            **_ticket(row, names), messages=[_message(row, item, files, {}) for item in messages.get(row.id, ())]
        )
        for row in rows
    ]


def ticket(conn: Connection, row: Row[Any]) -> TicketDetail:
    """One ticket with everything."""
    names = queries.requester_names(conn, [row])
    messages = queries.messages(conn, [row.id]).get(row.id, [])
    files = queries.attachments(conn, [message.id for message in messages])
    earlier = queries.revisions(conn, messages)
    people = queries.participants(conn, row.id)
    link = incidents.link_of(conn, row.id)
    return TicketDetail(
        **_ticket(row, names),
        messages=[_message(row, item, files, earlier) for item in messages],
        confidence=row.confidence,
        because=row.because,
        participants=[Participant(address=who.address, name=who.name, role=who.role) for who in people],
        incident=link.incident_id if link is not None else None,
    )


def deadlines(row: Row[Any]) -> Deadlines:
    """Both clocks as the columns have them."""
    return Deadlines(
        reaction=Clock(due=row.reaction_due, met_at=row.reaction_met_at),
        resolution=Clock(due=row.resolution_due, met_at=row.resolved_at),
    )


def state(row: Row[Any], event_id: int) -> TicketState:
    """What a change answers."""
    same = "id number status class_ line onsite assignee"
    return TicketState(**{name: getattr(row, name) for name in same.split()}, event=event_id)


def event(row: Row[Any]) -> EventItem:
    """One event."""
    return EventItem(id=row.id, at=row.at, actor=row.actor, kind=row.kind, data=row.data)


def notice(row: Row[Any]) -> NoticeItem:
    """One row of the outbox, without what it says."""
    return NoticeItem(
        id=row.id,
        kind=row.kind,
        template=row.template,
        state=row.state,
        channel=row.channel,
        account=row.account,
        recipient=row.recipient,
        ticket=row.ticket_id,
        language=row.language,
        created_at=row.created_at,
        due_at=row.due_at,
        settled_at=row.settled_at,
        attempts=row.attempts,
        detail=row.detail,
        fault=row.fault,
    )


def _ticket(row: Row[Any], names: Mapping[int, str]) -> dict[str, Any]:
    same = (
        "id number channel account subject status class_ proposed_class line proposed_line onsite visit contract"
        " assignee registered_by language tags result opened_at updated_at resolved_at"
    )
    return {
        **{name: getattr(row, name) for name in same.split()},
        "requester": Person(address=row.requester, name=names.get(row.id, "")),
        "deadlines": deadlines(row),
        "related": row.related or (),
    }


def _message(
    ticket_row: Row[Any],
    row: Row[Any],
    files: Mapping[int, Sequence[Row[Any]]],
    earlier: Mapping[int, Sequence[Row[Any]]],
) -> MessageItem:
    same = "id direction kind author author_name verified subject text visible_text language at"
    revisions = earlier.get(row.id, ())
    return MessageItem(
        **{name: getattr(row, name) for name in same.split()},
        oddities=row.oddities or (),
        entry=row.entry_id,
        attachments=[_attachment(ticket_row.number, item) for item in files.get(row.id, ())],
        revisions=[Revision(generation=old.generation, text=old.text, at=old.at) for old in revisions],
    )


def _attachment(number: str, row: Row[Any]) -> AttachmentItem:
    same = "id filename content_type size sha256 inline state"
    return AttachmentItem(
        **{name: getattr(row, name) for name in same.split()},
        transcript=row.transcript or "",
        url=f"{PREFIX}/tickets/{number}/attachments/{row.id}",
    )
