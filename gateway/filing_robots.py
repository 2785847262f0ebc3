"""What robots send: it opens no ticket, wakes nothing, and is never answered (rule 9)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update

from channels.registry import identity_kind
from gateway import chats_moved, updates
from gateway.context import Context
from gateway.filing_case import Filed
from gateway.filing_threads import find, find_issued, is_participant
from gateway.store import journal, people, tickets
from gateway.store.journal import Entry
from gateway.store.schema import outbox
from normalizer.message import Address, DeliveryReport, Message, Moved, Reachability, ReportedRecipient, Trust

PUT_BACK = timedelta(seconds=10)
"""How long a report about a notice that is being sent waits for the end of the sending (rule 11)."""
PUT_BACK_STEP = timedelta(seconds=1)
SETTLED = ("sent", "unknown")
"""States of a notice that a report can still change."""


def file_robot(conn: Connection, entry: Entry, message: Message) -> Filed:
    """An out-of-office, a loop, a report: kept in the ticket that it names, else in the journal only."""
    kind = message.kind
    earlier = tickets.revisions(conn, entry.id)
    found = find(conn, message)
    if found is None and not earlier:
        return Filed(kind=kind)
    home = earlier[-1].ticket_id if earlier else found.ticket_id if found else 0
    known = found is not None and (
        found.issued
        or (message.trust is Trust.VERIFIED and is_participant(conn, found.ticket_id, message.sender.address))
    )
    ticket = tickets.get(conn, home)
    message_id = _keep(conn, entry, ticket, message, kind, verified=known)
    if message_id is not None:
        _event(conn, entry, ticket.id, kind, {"message": message_id})
    return Filed(kind=kind, ticket_id=ticket.id, number=ticket.number, message_id=message_id)


def file_reachability(conn: Connection, entry: Entry, heard: Reachability, now: datetime) -> Filed:
    """Somebody blocked us, or came back: nothing is sent to them, or again, on this channel."""
    kind = identity_kind(entry.raw.channel)
    if heard.reachable:
        people.mark_reachable(conn, kind, heard.address, entry.raw.channel)
    else:
        people.mark_unreachable(conn, kind, heard.address, entry.raw.channel, heard.why, now)
    return Filed(kind="reachability", because=heard.why)


def file_moved(conn: Connection, entry: Entry, heard: Moved) -> Filed:
    """A chat has another id: conversations, their tickets and the notices that wait follow it at once."""
    chats_moved.moved(conn, entry.raw.channel, entry.raw.account, heard.where, heard.before, heard.after)
    return Filed(kind="moved", because=f"{heard.before} is {heard.after} now")


# -- delivery reports ---------------------------------------------------------------------


def file_report(conn: Connection, ctx: Context, entry: Entry, report: DeliveryReport, now: datetime) -> Filed:
    """A bounce: the notice is marked, the address too when it is for good, and staff are told.

    Only a report that names a key of ours is believed; anybody can write the others.
    """
    key = find_issued(conn, report.thread_keys, report.original_message_id)
    earlier = tickets.revisions(conn, entry.id)
    content = report.content or Message(sender=Address(address=""), text="", visible_text="")
    if key is None and not earlier:
        return Filed(kind="bounce", because="names nothing that we sent")
    if key is None:
        # The placeholder of a report that could not be read at first.
        home = tickets.get(conn, earlier[-1].ticket_id)
        message_id = _keep(conn, entry, home, content, "bounce", verified=False)
        return Filed(kind="bounce", ticket_id=home.id, number=home.number, message_id=message_id)
    notice = _notice(conn, key)
    if notice is not None and notice.state == "sending" and may_wait(entry, now):
        return put_back(conn, entry, now)
    ticket = tickets.lock(conn, earlier[-1].ticket_id if earlier else key.ticket_id)
    message_id = _keep(conn, entry, ticket, content, "bounce", verified=True)
    for number, recipient in enumerate(report.recipients):
        _recipient(conn, ctx, entry, ticket, notice, recipient, number, now)
    return Filed(kind="bounce", ticket_id=ticket.id, number=ticket.number, message_id=message_id)


def is_permanent(recipient: ReportedRecipient) -> bool:
    """Nothing will ever arrive there: failed, and not with a 4.x.x status (RFC 3463 section 2)."""
    return recipient.action == "failed" and not recipient.status.startswith("4")


def _recipient(
    conn: Connection,
    ctx: Context,
    entry: Entry,
    ticket: Row[Any],
    notice: Row[Any] | None,
    recipient: ReportedRecipient,
    number: int,
    now: datetime,
) -> None:
    if recipient.action not in ("failed", "delayed"):
        return
    # A forwarding mailbox reports its target's address; the one that we wrote to is the notice's.
    address = people.normal(notice.recipient if notice is not None else recipient.address)
    permanent = is_permanent(recipient)
    data = {
        "recipient": address,
        "action": recipient.action,
        "status": recipient.status,
        "diagnostic": recipient.diagnostic[:500],
        "permanent": permanent,
        "notice": notice.id if notice is not None else None,
    }
    event_id = _event(conn, entry, ticket.id, "undelivered", data, suffix=f":{number}")
    if event_id is None or recipient.action == "delayed":
        return
    if notice is not None:
        _mark(conn, notice, recipient, permanent, now)
        if permanent:
            kind, why = identity_kind(notice.channel), recipient.status or "undelivered"
            people.mark_unreachable(conn, kind, address, notice.channel, why, now)
    updates.compose(
        conn,
        ctx,
        updates.Change(
            ticket_id=ticket.id,
            event_id=event_id,
            kind="undelivered",
            actor="gateway",
            data=data,
            automatic_ok=False,
        ),
        now,
    )


def _mark(conn: Connection, notice: Row[Any], recipient: ReportedRecipient, permanent: bool, now: datetime) -> None:
    state = "unreachable" if permanent else "refused"
    detail = f"reported undelivered: {recipient.status} {recipient.diagnostic}".strip()[:1000]
    conn.execute(
        update(outbox)
        .where(outbox.c.id == notice.id, outbox.c.state.in_(SETTLED))
        .values(state=state, detail=detail, fault="far_side", settled_at=now)
    )


def _notice(conn: Connection, key: Row[Any]) -> Row[Any] | None:
    column = outbox.c.reply_token if key.kind == "reply_token" else outbox.c.message_id
    return conn.execute(select(outbox).where(column == key.value)).one_or_none()


def may_wait(entry: Entry, now: datetime) -> bool:
    """The entry was not yet put back for as long as it may be."""
    return now - entry.accepted_at < PUT_BACK


def put_back(conn: Connection, entry: Entry, now: datetime) -> Filed:
    """Look again a little later, without counting an attempt (rule 11)."""
    journal.put_back(conn, entry.id, now + PUT_BACK_STEP)
    return Filed(kind="later", because="the notice that it names is being sent")


# -- both ---------------------------------------------------------------------------------


def _keep(
    conn: Connection, entry: Entry, ticket: Row[Any], message: Message, kind: str, *, verified: bool
) -> int | None:
    message_id = tickets.add_revision(
        conn,
        ticket.id,
        entry_id=entry.id,
        generation=entry.generation,
        direction="in",
        kind=kind,
        author=message.sender.address or "gateway",
        author_name=message.sender.name,
        text=message.text,
        visible_text=message.visible_text,
        subject=message.subject,
        html=message.html,
        language=message.language[:8],
        sha256=entry.raw.body.sha256,
        oddities=list(message.oddities) or None,
        verified=verified,
        at=entry.raw.received_at,
    )
    if message_id is not None:
        tickets.add_attachments(conn, message_id, message.attachments)
    return message_id


def _event(
    conn: Connection, entry: Entry, ticket_id: int, kind: str, data: dict[str, Any], suffix: str = ""
) -> int | None:
    key = f"{kind}:{entry.id}{suffix}"
    at = entry.raw.received_at
    return tickets.add_event(conn, ticket_id, at=at, actor="gateway", kind=kind, data=data, key=key)
