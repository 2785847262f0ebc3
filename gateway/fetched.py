"""What became of a file that was fetched or listened to, in one transaction each: the row, the file, the history.

Events: `media {attachment, message, state, detail}` when a file is here or will not come; `transcript {attachment,
message, failed, kept}`: why there is none, or why class and line stayed as they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy import Row as Found

from channels.contract import Fetched
from gateway import clocks, updates
from gateway.actors import persons
from gateway.context import Context
from gateway.dialogs.ivr_states import from_json
from gateway.store import calls, erasures, media, schema, tickets
from gateway.updates import Change
from normalizer.language import guess
from normalizer.message import Address, Message
from router.assignment import Assignment
from router.route import route

GATEWAY = "gateway"
VOICE = "voice"
OPEN = ("new", "open", "waiting")


def came(
    conn: Connection, row: media.Row, file: Fetched, now: datetime, *, listen: bool,
    erase_after: timedelta | None = None,
) -> bool:  # fmt: skip
    """The file is a blob now; `listen`: next it is transcribed; `erase_after`: then it is deleted at the far side.

    False when the row is no longer ours.
    """
    if not media.settle(conn, row, "waiting" if listen else "here", now, fresh=listen):
        return False
    media.set_file(conn, row, sha256=file.sha256, size=file.size, content_type=file.content_type)
    if erase_after is not None:
        erasures.put(conn, row.channel, row.account, row.source, due_at=now + erase_after, now=now)
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
        _tell(conn, words_of(row), now, failed=reason)
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Somebody's spoken words: where they are kept."""

    ticket_id: int
    message_id: int
    attachment_id: int
    key: str
    """What makes what is done about their transcript happen once."""


def words_of(row: media.Row) -> Words:
    """Those in a file that was fetched."""
    return Words(
        ticket_id=row.ticket_id, message_id=row.message_id, attachment_id=row.attachment_id, key=f"transcript:{row.id}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A message as it reads with what is said in its files, and what decides about a ticket of its own."""

    message: Message
    opened_at: datetime
    contract: str | None


def reading(conn: Connection, words: Words, transcript: str) -> Heard | None:
    """What routing may be asked with; None when the ticket is not this message's to decide about."""
    ticket = tickets.get(conn, words.ticket_id)
    if _why_kept(conn, ticket, words.message_id):
        return None
    said = conn.execute(select(schema.message).where(schema.message.c.id == words.message_id)).one()
    heard = "\n\n".join([*media.transcripts(conn, words.message_id, but=words.attachment_id), transcript])
    call = _call_of(conn, ticket)
    # What else stands in the ticket of a call is the gateway's own.
    subject, written = ("", "") if call is not None else (ticket.subject, said.visible_text)
    text = "\n\n".join(part for part in (written, heard) if part.strip())
    language, sure = guess(heard)
    message = Message(
        sender=Address(address=said.author, name=said.author_name), subject=subject, text=text,
        visible_text=text, language=language or said.language, language_sure=sure,
        chosen=from_json(call.state).chosen if call is not None else (),
    )  # fmt: skip
    return Heard(message=message, opened_at=ticket.opened_at, contract=ticket.contract)


def _call_of(conn: Connection, ticket: Found[Any]) -> Found[Any] | None:
    return calls.about_ticket(conn, ticket.id) if ticket.channel == VOICE else None


def _why_kept(conn: Connection, ticket: Found[Any], message_id: int) -> str:
    """Why the words of this message change nothing about the ticket; "" when they may: it began with them, is under
    way, and nobody of staff has decided about it."""
    if ticket.status not in OPEN:
        return f"the ticket is {ticket.status}"
    message, event = schema.message, schema.event
    call = _call_of(conn, ticket)
    first = calls.first_words(conn, call.id) if call is not None else conn.scalar(
        select(message.c.id).where(message.c.ticket_id == ticket.id, message.c.direction == "in")
        .order_by(message.c.at, message.c.id).limit(1)
    )  # fmt: skip
    if first != message_id:
        return "the ticket began with another message"
    decided = select(event.c.actor, event.c.kind).where(
        event.c.ticket_id == ticket.id,
        event.c.kind.in_(("class", "line", "contract")),
        persons(event.c.actor),
    )
    found = conn.execute(decided.order_by(event.c.id).limit(1)).one_or_none()
    return f"{found.actor} has decided about the {found.kind}" if found is not None else ""


def heard(
    conn: Connection, ctx: Context, row: media.Row, transcript: str, assignment: Assignment | None, now: datetime
) -> bool:
    """Keep the transcript; `assignment` is what routing makes of it, for a ticket that nobody has decided about."""
    if not media.settle(conn, row, "here", now):
        return False
    _keep(conn, ctx, words_of(row), transcript, assignment, now)
    return True


def told(
    conn: Connection, ctx: Context, words: Words, transcript: str, account: tuple[str, str], now: datetime
) -> bool:
    """Keep what the far side wrote down (`account`: channel and account), and route by it; "" says that it could not.

    False where a transcript of our own is there, which stays.
    """
    if media.is_transcribed(conn, words.attachment_id):
        return False
    if not transcript:
        _tell(conn, words, now, failed="the provider could not write it down")
        return True
    found, (channel, name) = reading(conn, words, transcript), account
    assignment = None
    if found is not None:
        # A few sentences at most: this holds nobody up.
        assignment = route(
            found.message, ctx.policy, found.opened_at, channel=channel, account=name, contract=found.contract
        )
    _keep(conn, ctx, words, transcript, assignment, now)
    return True


def _keep(
    conn: Connection, ctx: Context, words: Words, transcript: str, assignment: Assignment | None, now: datetime
) -> None:
    media.set_transcript(conn, words.attachment_id, transcript)
    ticket = tickets.lock(conn, words.ticket_id)
    # Somebody may have decided while it was listened to.
    kept = _why_kept(conn, ticket, words.message_id)
    _tell(conn, words, now, **({"kept": kept} if kept else {}))
    if assignment is not None and not kept:
        _decide(conn, ctx, ticket, words, assignment, now)
    tickets.update(conn, words.ticket_id, updated_at=now)


def _tell(conn: Connection, words: Words, now: datetime, **more: str) -> None:
    data = {"attachment": words.attachment_id, "message": words.message_id, **more}
    key = f"{words.key}:failed" if "failed" in more else words.key
    tickets.add_event(conn, words.ticket_id, at=now, actor=GATEWAY, kind="transcript", data=data, key=key)


def _decide(
    conn: Connection, ctx: Context, ticket: Found[Any], words: Words, assigned: Assignment, now: datetime
) -> None:
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
        key = f"{words.key}:{kind}"
        event_id = tickets.add_event(conn, ticket.id, at=now, actor=GATEWAY, kind=kind, data=data, key=key)
        change = Change(ticket_id=ticket.id, event_id=event_id, kind=kind, actor=GATEWAY, data=data, automatic_ok=False)
        updates.compose(conn, ctx, change, now)
    clocks.recompute(conn, ctx, ticket.id, now)


def lease(ctx: Context) -> timedelta:
    """How long a claim holds: longer than any try, or somebody else would try as well."""
    return max(ctx.settings.media.timeout, ctx.settings.transcription.timeout) * 2 + timedelta(minutes=1)
