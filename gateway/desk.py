"""What staff do to a ticket: answer, ask, note, resolve, and the rest.

Every act is a plain function on a Connection, in the caller's transaction, with the actor, the time
and a key that makes it happen once. Events written here, with their data:

- `reply {message}`, `question {message}`, `note {message}`: who wrote is the event's actor;
- `resolved {result}`, `closed {}`, `reopened {}`, `status {}`: with `status: [before, after]`;
- those of `gateway.desk_fields`: class, contract, line, onsite, visit, assigned, requester;
- `survey {survey, before}`: staff asked for a rating at once; `before`: the question was out already.

A reply or question that changes the status has `status: [before, after]` too. An answer counts as a
reaction when its actor is a person (`agent:…`, or one who works in the ticket store).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from gateway import surveys
from gateway.actors import is_person
from gateway.context import Context
from gateway.desk_acts import (
    Conflict,
    DeskError,
    Done,
    Invalid,
    NotFound,
    Step,
    TicketRow,
    Words,
    earlier,
    locked,
    perform,
)
from gateway.desk_fields import (
    accept_proposal,
    assign,
    set_class,
    set_contract,
    set_line,
    set_onsite,
    set_requester,
    set_visit,
)
from gateway.desk_open import Registration, open_ticket, routed
from gateway.store import tickets
from normalizer.message import Attachment, Json

__all__ = [
    "Conflict",
    "DeskError",
    "Done",
    "Invalid",
    "NotFound",
    "Registration",
    "accept_proposal",
    "ask",
    "ask_survey",
    "assign",
    "close",
    "is_person",
    "note",
    "open_ticket",
    "reply",
    "resolve",
    "routed",
    "set_class",
    "set_contract",
    "set_line",
    "set_onsite",
    "set_requester",
    "set_status",
    "set_visit",
]

TRANSITIONS: Mapping[str, frozenset[str]] = {
    "new": frozenset({"open", "waiting", "resolved", "closed", "held"}),
    "open": frozenset({"waiting", "resolved", "closed", "held"}),
    "waiting": frozenset({"open", "resolved", "closed", "held"}),
    "resolved": frozenset({"open", "closed"}),
    "closed": frozenset({"open"}),
    "held": frozenset({"open", "resolved", "closed"}),
}
"""Status -> the statuses that staff may give it next."""

ASKED_BEFORE = "asked before"
_TAKEN_UP = {"new": "open", "held": "open"}
_LONGEST_TEXT = 1_000_000


def reply(
    conn: Connection,
    ctx: Context,
    ticket_id: int,
    *,
    actor: str,
    now: datetime,
    key: str | None = None,
    text: str,
    attachments: Sequence[Attachment] = (),
) -> Done:
    """Answer the requester in public. A person's answer ends the reaction clock; a new ticket is open then.

    Attachments carry content, or name a blob that is there. Raises NotFound, Invalid (no text).
    """
    _some(text, "reply")

    def decide(row: TicketRow) -> Step:
        after = _TAKEN_UP.get(row.status, row.status)
        return Step(
            kind="reply",
            data=_status(row, after),
            columns={"status": after},
            words=Words(direction="out", kind="reply", text=text, attachments=attachments),
            told={"text": text},
        )

    return perform(conn, ctx, ticket_id, decide, actor=actor, now=now, key=key)


def note(
    conn: Connection,
    ctx: Context,
    ticket_id: int,
    *,
    actor: str,
    now: datetime,
    key: str | None = None,
    text: str,
    attachments: Sequence[Attachment] = (),
) -> Done:
    """Write something that only staff see. Raises NotFound, Invalid (no text)."""
    _some(text, "note")

    def decide(_row: TicketRow) -> Step:
        return Step(kind="note", words=Words(direction="note", kind="note", text=text, attachments=attachments))

    return perform(conn, ctx, ticket_id, decide, actor=actor, now=now, key=key)


def ask(
    conn: Connection,
    ctx: Context,
    ticket_id: int,
    *,
    actor: str,
    now: datetime,
    key: str | None = None,
    text: str,
    attachments: Sequence[Attachment] = (),
) -> Done:
    """Ask the requester for information: the ticket waits and its resolution clock stops.

    Raises NotFound, Invalid (no text), Conflict (resolved or closed: reopen it first).
    """
    _some(text, "question")

    def decide(row: TicketRow) -> Step:
        if row.status in ("resolved", "closed"):
            raise Conflict(f"the ticket is {row.status}; set its status to open first, then ask")
        return Step(
            kind="question",
            data=_status(row, "waiting"),
            columns={"status": "waiting"},
            words=Words(direction="out", kind="question", text=text, attachments=attachments),
            told={"text": text},
        )

    return perform(conn, ctx, ticket_id, decide, actor=actor, now=now, key=key)


def resolve(
    conn: Connection,
    ctx: Context,
    ticket_id: int,
    *,
    actor: str,
    now: datetime,
    key: str | None = None,
    result: str,
) -> Done:
    """Resolve the ticket; `result` says in plain words what was done, and the notice quotes it.

    "" says on purpose that there is nothing to tell. The requester is asked for a rating as the
    survey policy has it. Raises NotFound, Conflict (resolved or closed already).
    """

    def decide(row: TicketRow) -> Step:
        _allowed(row, "resolved")
        return Step(
            kind="resolved",
            data={**_status(row, "resolved"), "result": result.strip(), "resolution": row.resolutions + 1},
            columns={
                "status": "resolved",
                "result": result.strip(),
                "resolved_at": now,
                "resolutions": row.resolutions + 1,
            },
        )

    return perform(conn, ctx, ticket_id, decide, actor=actor, now=now, key=key)


def close(conn: Connection, ctx: Context, ticket_id: int, *, actor: str, now: datetime, key: str | None = None) -> Done:
    """Close the ticket for good. Raises NotFound, Conflict (closed already)."""

    def decide(row: TicketRow) -> Step:
        _allowed(row, "closed")
        return Step(kind="closed", data=_status(row, "closed"), columns={"status": "closed"})

    return perform(conn, ctx, ticket_id, decide, actor=actor, now=now, key=key)


def set_status(
    conn: Connection,
    ctx: Context,
    ticket_id: int,
    *,
    actor: str,
    now: datetime,
    key: str | None = None,
    status: str,
) -> Done:
    """Set a status by hand: open (also reopens), waiting (stops the clock), held, closed.

    Raises NotFound, Invalid (no such status; `resolved` wants a result: `resolve`), Conflict (no way there).
    """
    if status == "resolved":
        raise Invalid("resolve the ticket instead: resolving asks for the result in plain words")
    if status not in TRANSITIONS:
        raise Invalid("no such status; it is one of open, waiting, held, closed")
    if status == "closed":
        return close(conn, ctx, ticket_id, actor=actor, now=now, key=key)

    def decide(row: TicketRow) -> Step:
        _allowed(row, status)
        again = row.status in ("resolved", "closed")
        columns = {"status": status, "resolved_at": None} if again else {"status": status}
        return Step(kind="reopened" if again else "status", data=_status(row, status), columns=columns)

    return perform(conn, ctx, ticket_id, decide, actor=actor, now=now, key=key)


def ask_survey(
    conn: Connection, ctx: Context, ticket_id: int, *, actor: str, now: datetime, key: str | None = None
) -> Done:
    """Ask the requester for a rating at once, whatever the survey policy's delay.

    One who was asked about this resolution before is not asked again; the event says so.
    Raises NotFound, Conflict (not resolved yet, or a person who is not to be asked).
    """
    row = locked(conn, ticket_id)
    if done := earlier(conn, ticket_id, key):
        return done
    if row.status not in ("resolved", "closed"):
        raise Conflict("a rating is asked for after the resolution; resolve the ticket first")
    asked = surveys.ask(conn, ctx, ticket_id, now)
    if asked.refused and asked.refused != ASKED_BEFORE:
        raise Conflict(f"this person is not asked for a rating: {asked.refused}")
    data: dict[str, Json] = {"survey": asked.survey_id, "before": bool(asked.refused)}
    event_id = tickets.add_event(conn, ticket_id, at=now, actor=actor, kind="survey", data=data, key=key)
    if event_id is None:
        raise Conflict("the same act is being carried out; ask again")
    return Done(ticket_id=ticket_id, event_id=event_id)


def _some(text: str, what: str) -> None:
    if not text.strip():
        raise Invalid(f"the {what} has no text; write what the reader should know")
    if len(text) > _LONGEST_TEXT:
        raise Invalid(f"the {what} is longer than {_LONGEST_TEXT} characters; attach it as a file")


def _status(row: TicketRow, after: str) -> dict[str, Json]:
    return {} if row.status == after else {"status": [row.status, after]}


def _allowed(row: TicketRow, after: str) -> None:
    if after == row.status:
        raise Conflict(f"the ticket is {after} already")
    if after not in TRANSITIONS[row.status]:
        ways = ", ".join(sorted(TRANSITIONS[row.status]))
        raise Conflict(f"a {row.status} ticket cannot become {after}; it can become {ways}")
