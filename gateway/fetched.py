"""What became of a file that was fetched or listened to, in one transaction each: the row, the file, the history.

Events: `media {attachment, message, state, detail}` when a file is here or will not come; `transcript {attachment,
message}` or `transcript {attachment, message, failed}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy import Row as Found

from channels.contract import Fetched
from gateway import clocks, updates
from gateway.context import Context
from gateway.store import media, schema, tickets
from gateway.updates import Change
from normalizer.language import guess
from normalizer.message import Address, Message
from router.assignment import Assignment

GATEWAY = "gateway"
OPEN = ("new", "open", "waiting")


def came(conn: Connection, row: media.Row, file: Fetched, now: datetime, *, listen: bool) -> bool:
    """The file is a blob now; `listen`: next it is transcribed. False when the row is no longer ours."""
    if not media.settle(conn, row, "waiting" if listen else "here", now, fresh=listen):
        return False
    media.set_file(conn, row, sha256=file.sha256, size=file.size, content_type=file.content_type)
    _event(conn, row, now, "here")
    return True


def put_off(conn: Connection, row: media.Row, due_at: datetime, reason: str, now: datetime) -> bool:
    """Try again at `due_at`."""
    return media.settle(conn, row, "waiting", now, due_at=due_at, detail=reason)


def will_not_come(conn: Connection, ctx: Context, row: media.Row, reason: str, now: datetime, *, too_big: bool) -> bool:
    """The file is given up: staff see it in the history, and the person is told."""
    if not media.settle(conn, row, "failed", now, detail=reason):
        return False
    media.set_failed(conn, row)
    event_id = _event(conn, row, now, "failed", detail=reason, too_big=too_big)
    said = conn.execute(select(schema.message).where(schema.message.c.id == row.message_id)).one()
    data = {"message": row.message_id, "too_big": too_big, "answers": said.external_key or ""}
    fresh = row.created_at - said.at <= ctx.settings.tickets.automatic_age
    change = Change(
        ticket_id=row.ticket_id, event_id=event_id, kind="media", actor=GATEWAY, data=data,
        automatic_ok=fresh and said.verified and said.generation == 0,
    )  # fmt: skip
    updates.compose(conn, ctx, change, now)
    return True


def _event(conn: Connection, row: media.Row, now: datetime, state: str, **more: Any) -> int | None:
    data = {"attachment": row.attachment_id, "message": row.message_id, "state": state, **more}
    key = f"media:{row.id}:{state}"
    return tickets.add_event(conn, row.ticket_id, at=now, actor=GATEWAY, kind="media", data=data, key=key)


# -- transcripts ----------------------------------------------------------------------------


def not_heard(conn: Connection, row: media.Row, reason: str, now: datetime) -> bool:
    """There will be no transcript; whoever takes the ticket listens."""
    if not media.settle(conn, row, "here", now, detail=reason):
        return False
    if reason:
        data = {"attachment": row.attachment_id, "message": row.message_id, "failed": reason}
        key = f"transcript:{row.id}"
        tickets.add_event(conn, row.ticket_id, at=now, actor=GATEWAY, kind="transcript", data=data, key=key)
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A message as it reads with what is said in its files, and what decides about a ticket of its own."""

    message: Message
    opened_at: datetime
    contract: str | None


def reading(conn: Connection, row: media.Row, transcript: str) -> Heard | None:
    """What routing may be asked with; None when the ticket is not this message's to decide about."""
    ticket = tickets.get(conn, row.ticket_id)
    said = conn.execute(select(schema.message).where(schema.message.c.id == row.message_id)).one()
    if not _is_open_question(conn, ticket, said):
        return None
    heard = "\n\n".join([*media.transcripts(conn, row.message_id), transcript])
    text = "\n\n".join(part for part in (said.visible_text, heard) if part.strip())
    language, sure = guess(heard)
    message = Message(
        sender=Address(address=said.author, name=said.author_name), subject=ticket.subject, text=text,
        visible_text=text, language=language or said.language, language_sure=sure,
    )  # fmt: skip
    return Heard(message=message, opened_at=ticket.opened_at, contract=ticket.contract)


def _is_open_question(conn: Connection, ticket: Found[Any], said: Found[Any]) -> bool:
    """The ticket began with this message, is still under way, and nobody of staff has decided about it."""
    if ticket.status not in OPEN:
        return False
    message, event = schema.message, schema.event
    first = conn.scalar(
        select(message.c.id).where(message.c.ticket_id == ticket.id, message.c.direction == "in")
        .order_by(message.c.at, message.c.id).limit(1)
    )  # fmt: skip
    if first != said.id:
        return False
    decided = select(event.c.id).where(
        event.c.ticket_id == ticket.id,
        event.c.kind.in_(("class", "line", "contract")),
        event.c.actor.startswith("agent:"),
    )
    return conn.execute(decided.limit(1)).first() is None


def heard(
    conn: Connection, ctx: Context, row: media.Row, transcript: str, assignment: Assignment | None, now: datetime
) -> bool:
    """Keep the transcript; `assignment` is what routing makes of it, for a ticket that nobody has decided about."""
    if not media.settle(conn, row, "here", now):
        return False
    media.set_transcript(conn, row, transcript)
    data = {"attachment": row.attachment_id, "message": row.message_id}
    key = f"transcript:{row.id}"
    tickets.add_event(conn, row.ticket_id, at=now, actor=GATEWAY, kind="transcript", data=data, key=key)
    if assignment is not None:
        _decide(conn, ctx, row, assignment, now)
    tickets.update(conn, row.ticket_id, updated_at=now)
    return True


def _decide(conn: Connection, ctx: Context, row: media.Row, assigned: Assignment, now: datetime) -> None:
    ticket = tickets.lock(conn, row.ticket_id)
    said = conn.execute(select(schema.message).where(schema.message.c.id == row.message_id)).one()
    if not _is_open_question(conn, ticket, said):
        return  # somebody decided while it was listened to
    columns: dict[str, Any] = {
        "class_": assigned.class_, "proposed_class": assigned.proposed_class, "confidence": assigned.confidence,
        "line": assigned.line, "proposed_line": assigned.proposed_line, "onsite": assigned.onsite,
        "tags": list(dict.fromkeys([*ticket.tags, *assigned.tags])),
        "because": [reason.as_json() for reason in assigned.because],
    }  # fmt: skip
    tickets.update(conn, ticket.id, **columns)
    for kind, before, after in (("class", ticket.class_, assigned.class_), ("line", ticket.line, assigned.line)):
        if before == after:
            continue
        data = {kind: after, "before": before, "reason": "the transcript", "policy": assigned.policy}
        key = f"transcript:{row.id}:{kind}"
        event_id = tickets.add_event(conn, ticket.id, at=now, actor=GATEWAY, kind=kind, data=data, key=key)
        change = Change(ticket_id=ticket.id, event_id=event_id, kind=kind, actor=GATEWAY, data=data, automatic_ok=False)
        updates.compose(conn, ctx, change, now)
    clocks.recompute(conn, ctx, ticket.id, now)


def lease(ctx: Context) -> timedelta:
    """How long a claim holds: longer than any try, or somebody else would try as well."""
    return max(ctx.settings.media.timeout, ctx.settings.transcription.timeout) * 2 + timedelta(minutes=1)
