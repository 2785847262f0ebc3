"""Filing: what an entry means becomes a ticket, or a part of one. Sync functions in one transaction.

The way of every message: is it a robot's, ours come back, read before? Whose thread is it (rule 7)?
May its sender write there (rule 8)? Then it is appended, or opens a ticket.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime
from typing import Any, assert_never

from sqlalchemy import Connection, Row

from gateway import canary
from gateway.context import Context
from gateway.filing_agents import agent_of, file_agent, is_believed
from gateway.filing_append import append_to, relate
from gateway.filing_calls import file_call
from gateway.filing_case import Case, Conflict, Filed, author, keep_files
from gateway.filing_chats import file_chat
from gateway.filing_commands import file_command, listen, settle
from gateway.filing_consent import file_consent
from gateway.filing_open import open_for
from gateway.filing_replay import revise, unreadable
from gateway.filing_robots import file_moved, file_reachability, file_report, file_robot
from gateway.filing_status import file_status
from gateway.filing_threads import Found, among_namesakes, find, may_write
from gateway.filing_votes import file_rating, thank
from gateway.store import calls, claims, journal, threads, tickets
from gateway.store.journal import Entry
from gateway.worker_protocol import Parsed
from normalizer.message import (
    CallEvent,
    Command,
    Consent,
    DeliveryReport,
    Ignored,
    Message,
    Moved,
    Rating,
    Reachability,
    SendStatus,
)
from router.assignment import Assignment

__all__ = ["Conflict", "Filed", "file_entry", "give_up"]


def file_entry(conn: Connection, ctx: Context, entry: Entry, parsed: Parsed, now: datetime) -> Filed:
    """File one entry and mark it done, in the caller's transaction; doing it again changes nothing (rule 6).

    Raises Conflict when another transaction was faster with the same thread: roll back, file again.
    """
    if entry.owner is not None and not claims.still_ours(conn, entry):
        return Filed(kind="taken", because="another node has taken it over")
    if isinstance(parsed.event, CallEvent) and not calls.waits(conn, entry.id):
        return Filed(kind="call", because="filed when it was answered")
    filed = _dispatch(conn, ctx, entry, parsed, now)
    if filed.kind != "later":
        journal.done(conn, entry.id, outcome=filed.outcome(), now=now, generation=entry.generation)
    return filed


def give_up(conn: Connection, ctx: Context, entry: Entry, reason: str, now: datetime) -> bool:
    """Count a failed attempt; the last one puts the entry into quarantine and leaves a ticket that says so.

    Returns whether it is in quarantine now.
    """
    settings = ctx.settings.journal
    if entry.owner is not None and not claims.still_ours(conn, entry):
        return False
    if not journal.failed(conn, entry.id, reason=reason, now=now, limit=settings.attempts, backoff=settings.backoff):
        return False
    unreadable(conn, ctx, entry, reason, now)
    return True


def _dispatch(conn: Connection, ctx: Context, entry: Entry, parsed: Parsed, now: datetime) -> Filed:
    if (come_back := canary.back(conn, ctx, parsed.event, now)) is not None:
        return come_back
    match parsed.event:
        case Rating() as rating:
            return file_rating(conn, ctx, entry, rating, now)
        case DeliveryReport() as report:
            return file_report(conn, ctx, entry, report, now)
        case Message(kind="message") as message:
            return _message(conn, ctx, entry, message, parsed, now)
        case Message() as message:
            return file_robot(conn, entry, message)
        case Ignored(reason=reason):
            return Filed(kind="ignored", because=reason)
        case Reachability() | Moved() | Command() | Consent() | SendStatus() | CallEvent() as told:
            return _told(conn, ctx, entry, told, now)
        case _ as never:
            assert_never(never)


def _told(
    conn: Connection,
    ctx: Context,
    entry: Entry,
    told: Reachability | Moved | Command | Consent | SendStatus | CallEvent,
    now: datetime,
) -> Filed:
    """What is said to us and not to the desk."""
    match told:
        case Reachability():
            return file_reachability(conn, entry, told, now)
        case Moved():
            return file_moved(conn, entry, told)
        case Command():
            return file_command(conn, ctx, entry, told, now)
        case Consent():
            return file_consent(conn, ctx, entry, told, now)
        case SendStatus():
            return file_status(conn, ctx, entry, told, now)
        case CallEvent():
            return file_call(conn, ctx, entry, told, now)
        case _ as never:
            assert_never(never)


def _message(conn: Connection, ctx: Context, entry: Entry, message: Message, parsed: Parsed, now: datetime) -> Filed:
    case = Case(
        ctx=ctx,
        entry=entry,
        message=message,
        assignment=parsed.assignment or Assignment(),
        now=now,
        sender=author(entry, message),
    )
    # Locks in this order: the conversation, then the keys sorted, then the ticket.
    conversation = threads.lock_conversation(conn, entry.raw.channel, entry.raw.account, case.peer)
    earlier = tickets.revisions(conn, entry.id)
    if earlier:
        return revise(conn, case, earlier)
    if message.conversation is not None:
        return _conversed(conn, case, conversation)
    found = find(conn, message)
    if found is not None and found.ours:
        return Filed(kind="loop", because="bears an id that we issued")
    before = None
    if found is not None:
        another, found = among_namesakes(conn, entry, message, found)
        before = found if another else None
    if before is not None:
        # From here on a mail without an id: it may well answer to something else, or equal the one before it.
        case = replace(case, message=replace(message, message_id=""))
        found = find(conn, case.message)
    filed = _joined(conn, case, conversation) or _threaded(conn, case, found, parsed.forwarded_assignment)
    if before is not None and filed.kind == "opened" and filed.ticket_id is not None:
        numbers = [str(tickets.get(conn, before.ticket_id).number)]
        relate(conn, tickets.lock(conn, filed.ticket_id), numbers)
    if filed.ticket_id is not None:
        threads.touch_conversation(
            conn,
            entry.raw.channel,
            entry.raw.account,
            case.peer,
            ticket_id=filed.ticket_id,
            at=entry.raw.received_at,
            digest=_digest(case.message),
        )
    return filed


def _conversed(conn: Connection, case: Case, conversation: Row[Any]) -> Filed:
    """In a conversation a bot may have asked for just this; else it is for the desk."""
    listened = listen(conn, case)
    if listened.filed is not None:
        return listened.filed
    filed = file_chat(conn, replace(case, fresh=listened.fresh), conversation)
    if filed.kind != "later":
        settle(listened)
    if filed.kind == "rating" and filed.ticket_id is not None:
        thank(conn, case, filed.ticket_id)
    return filed


def _threaded(conn: Connection, case: Case, found: Found | None, inside: Assignment | None) -> Filed:
    agent = agent_of(case.ctx, case.message)
    believed = agent is not None and is_believed(case.ctx, agent, case.message.trust)
    if agent is not None and believed:
        done = file_agent(conn, case, agent, found, inside)
        if done is not None:
            return done
    if found is None:
        return open_for(conn, case)
    claims_staff = agent is not None and not believed
    verified = may_write(conn, found, case.sender.address, case.message.trust, claims_staff=claims_staff)
    return append_to(conn, case, found, verified=verified)


# -- equal mails without a Message-ID ------------------------------------------------------


def _digest(message: Message) -> str:
    """Of what a mail without Message-ID says; "" for one that has an id and so needs no guess."""
    if message.message_id:
        return ""
    parts = (message.subject, message.text, *(item.sha256 for item in message.attachments))
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()


def _joined(conn: Connection, case: Case, conversation: Row[Any]) -> Filed | None:
    """The same mail once more, within minutes and without an id: part of the ticket, and nothing else happens."""
    digest = _digest(case.message)
    if not digest or conversation.last_digest != digest or conversation.ticket_id is None:
        return None
    if abs(case.entry.raw.received_at - conversation.last_at) > case.ctx.settings.tickets.join_window:
        return None
    ticket = tickets.lock(conn, conversation.ticket_id)
    message_id = tickets.add_revision(conn, ticket.id, direction="in", kind="message", **case.revision())
    if message_id is not None:
        keep_files(conn, case, ticket.id, message_id)
        data = {"message": message_id}
        at = case.entry.raw.received_at
        tickets.add_event(conn, ticket.id, at=at, actor="gateway", kind="joined", data=data, key=case.key("joined"))
    return Filed(
        kind="joined", ticket_id=ticket.id, number=ticket.number, message_id=message_id, because="an equal mail"
    )
