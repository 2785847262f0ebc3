"""Reading an entry again, and the ticket of one that could not be read (rule 6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from channels.registry import identity_kind
from gateway import clocks, updates
from gateway.automatic import Asked, why_silent
from gateway.context import Context
from gateway.coverage import widened
from gateway.filing_append import relate
from gateway.filing_case import Case, Filed, keep_files
from gateway.filing_open import language_of, looked_up, name_of
from gateway.filing_threads import find, keys_to_tie, tie
from gateway.shared_numbers import TAG
from gateway.store import chats, people, tickets
from gateway.store.journal import Entry
from gateway.store.threads import key_value
from gateway.subjects import subject_of
from normalizer.message import Attachment, InlineBody

UNREADABLE = "unreadable"
FILES = {"mail": ("message.eml", "message/rfc822"), "telegram": ("update.json", "application/json"),
         "twilio_message": ("message.txt", "application/x-www-form-urlencoded")}  # fmt: skip
"""First part of a format -> what its raw bytes are called as an attachment."""


# -- a message that could not be read -----------------------------------------------------


def unreadable(conn: Connection, ctx: Context, entry: Entry, reason: str, now: datetime) -> Filed:
    """The placeholder ticket of a quarantined entry, with the raw bytes attached; staff are told.

    An entry that has a ticket already (it was read before, and a replay failed) gets an event there.
    """
    earlier = tickets.revisions(conn, entry.id)
    ticket_id = earlier[-1].ticket_id if earlier else _placeholder(conn, ctx, entry, reason, now)
    ticket = tickets.get(conn, ticket_id)
    key = f"{UNREADABLE}:{entry.id}:{entry.generation}"
    data = {"entry": entry.id, "reason": reason}
    event_id = tickets.add_event(conn, ticket_id, at=now, actor="gateway", kind=UNREADABLE, data=data, key=key)
    if event_id is not None:
        clocks.recompute(conn, ctx, ticket_id, now)
        _tell(conn, ctx, ticket_id, event_id, UNREADABLE, data, now)
    return Filed(kind=UNREADABLE, ticket_id=ticket_id, number=ticket.number)


def _placeholder(conn: Connection, ctx: Context, entry: Entry, reason: str, now: datetime) -> int:
    raw, settings = entry.raw, ctx.settings
    envelope = raw.facts.get("mail_from")
    sender = people.normal(envelope if isinstance(envelope, str) else raw.peer)
    account = settings.account(raw.channel, raw.account)
    ticket_id = tickets.open_ticket(
        conn,
        channel=raw.channel,
        account=raw.account,
        requester_id=people.contact_for(conn, identity_kind(raw.channel), sender, "", now),
        requester=sender,
        requester_name="",
        subject="",
        language=account.language if account else "en",
        opened_at=raw.received_at,
        now=now,
        first_digit=settings.numbers.first_digit,
        width=settings.numbers.width,
        entry_id=entry.id,
        tags=[UNREADABLE],
    )
    tickets.add_event(
        conn,
        ticket_id,
        at=raw.received_at,
        actor="gateway",
        kind="opened",
        data={"class": None, "contract": None, "line": "L1", UNREADABLE: True},
        key=f"opened:{entry.id}",
    )
    message_id = tickets.add_revision(
        conn,
        ticket_id,
        entry_id=entry.id,
        # Below every reading: whatever a replay reads is newer.
        generation=-1,
        direction="in",
        kind=UNREADABLE,
        author=sender,
        text=f"A message could not be read: {reason}. It is kept and can be replayed; the original is attached.",
        sha256=raw.body.sha256,
        verified=False,
        at=raw.received_at,
    )
    if message_id is not None:
        tickets.add_attachments(conn, message_id, [_original(entry)])
    return ticket_id


def _original(entry: Entry) -> Attachment:
    body = entry.raw.body
    name, content_type = FILES.get(entry.raw.format.partition("/")[0], ("message.bin", "application/octet-stream"))
    content = body.content if isinstance(body, InlineBody) else None
    return Attachment(filename=name, content_type=content_type, size=body.size, sha256=body.sha256, content=content)


# -- replay -------------------------------------------------------------------------------


def revise(conn: Connection, case: Case, earlier: Sequence[Row[Any]]) -> Filed:
    """A new reading of an entry that has a message: a revision in the same ticket.

    Class, contract and line change only with `reroute`; notices go out only with `notify`.
    """
    entry = case.entry
    last = earlier[-1]
    ticket = tickets.lock(conn, last.ticket_id)
    if last.generation >= entry.generation:
        return Filed(kind="repeated", ticket_id=ticket.id, number=ticket.number, message_id=last.id)
    placeholder = last.kind == UNREADABLE
    direction, kind = ("in", "message") if placeholder else (last.direction, last.kind)
    message_id = tickets.add_revision(
        conn,
        ticket.id,
        direction=direction,
        kind=kind,
        verified=placeholder or last.verified,
        **case.revision(),
    )
    if message_id is None:
        return Filed(kind="repeated", ticket_id=ticket.id, number=ticket.number, message_id=last.id)
    keep_files(conn, case, ticket.id, message_id)
    if case.message.conversation is not None:
        # It may have been edited since, or be a part of an album.
        chats.settle(conn, key_value(case.message.external_key), key_value(case.message.group))
    if placeholder:
        _fill_in(conn, case, ticket)
    if entry.reroute or placeholder:
        reroute(conn, case, ticket)
    _announce(conn, case, ticket, message_id, placeholder)
    return Filed(kind="revised", ticket_id=ticket.id, number=ticket.number, message_id=message_id)


def _fill_in(conn: Connection, case: Case, ticket: Row[Any]) -> None:
    """A placeholder learns who wrote and what about, and takes the keys that are still free."""
    sender = people.normal(case.sender.address)
    case = looked_up(conn, case)
    contact = people.meet(conn, case.identity, sender, name_of(case), case.now, channel=case.entry.raw.channel)
    found, language = find(conn, case.message), language_of(case, contact)
    tickets.update(
        conn,
        ticket.id,
        requester=sender,
        requester_id=contact.id,
        subject=subject_of(case.message, language),
        language=language,
        **case.place(),
        tags=[tag for tag in ticket.tags if tag != UNREADABLE] + ([TAG] if case.shared else []),
    )
    tickets.set_participant(conn, ticket.id, sender, role=tickets.REQUESTER, name=case.sender.name)
    tie(conn, ticket.id, keys_to_tie(case.message))
    if found is not None and found.ticket_id != ticket.id:
        relate(conn, ticket, [str(tickets.get(conn, found.ticket_id).number)])


def reroute(conn: Connection, case: Case, ticket: Row[Any]) -> list[tuple[str, int, dict[str, Any]]]:
    """The present policy decides again; the clocks follow from the recorded history.

    Returns (kind, event, data) of what changed.
    """
    # As at the opening: who writes from a chat may be under a contract by another name, or by the chat.
    case = widened(conn, looked_up(conn, case))
    columns = case.columns()
    columns["tags"] = list(dict.fromkeys([*ticket.tags, *columns["tags"]]))
    if UNREADABLE in columns["tags"]:
        columns["tags"].remove(UNREADABLE)
    changes = (
        ("class", ticket.class_, columns["class_"]),
        ("contract", ticket.contract, columns["contract"]),
        ("line", ticket.line, columns["line"]),
    )
    tickets.update(conn, ticket.id, **columns)
    made = []
    for kind, before, after in changes:
        if before == after:
            continue
        data = {kind: after, "before": before, "replay": case.entry.generation, "policy": case.assignment.policy}
        key = f"{kind}:{case.entry.id}:{case.entry.generation}"
        event_id = tickets.add_event(conn, ticket.id, at=case.now, actor="gateway", kind=kind, data=data, key=key)
        if event_id is not None:
            made.append((kind, event_id, data))
    return made


def _announce(conn: Connection, case: Case, ticket: Row[Any], message_id: int, placeholder: bool) -> None:
    entry = case.entry
    data = {"message": message_id, "generation": entry.generation, "notify": entry.notify}
    event_id = tickets.add_event(
        conn,
        ticket.id,
        at=case.now,
        actor="gateway",
        kind="revised",
        data=data,
        key=f"revised:{entry.id}:{entry.generation}",
    )
    clocks.recompute(conn, case.ctx, ticket.id, case.now)
    if not entry.notify:
        return
    asked = Asked(ctx=case.ctx, entry=entry, message=case.message, recipient=case.sender.address)
    silent = why_silent(conn, asked, case.now)
    # To its sender a message that can be read at last is one that has just come in.
    kind = "opened" if placeholder else "revised"
    change = updates.Change(
        ticket_id=ticket.id, event_id=event_id, kind=kind, actor="gateway", data=data, automatic_ok=not silent
    )
    updates.compose(conn, case.ctx, change, case.now)


def _tell(
    conn: Connection, ctx: Context, ticket_id: int, event_id: int, kind: str, data: dict[str, Any], now: datetime
) -> None:
    change = updates.Change(
        ticket_id=ticket_id, event_id=event_id, kind=kind, actor="gateway", data=data, automatic_ok=False
    )
    updates.compose(conn, ctx, change, now)
