"""What happened in a store, applied to our tickets: in the store's order, each change once, in one transaction.

An effect hangs on `event.key` = "feed:<feed>:<Heard.id>", so a page may come twice, by poll and by webhook. What we did
ourselves is no news, and what is applied is never written back: `told` says first what the store says now.

The rule when both sides changed a field since they last agreed: a requester's answer reopens in any case; else ours
stays when a person made it later than theirs; else the store's wins. What loses is in the ticket's history.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, assert_never

from sqlalchemy import Connection, select

from gateway import actors, desk
from gateway.context import Context
from gateway.feeds import remarks, setting
from gateway.feeds.contract import Heard, Merged, Replied, Set, Vanished
from gateway.feeds.linking import moved
from gateway.feeds.queueing import came_from_store, fields_of, ticket_changed
from gateway.feeds.settling import vanished
from gateway.store import feeds as store
from gateway.store import schema, tickets
from gateway.store.feeds import Link
from normalizer.message import Attachment

LONGEST_TEXT = 1_000_000
OLDER = "older"


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One change with its files, which are here: small ones in it, big ones as blobs."""

    heard: Heard
    files: Sequence[Attachment] = ()
    left_out: Sequence[str] = ()
    """Files that could not be had, in words for staff."""
    came: datetime | None = None
    """When the request came that brought it; None: it was read there, where the cursor keeps the order."""


@dataclass(slots=True, kw_only=True)
class Applied:
    """What came of a page."""

    done: int = 0
    older: int = 0
    """Of these: older than what is known, so nothing came of it but a line in the history."""
    held: set[str] = field(default_factory=set)
    """Tickets of the store whose news has to wait for the end of a write of ours; the cursor stays."""
    odd: list[str] = field(default_factory=list)


def event_key(feed: str, heard_id: str, ticket_id: int | None = None) -> str:
    """What makes a change happen once."""
    key = f"feed:{feed}:{heard_id}"
    if len(key) > 100:
        key = f"feed:{feed[:20]}:sha256:{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()[:48]}"
    return key if ticket_id is None else f"{key}:{ticket_id}"


def is_applied(conn: Connection, feed: str, heard_id: str) -> bool:
    """Was it applied before?"""
    wanted = select(schema.event.c.id).where(schema.event.c.key == event_key(feed, heard_id))
    return conn.execute(wanted).first() is not None


def apply(
    conn: Connection, ctx: Context, feed: str, news: Sequence[News], *, since: datetime, now: datetime
) -> Applied:
    """Apply a page. `since`: when the store was asked for it."""
    applied = Applied()
    for place, one in enumerate(news):
        heard = one.heard
        if heard.ours or heard.ref in applied.held or is_applied(conn, feed, heard.id):
            continue
        links = store.links_to(conn, feed, heard.ref)
        if not links:
            # Perhaps a ticket of ours that we do not know to be there yet.
            if store.in_doubt(conn, feed, kind="open"):
                applied.held.add(heard.ref)
            continue
        if isinstance(heard.change, Set) and store.altered_since(conn, feed, links[0].ticket_id, since):
            applied.held.add(heard.ref)
            continue
        why = _why_not(conn, links[0], one, news[place + 1 :])
        for number, link in enumerate(links):
            key = event_key(feed, heard.id, link.ticket_id if number else None)
            if why:
                record(conn, link, heard, why, key, now)
            else:
                _one(conn, ctx, link, one, key, now, own=number == 0)
        applied.done += 1
        applied.older += why == OLDER
    return applied


def _why_not(conn: Connection, link: Link, one: News, later: Sequence[News]) -> str:
    """What the history says of a field that stays because something newer is known; "" when it does not."""
    heard = one.heard
    if not isinstance(heard.change, Set):
        return ""
    if _is_overtaken(heard, heard.change, later):
        return "overtaken"
    if one.came is None:
        return ""
    tickets.lock(conn, link.ticket_id)  # another request may be applied at this moment
    return OLDER if setting.is_old(conn, link, heard, heard.change, one.came) else ""


def _is_overtaken(heard: Heard, change: Set, later: Collection[News]) -> bool:
    """We set the same field after that: in the store it is ours that holds."""
    return any(
        one.heard.ours and one.heard.ref == heard.ref
        and isinstance(one.heard.change, Set) and one.heard.change.field == change.field
        for one in later
    )  # fmt: skip


def record(conn: Connection, link: Link, heard: Heard, what: str, key: str, now: datetime, **data: Any) -> None:
    """Write into the ticket's history what was heard, and that nothing else came of it."""
    told = {"feed": link.feed, "what": what, "their_time": heard.at.isoformat(), **_said(heard), **data}
    actor = actors.in_store(link.feed, heard.actor)
    tickets.add_event(conn, link.ticket_id, at=now, actor=actor, kind="feed", data=told, key=key)


