"""Staff by mail: an answer, a note, or a request registered for somebody else.

Believed only with a relay's verdict (or where the agent's `trust_unknown` says that strangers cannot
reach the port). Agents are never acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from sqlalchemy import Connection, select, update

from gateway import desk
from gateway.context import Context
from gateway.filing_append import append_to
from gateway.filing_case import Case, Filed
from gateway.filing_open import open_for
from gateway.filing_threads import Found, Key, find, named_keys, own_key, tie
from gateway.store import schema, tickets
from normalizer.message import Message, Trust
from router.assignment import Assignment

NOTE_TAG = "note"
Act: TypeAlias = Callable[..., desk.Done]


def agent_of(ctx: Context, message: Message) -> str | None:
    """Key of the agent whose address the message bears, believed or not."""
    return ctx.settings.agent_by_address(message.sender.address) if message.sender.address else None


def is_believed(ctx: Context, agent: str, trust: Trust) -> bool:
    """The message really comes from that agent, as far as we can know."""
    return trust is Trust.VERIFIED or (trust is Trust.UNKNOWN and ctx.settings.agents[agent].trust_unknown)


def file_agent(
    conn: Connection, case: Case, agent: str, found: Found | None, inside: Assignment | None
) -> Filed | None:
    """What a believed agent's mail does; None when it is a request of the agent's own, or about one."""
    if found is not None and case.ctx.settings.agent_by_address(tickets.get(conn, found.ticket_id).requester) == agent:
        return None
    if found is not None and found.issued:
        # A forward is not meant for the customer, whatever keys it carries.
        quiet = wants_note(case) or case.message.forwarded is not None
        return _act(conn, case, agent, found, desk.note if quiet else desk.reply, "note" if quiet else "reply")
    if found is not None:
        # Seen only: the agent wrote to the customer directly and copied us.
        return _act(conn, case, agent, found, desk.note, "note")
    if case.message.forwarded is not None and inside is not None:
        known = find(conn, case.message.forwarded)
        if known is not None:
            # The customer wrote to us, too: a second ticket could not have the keys of the first.
            return _act(conn, case, agent, known, desk.note, "note")
        return _register(conn, case, agent, case.message.forwarded, inside)
    return None


def wants_note(case: Case) -> bool:
    """One of the addresses of ours that it came to has the plus tag `note`."""
    recipients = [recipient for _account, recipient in case.entry.raw.deliveries]
    named = [person.address for person in (*case.message.to, *case.message.cc)]
    recipients += [address for address in named if case.ctx.settings.is_own(address)]
    return any(NOTE_TAG in recipient.lower().rpartition("@")[0].split("+")[1:] for recipient in recipients)


def _act(conn: Connection, case: Case, agent: str, found: Found, act: Act, kind: str) -> Filed:
    text = case.message.visible_text.strip() or case.message.text.strip()
    if kind == "note":
        text = case.message.text.strip() if case.message.forwarded is not None else text
    try:
        done = act(
            conn,
            case.ctx,
            found.ticket_id,
            actor=f"agent:{agent}",
            now=max(case.entry.raw.received_at, tickets.get(conn, found.ticket_id).opened_at),
            key=case.key("agent"),
            text=text or "—",
            attachments=case.message.attachments,
        )
    except desk.DeskError as error:
        # Nothing is lost for a rule of the desk: it is there for staff to see, and goes to nobody.
        filed = append_to(conn, case, found, verified=False)
        return replace(filed, because=str(error))
    event = conn.execute(select(schema.event.c.data).where(schema.event.c.id == done.event_id)).scalar_one()
    message_id = event.get("message")
    if message_id is not None:
        _own(conn, case, message_id)
    own = own_key(case.message)
    tie(conn, found.ticket_id, [own] if own else [])
    number = str(tickets.get(conn, found.ticket_id).number)
    return Filed(kind=kind, ticket_id=found.ticket_id, number=number, message_id=message_id)


def _own(conn: Connection, case: Case, message_id: int) -> None:
    """The message that the act wrote is this entry's reading: replay finds it, nothing is filed twice."""
    columns: dict[str, Any] = {
        "entry_id": case.entry.id,
        "generation": case.entry.generation,
        "sha256": case.entry.raw.body.sha256,
        "subject": case.message.subject,
    }
    conn.execute(update(schema.message).where(schema.message.c.id == message_id).values(columns))


def _register(conn: Connection, case: Case, agent: str, inner: Message, inside: Assignment) -> Filed:
    """A ticket for the person who wrote what the agent forwards."""
    said = replace(
        inner,
        attachments=inner.attachments or case.message.attachments,
        # The agent vouches for it: what the relay thought of the forward is not about the person.
        trust=Trust.UNKNOWN,
        forwarded=None,
    )
    registered = replace(
        case,
        message=said,
        assignment=inside,
        sender=inner.sender,
        registered_by=agent,
        extra={"registered_by": agent},
    )
    keys = _keys(case.message, inner)
    filed = open_for(conn, registered, keys=keys)
    words = case.message.visible_text.strip()
    if words and filed.ticket_id is not None:
        desk.note(
            conn,
            case.ctx,
            filed.ticket_id,
            actor=f"agent:{agent}",
            now=case.now,
            key=case.key("agent-note"),
            text=words,
        )
    return replace(filed, because="registered by an agent")


def _keys(outer: Message, inner: Message) -> list[Key]:
    """The forward's id and that of the mail inside: an answer to either belongs here."""
    own = (own_key(outer), own_key(inner))
    return list(dict.fromkeys([key for key in own if key] + named_keys(inner) + named_keys(outer)))
