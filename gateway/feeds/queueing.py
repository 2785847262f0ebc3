"""What a store still has to be told of a ticket: found out from the ticket itself, in the transaction that changed it.

Nothing here depends on what the change was: messages that no write names are queued, and so are fields that are not
what both sides agreed on last. So it may be called any number of times, and what one call missed the next one finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, Select, exists, func, or_, select

from channels.contract import Cursor
from gateway.context import Context
from gateway.feeds.settings import FeedSettings
from gateway.store import cursors, schema, tickets
from gateway.store import feeds as store
from gateway.store.feeds import Link

if TYPE_CHECKING:
    from gateway.settings import Settings

OVER = ("resolved", "closed")
HELD, CLOSED = "held", "closed"
ROBOTS = ("auto_reply", "bounce", "report", "loop", "feedback")
"""Kinds of messages that nobody wrote."""
SHOWN_ALIKE = "the store has these words already"
_STILL_COMES = ("waiting", "refused", "dead")
OVERLAP = 200
"""Rows that are looked at again: on PostgreSQL a lower id may be committed later."""
CURSOR = ("feed", "", "looked at")


def feed_for(settings: Settings, contract: str | None) -> str | None:
    """The store that new tickets under this contract go to; None: they stay here."""
    named = [name for name, feed in settings.feeds.items() if contract is not None and contract in feed.contracts]
    others = [name for name, feed in settings.feeds.items() if not feed.contracts]
    return next(iter([*named, *others]), None)


def fields_of(ticket: Row[Any]) -> dict[str, str]:
    """The fields that are kept in step, as text: "" is nobody, none or no."""
    return {
        "status": ticket.status,
        "class": "" if ticket.class_ is None else str(ticket.class_),
        "line": ticket.line,
        "onsite": "true" if ticket.onsite else "",
        "assignee": ticket.assignee or "",
        "contract": ticket.contract or "",
        "subject": ticket.subject,
        "requester": ticket.requester,
    }


def is_public(message: Row[Any]) -> bool:
    """The requester may see it: no note, nobody's word whom we do not believe, no robot's."""
    return bool(message.direction != "note" and message.verified and message.kind not in ROBOTS)


def ticket_changed(conn: Connection, ctx: Context, ticket_id: int, now: datetime) -> None:
    """Queue whatever the store does not have of this ticket yet."""
    if not ctx.settings.feeds:
        return
    ticket = tickets.lock(conn, ticket_id)
    link = store.link_of(conn, ticket_id, lock=True)
    if link is None:
        name = feed_for(ctx.settings, ticket.contract)
        # What was over before there was a store is not opened there for its last sigh.
        if name is None or not ctx.settings.feeds[name].push or ticket.status in OVER:
            return
        if is_kept_back(conn, ctx.settings.feeds[name], ticket):
            return
        link = store.make_link(conn, name, ticket_id, now)
    feed = ctx.settings.feeds.get(link.feed)
    if feed is None or not feed.push or link.state == "vanished":
        return
    if link.state == "wanted" and is_kept_back(conn, feed, ticket) and store.withdraw(conn, link):
        return
    _queue_messages(conn, ctx, feed, link, ticket, now)
    if ticket.conversation is not None:
        _queue_late_files(conn, ctx, link, now)
    _queue_fields(conn, link, ticket, now)


def is_kept_back(conn: Connection, feed: FeedSettings, ticket: Row[Any]) -> bool:
    """Staff have to say first that it is a request, or threw it away. One that the store has is kept in step whatever
    its status."""
    if feed.held != "wait":
        return False
    return bool(ticket.status == HELD) or (ticket.status == CLOSED and _was_held(conn, ticket.id))


def _was_held(conn: Connection, ticket_id: int) -> bool:
    """Before its last change of status."""
    event = schema.event
    told = conn.scalars(select(event.c.data).where(event.c.ticket_id == ticket_id).order_by(event.c.id.desc()))
    changes = (data["status"] for data in told if isinstance(data.get("status"), list))
    return next(changes, [""])[0] == HELD


def acknowledgement_wait(settings: Settings, ticket_id: int, contract: str | None, conn: Connection) -> timedelta:
    """How long a new ticket's acknowledgement waits for the store's number."""
    if not settings.feeds:
        return timedelta(0)
    link = store.link_of(conn, ticket_id)
    if link is not None and link.number:
        return timedelta(0)
    name = link.feed if link is not None else feed_for(settings, contract)
    feed = settings.feeds.get(name or "")
    return feed.wait if feed is not None and feed.push else timedelta(0)


# -- messages -----------------------------------------------------------------------------


def _queue_messages(
    conn: Connection, ctx: Context, feed: FeedSettings, link: Link, ticket: Row[Any], now: datetime
) -> None:
    opened = _has_open(conn, link)
    due_at = now if ticket.conversation is None else now + ctx.settings.outbox.chat_acknowledgement_delay
    for message in _unsaid(conn, link):
        if not opened:
            # What opens a ticket there is read by its requester as a rule: a note is never that, it comes after.
            key, opened, shown = f"open:{ticket.id}", True, is_public(message)
            first = message.id if shown else None
            store.put(conn, link, key=key, kind="open", now=now, due_at=due_at, message_id=first)
            if shown:
                continue
        if feed.notes or is_public(message):
            _queue_say(conn, link, message, now, due_at)
    if not opened:
        store.put(conn, link, key=f"open:{ticket.id}", kind="open", now=now, due_at=due_at)


def _has_open(conn: Connection, link: Link) -> bool:
    if link.state != "wanted":
        return True
    write = schema.feed_write
    mine = (write.c.feed == link.feed, write.c.ticket_id == link.ticket_id, write.c.kind == "open")
    return conn.execute(select(write.c.id).where(*mine).limit(1)).first() is not None


def _unsaid(conn: Connection, link: Link) -> Sequence[Row[Any]]:
    """Messages that nobody has queued, the oldest first."""
    message, write = schema.message, schema.feed_write
    named = exists().where(write.c.message_id == message.c.id, write.c.feed == link.feed)
    names = ("id", "entry_id", "external_key", "direction", "kind", "verified", "visible_text")
    wanted: Select[Any] = select(*(message.c[name] for name in names))
    wanted = wanted.where(message.c.ticket_id == link.ticket_id, message.c.current, ~named)
    return conn.execute(wanted.order_by(message.c.id)).all()


def _queue_say(conn: Connection, link: Link, message: Row[Any], now: datetime, due_at: datetime) -> None:
    """A newer reading (an edit, a replay) takes the place of one that has not begun to go."""
    older = _older_reading(conn, link, message)
    fits = older is not None and (older.kind != "open" or is_public(message))
    if older is not None and fits and older.state == "waiting" and older.attempts == 0:
        store.change(conn, older.write_id, message_id=message.id)
        return
    row_id = store.put(
        conn, link, key=f"say:{message.id}", kind="say", now=now, due_at=due_at, message_id=message.id
    )  # fmt: skip
    if row_id is not None and older is not None and older.visible_text == message.visible_text:
        store.change(conn, row_id, state="skipped", settled_at=now, detail=SHOWN_ALIKE)


def _older_reading(conn: Connection, link: Link, message: Row[Any]) -> Row[Any] | None:
    said, write = schema.message, schema.feed_write
    same = []
    if message.entry_id is not None:
        same.append(said.c.entry_id == message.entry_id)
    if message.external_key:
        same.append(said.c.external_key == message.external_key)
    if not same:
        return None
    wanted: Select[Any] = (
        select(write.c.id.label("write_id"), write.c.kind, write.c.state, write.c.attempts, said.c.visible_text)
        .join_from(said, write, write.c.message_id == said.c.id)
        .where(said.c.ticket_id == link.ticket_id, write.c.feed == link.feed, or_(*same))
        .order_by(said.c.id.desc())
    )
    return conn.execute(wanted.limit(1)).one_or_none()


def _queue_late_files(conn: Connection, ctx: Context, link: Link, now: datetime) -> None:
    """Files that came after their message was written there: fetched late, or a part of an album."""
    said = [row for row in store.of_ticket(conn, link) if row.message_id is not None and row.kind != "alter"]
    went = {file for row in said for file in row.files or ()}
    done = {row.message_id for row in said if row.state == "done" and row.kind in ("open", "say")}
    done -= {row.message_id for row in said if row.kind == "file" and row.state != "done"}
    if not done:
        return
    due_at = now + ctx.settings.outbox.chat_acknowledgement_delay
    for message_id in sorted(one for one in done if one is not None):
        late = [file.id for file in tickets.attachments_of(conn, [message_id]) if file.id not in went]
        here = [file_id for file_id in late if _is_here(conn, file_id)]
        if here:
            key = f"file:{message_id}:{min(here)}"
            store.put(conn, link, key=key, kind="file", now=now, due_at=due_at, message_id=message_id)


def _is_here(conn: Connection, attachment_id: int) -> bool:
    table = schema.attachment
    return conn.scalar(select(table.c.state).where(table.c.id == attachment_id)) == "here"


def came_from_store(conn: Connection, link: Link, message_id: int, now: datetime) -> None:
    """A message was read in the store: it is not written there again."""
    put = store.put(conn, link, key=f"say:{message_id}", kind="say", now=now, due_at=now, message_id=message_id)
    write = schema.feed_write
    mine = (write.c.feed == link.feed, write.c.message_id == message_id, write.c.state == "waiting")
    row_id = put or conn.scalar(select(write.c.id).where(*mine).limit(1))
    if row_id is not None:
        store.change(conn, row_id, state="done", settled_at=now, detail="written in the store")


# -- fields -------------------------------------------------------------------------------


def differing(link: Link, present: Mapping[str, str]) -> frozenset[str]:
    """Fields that are not what both sides agreed on last; of a part of another ticket only its status counts."""
    names = ("status",) if link.state == "merged" else tuple(present)
    return frozenset(name for name in names if link.told.get(name) != present[name])


def _queue_fields(conn: Connection, link: Link, ticket: Row[Any], now: datetime) -> None:
    if link.state not in ("linked", "merged"):
        return  # what the ticket is by then goes with its opening
    present = fields_of(ticket)
    rows = store.of_ticket(conn, link)
    # What is being written at this moment may be the value of before, so it does not count.
    queued = {name: value for row in rows if row.state in _STILL_COMES for name, value in row.fields.items()}
    fresh = {name: present[name] for name in differing(link, present) if queued.get(name) != present[name]}
    if not fresh:
        return
    last = rows[-1] if rows else None
    if last is not None and last.kind == "alter" and last.state == "waiting" and last.attempts == 0:
        store.change(conn, last.id, fields={**last.fields, **fresh})
        return
    key = f"alter:{ticket.id}:{last.id if last is not None else 0}"
    store.put(conn, link, key=key, kind="alter", now=now, due_at=now, fields=fresh)


# -- what nobody announced ----------------------------------------------------------------


def catch_up(conn: Connection, ctx: Context, now: datetime) -> int:
    """Look at tickets that got a message or a file without a change of theirs. Returns how many.

    At the very first look nothing is found: what was here before there was a store is not sent there in bulk.
    """
    message, event, write = schema.message, schema.event, schema.feed_write
    newest = conn.scalar(select(func.coalesce(func.max(message.c.id), 0))) or 0
    newest_event = conn.scalar(select(func.coalesce(func.max(event.c.id), 0))) or 0
    before = cursors.get(conn, *CURSOR)
    seen, seen_event = map(int, (before or f"{newest} {newest_event}").split())
    named = exists().where(write.c.message_id == message.c.id)
    unsaid = select(message.c.ticket_id).where(message.c.id > seen - OVERLAP, message.c.current, ~named)
    files = select(event.c.ticket_id).where(event.c.id > seen_event - OVERLAP, event.c.kind == "media")
    found = sorted({*conn.scalars(unsaid), *conn.scalars(files)}) if before is not None else []
    for ticket_id in found:
        ticket_changed(conn, ctx, ticket_id, now)
    channel, account, name = CURSOR
    if before != f"{newest} {newest_event}":
        cursors.put(conn, Cursor(channel=channel, account=account, name=name, value=f"{newest} {newest_event}"))
    return len(found)


def adopt(conn: Connection, link: Link, *, ref: str, number: str, url: str, now: datetime) -> None:
    """A ticket that was in the store before it was here: both sides agree, and what it says now is known there."""
    columns = {"ref": ref, "number": number, "url": url, "state": "linked"}
    store.change_link(conn, link, told=fields_of(tickets.get(conn, link.ticket_id)), **columns)
    for message in _unsaid(conn, link):
        came_from_store(conn, link, message.id, now)
