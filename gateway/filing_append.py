"""A message that belongs to a ticket is appended; what that does depends on who wrote it (rule 8)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row

from gateway import clocks, surveys, updates
from gateway.automatic import Asked, is_circling, why_silent
from gateway.filing_case import Case, Filed, keep_files
from gateway.filing_open import add_people
from gateway.filing_threads import Found, keys_to_tie, own_key, tie
from gateway.store import people, tickets

NEXT_STATUS = {"waiting": "open", "resolved": "open", "closed": "open"}
"""What a customer's answer makes of a status; the others stay."""


def append_to(conn: Connection, case: Case, found: Found, *, verified: bool) -> Filed:
    """Append the message to the ticket; a verified one may wake it up or be a vote."""
    ticket = tickets.lock(conn, found.ticket_id)
    message_id = tickets.add_revision(
        conn, ticket.id, direction="in", kind="message", verified=verified, **case.revision()
    )
    if message_id is None:
        return Filed(kind="repeated", ticket_id=ticket.id, number=ticket.number)
    keep_files(conn, case, ticket.id, message_id)
    _tie(conn, case, ticket.id, verified)
    if found.others:
        relate(conn, ticket, [str(tickets.get(conn, other).number) for other in found.others])
    if not verified:
        return _unverified(conn, case, ticket, message_id)
    people.mark_reachable(conn, case.identity, case.sender.address, case.entry.raw.channel)
    if ticket.channel == case.entry.raw.channel:
        # An address of another channel is no place to send this ticket's answers to.
        tickets.add_participant(conn, ticket.id, case.sender.address, tickets.CC, case.sender.name)
    add_people(conn, case.ctx, ticket.id, case.message, case.sender)
    rated = _vote(conn, case, ticket)
    if rated:
        _record(conn, case, ticket, "message", {"message": message_id, "rated": True}, {})
        return Filed(kind="rating", ticket_id=ticket.id, number=ticket.number, message_id=message_id)
    _wake(conn, case, ticket, message_id)
    because = "issued key" if found.issued else "participant"
    return Filed(kind="appended", ticket_id=ticket.id, number=ticket.number, message_id=message_id, because=because)


def keep_vote(conn: Connection, case: Case, ticket: Row[Any]) -> int | None:
    """A message that is a vote, or the comment on one, is part of the ticket and wakes nobody. None: it is there."""
    message_id = tickets.add_revision(conn, ticket.id, direction="in", kind="message", **case.revision())
    if message_id is not None:
        _record(conn, case, ticket, "message", {"message": message_id, "rated": True}, {})
    return message_id


def _tie(conn: Connection, case: Case, ticket_id: int, verified: bool) -> None:
    own = own_key(case.message)
    # A stranger must not tie other people's ids to this ticket.
    tie(conn, ticket_id, keys_to_tie(case.message) if verified else [own] if own else [])


def relate(conn: Connection, ticket: Row[Any], numbers: list[str]) -> None:
    """Remember tickets that this one may belong together with."""
    known = ticket.related or []
    merged = [number for number in dict.fromkeys([*known, *numbers]) if number != ticket.number]
    if merged != known:
        tickets.update(conn, ticket.id, related=merged)


def _unverified(conn: Connection, case: Case, ticket: Row[Any], message_id: int) -> Filed:
    """Visible to staff only: no notice to the sender, no reopening, no rating."""
    data = {"message": message_id, "verified": False, "trust": case.message.trust.value}
    event_id = _event(conn, case, ticket, "message", "stranger", data)
    _compose(conn, case, ticket.id, event_id, "message", "stranger", data, automatic_ok=False)
    because = "a key that was seen, from somebody who is no trusted participant"
    return Filed(kind="unverified", ticket_id=ticket.id, number=ticket.number, message_id=message_id, because=because)


def _vote(conn: Connection, case: Case, ticket: Row[Any]) -> bool:
    """A digit or "stop" while a survey of this sender is open is an answer to it, and nothing else."""
    said = case.message
    if said.rating is None and not said.stop_surveys:
        return False
    survey = surveys.open_survey_for(conn, ticket.id, people.normal(case.sender.address), case.now)
    if survey is None:
        return False
    if said.stop_surveys:
        surveys.opt_out(conn, survey.id, case.now)
    if said.rating is not None:
        surveys.rate(
            conn,
            case.ctx,
            survey.id,
            said.rating,
            said.rating_comment,
            case.entry.raw.channel,
            case.key("rating"),
            case.now,
        )
    return True


def _wake(conn: Connection, case: Case, ticket: Row[Any], message_id: int) -> None:
    data: dict[str, Any] = {"message": message_id}
    columns: dict[str, Any] = {"updated_at": case.now}
    after = NEXT_STATUS.get(ticket.status, ticket.status)
    kind = "message"
    if after != ticket.status and not only_thanks(case):
        data["status"] = [ticket.status, after]
        columns["status"] = after
        if ticket.status in ("resolved", "closed"):
            kind = "reopened"
            columns["resolved_at"] = None
    _record(conn, case, ticket, kind, data, columns)


def is_requester(conn: Connection, case: Case, ticket: Row[Any]) -> bool:
    """The sender is the one who asked; where the ticket came by another channel, by the contact that both name."""
    if people.normal(case.sender.address) == ticket.requester:
        return True
    if ticket.channel == case.entry.raw.channel:
        return False
    known = people.find(conn, case.identity, case.sender.address)
    return known is not None and known.contact_id == ticket.requester_id


def only_thanks(case: Case) -> bool:
    """Thanks or a greeting, and no file with it."""
    files = any(not item.inline for item in case.message.attachments)
    return case.message.thanks and not files


def _record(
    conn: Connection, case: Case, ticket: Row[Any], kind: str, data: dict[str, Any], columns: dict[str, Any]
) -> None:
    actor = "requester" if is_requester(conn, case, ticket) else "participant"
    asked = Asked(ctx=case.ctx, entry=case.entry, message=case.message, recipient=case.sender.address)
    silent = why_silent(conn, asked, case.now) if kind == "reopened" else "not needed"
    if kind == "reopened" and silent:
        data["silent"] = silent
    if case.message.robot:
        data["robot"] = True
    event_id = _event(conn, case, ticket, kind, actor, data)
    tickets.update(conn, ticket.id, **{"updated_at": case.now, **columns})
    if "status" in data:
        # Nothing else that a customer says moves a clock, and the whole history would be read.
        clocks.recompute(conn, case.ctx, ticket.id, case.now)
    _compose(conn, case, ticket.id, event_id, kind, actor, data, automatic_ok=not silent)


def _event(conn: Connection, case: Case, ticket: Row[Any], kind: str, actor: str, data: dict[str, Any]) -> int | None:
    # The source's time, but a clock that is wrong must not put an answer before the question.
    at = max(case.entry.raw.received_at, ticket.opened_at)
    return tickets.add_event(conn, ticket.id, at=at, actor=actor, kind=kind, data=data, key=case.key("message"))


def _compose(
    conn: Connection,
    case: Case,
    ticket_id: int,
    event_id: int | None,
    kind: str,
    actor: str,
    data: dict[str, Any],
    *,
    automatic_ok: bool,
) -> None:
    if is_circling(conn, case.ctx, case.entry, case.sender.address, case.now):
        return
    change = updates.Change(
        ticket_id=ticket_id, event_id=event_id, kind=kind, actor=actor, data=data, automatic_ok=automatic_ok
    )
    updates.compose(conn, case.ctx, change, case.now)