def _said(heard: Heard) -> Mapping[str, Any]:
    change = heard.change
    return {"field": change.field, "value": change.value, "raw": change.raw} if isinstance(change, Set) else {}


def actor_of(ctx: Context, feed: str, user: str) -> str:
    """Who did it: the agent whom the map names for this user, else the user of the store."""
    known = ctx.settings.feeds[feed].map
    agent = known.ours("assignee", user) if known.assignee and user else None
    return f"{actors.AGENT}{agent}" if agent in ctx.settings.agents else actors.in_store(feed, user)


def _one(conn: Connection, ctx: Context, link: Link, one: News, key: str, now: datetime, *, own: bool) -> None:
    """`own` False: the ticket is a part of the one that it was heard of."""
    heard = one.heard
    tickets.lock(conn, link.ticket_id)
    actor = actor_of(ctx, link.feed, heard.actor)
    match heard.change:
        case Set() as change:
            if own or change.field == "status":
                setting.heard_at(conn, link, heard, change, now)
                _set(conn, ctx, link, heard, change, actor, key, now)
        case Replied() as change:
            if own or change.public:
                _replied(conn, ctx, link, one, change, actor, key, now)
        case Merged() as change:
            if own:
                moved(conn, link, change.into, actor=actor, now=now, key=key)
                said = f"Merged into #{change.into.number} in {link.feed}."
                _note(conn, ctx, link, said, actor, f"{key}:note", now)
        case Vanished():
            record(conn, link, heard, "vanished", key, now)
            if own:
                vanished(conn, link, now)
        case never:
            assert_never(never)


# -- words --------------------------------------------------------------------------------


def _replied(
    conn: Connection, ctx: Context, link: Link, one: News, said: Replied, actor: str, key: str, now: datetime
) -> None:
    text = said.text.strip() or ", ".join(file.filename for file in one.files)
    if one.left_out:
        text = f"{text}\n\n[{'; '.join(one.left_out)}]".strip()
    if not text:
        record(conn, link, one.heard, "empty", key, now)
        return
    act = desk.reply if said.public else desk.note
    try:
        done = act(
            conn, ctx, link.ticket_id, actor=actor, now=now, key=key, text=text[:LONGEST_TEXT], attachments=one.files
        )  # fmt: skip
    except desk.DeskError as error:
        record(conn, link, one.heard, "not applied", key, now, reason=str(error))
        return
    _is_theirs(conn, link, done.event_id, now)
    setting.agree(conn, link, "status")


def _is_theirs(conn: Connection, link: Link, event_id: int, now: datetime) -> None:
    data = conn.scalar(select(schema.event.c.data).where(schema.event.c.id == event_id)) or {}
    if isinstance(message := data.get("message"), int):
        came_from_store(conn, link, message, now)


def _note(conn: Connection, ctx: Context, link: Link, text: str, actor: str, key: str, now: datetime) -> None:
    done = desk.note(conn, ctx, link.ticket_id, actor=actor, now=now, key=key, text=text)
    _is_theirs(conn, link, done.event_id, now)


# -- fields -------------------------------------------------------------------------------


def _set(
    conn: Connection, ctx: Context, link: Link, heard: Heard, change: Set, actor: str, key: str, now: datetime
) -> None:
    if not change.known:
        record(conn, link, heard, "unknown", key, now)
        remarks.put(conn, link.feed, "unknown", f"{change.field}: {change.raw}", "", now)
        return
    present = fields_of(tickets.get(conn, link.ticket_id))[change.field]
    if setting.means_the_same(change.field, present, change.value):
        setting.agree(conn, link, change.field)
        record(conn, link, heard, "same", key, now)
        return
    agreed = link.told.get(change.field)
    if agreed is not None and setting.means_the_same(change.field, agreed, change.value):
        # Nobody there changed it since: ours is newer, and still on its way.
        record(conn, link, heard, "same", key, now)
        return
    if agreed is not None and agreed != present and setting.ours_stays(conn, link, heard, change):
        setting.tell(conn, link, {change.field: change.value})
        record(conn, link, heard, "kept ours", key, now, ours=present)
        ticket_changed(conn, ctx, link.ticket_id, now)
        return
    # First, or what the act itself queues would write the change back.
    setting.tell(conn, link, {change.field: change.value})
    try:
        setting.carry_out(conn, ctx, link, change, actor=actor, key=key, now=now)
    except desk.DeskError as error:
        record(conn, link, heard, "not applied", key, now, reason=str(error))
    setting.agree(conn, link, change.field, "status")
