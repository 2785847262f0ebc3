"""What one try to write to a store came to: the row, the ticket's place in the store, the history, in one transaction.

Events: `feed {feed, what, …}` with `what` one of opened (with number and url), refused, dead, vanished, merged,
left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import Connection, select, update

from gateway.context import Context
from gateway.feeds import remarks
from gateway.feeds.composing import Made
from gateway.feeds.contract import Alter, Open, Outcome, Pushed, Ref
from gateway.feeds.linking import moved
from gateway.feeds.queueing import is_kept_back, ticket_changed
from gateway.feeds.settings import FeedSettings
from gateway.store import feeds as store
from gateway.store import schema, tickets
from gateway.store.dialect import is_one_of, wake
from gateway.store.feeds import Link, Row, Settled

SHORTEST = 1.0
"""Seconds before a repeat, whatever the store says."""
LONGEST_FOR_ALL = timedelta(minutes=5)
"""The longest pause where the trouble is the whole store's: it is the circuit that keeps from asking too often."""
GONE = "the store no longer has the ticket"
ALONE = f"{GONE}: it goes on here alone, and nothing more of it is written there"
_TOUCHES: Mapping[str, str] = {
    "class": "class", "line": "line", "onsite": "onsite", "visit": "onsite", "assigned": "assignee",
    "contract": "contract", "requester": "requester",
}  # fmt: skip
"""Kind of event -> the field that it changes, beside the status that any may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One try."""

    pushed: Pushed
    made: Made
    began: datetime
    """Before the first byte."""
    found: bool = False
    """An earlier try had done it: nothing was written now."""


def of_try(row: Row, tried: Tried, *, feed: FeedSettings, ctx: Context, random: Random, now: datetime) -> Settled:
    """What becomes of the row."""
    pushed = tried.pushed
    detail = "; ".join([pushed.detail, *pushed.left_out] if pushed.detail else pushed.left_out)
    match pushed.outcome:
        case Outcome.DONE if isinstance(tried.made.write, Open) and pushed.ref is None:
            return Settled(state="dead", detail="it was taken, but the feed does not say where", uncertain=True)
        case Outcome.DONE:
            return Settled(state="done", detail=detail, files=tried.made.files)
        case Outcome.REFUSED:
            return Settled(state="refused", detail=detail)
        case Outcome.VANISHED:
            return Settled(state="skipped", detail=f"{GONE}: {detail}" if detail else GONE)
        case Outcome.RETRY:
            uncertain = pushed.uncertain or row.uncertain
            if now - (row.first_sending_at or now) >= feed.max_age:
                return Settled(state="dead", detail=detail, uncertain=uncertain)
            due_at = now + _pause(row, pushed, ctx, random)
            if uncertain:
                due_at = max(due_at, tried.began + feed.timeout + feed.doubt)
            return Settled(state="waiting", due_at=due_at, detail=detail, uncertain=uncertain)


def _pause(row: Row, pushed: Pushed, ctx: Context, random: Random) -> timedelta:
    rules = ctx.settings.outbox
    limit = rules.backoff_limit if pushed.of_ticket else min(rules.backoff_limit, LONGEST_FOR_ALL)
    if pushed.retry_after is not None:
        return timedelta(seconds=min(max(pushed.retry_after, SHORTEST), rules.backoff_limit.total_seconds()))
    full = min(rules.backoff.total_seconds() * 2.0 ** min(row.attempts - 1, 30), limit.total_seconds())
    return timedelta(seconds=max(full * random.uniform(0.5, 1.0), SHORTEST))


def settle(conn: Connection, ctx: Context, row: Row, settled: Settled, tried: Tried | None, now: datetime) -> bool:
    """Write it down with all its effects. False when the row is no longer this owner's and this attempt's."""
    ticket = tickets.lock(conn, row.ticket_id)
    link = store.link_of(conn, row.ticket_id, lock=True)
    if not store.settle(conn, row, settled, now):
        return False
    feed = ctx.settings.feeds.get(row.feed)
    if settled.state == "waiting" and link is not None and feed is not None and is_kept_back(conn, feed, ticket):
        store.withdraw(conn, link)  # it became so while it was tried
    if tried is None or link is None:
        if settled.state == "dead":
            _note(conn, row, "dead", {"detail": settled.detail}, now)
        return True
    match settled.state:
        case "done":
            _done(conn, ctx, row, link, tried, now)
        case "refused" | "dead":
            _note(conn, row, settled.state, {"detail": settled.detail, "write": row.id}, now)
        case "skipped":
            vanished(conn, link, now)
    return True


def _note(conn: Connection, row: Row, what: str, data: Mapping[str, Any], now: datetime) -> None:
    told = {"feed": row.feed, "what": what, **data}
    key = f"feed-write:{row.id}:{row.attempts}:{what}"
    tickets.add_event(conn, row.ticket_id, at=now, actor="gateway", kind="feed", data=told, key=key)


def vanished(conn: Connection, link: Link, now: datetime) -> None:
    """The store has the ticket no more: nothing is written there, operators hear of it, and the history says so."""
    if link.state == "vanished":
        return
    store.change_link(conn, link, state="vanished")
    store.skip_open(conn, link, now, GONE)
    data = {"feed": link.feed, "what": "vanished", "number": link.number, "detail": ALONE}
    key = f"feed-vanished:{link.feed}:{link.ticket_id}"[:128]
    tickets.add_event(conn, link.ticket_id, at=now, actor="gateway", kind="feed", data=data, key=key)
    remarks.put(conn, link.feed, "vanished", link.number or link.ref or "", "", now)


# -- done ---------------------------------------------------------------------------------


def _done(conn: Connection, ctx: Context, row: Row, link: Link, tried: Tried, now: datetime) -> None:
    pushed, write = tried.pushed, tried.made.write
    match write:
        case Open() if pushed.ref is not None:
            _opened(conn, ctx, row, link, pushed.ref, tried, now)
        case Alter():
            store.change_link(conn, link, told={**link.told, **tried.made.fields})
        case _:
            pass
    if not isinstance(write, Open) and pushed.ref is not None and pushed.ref.id != link.target:
        moved(conn, link, pushed.ref, actor="gateway", now=now)
    if pushed.left_out:
        _note(conn, row, "left out", {"parts": list(pushed.left_out)}, now)


def _opened(conn: Connection, ctx: Context, row: Row, link: Link, ref: Ref, tried: Tried, now: datetime) -> None:
    told = dict(tried.made.fields)
    if tried.found:
        # The opening said what was so at that time.
        for name in _changed_since(conn, row):
            told.pop(name, None)
    columns: dict[str, Any] = {"number": ref.number[:64], "url": ref.url, "told": told}
    if any(other.ticket_id != link.ticket_id for other in store.links_to(conn, link.feed, ref.id)):
        columns |= {"state": "merged", "into": ref.id}  # the store took two of ours for one
    else:
        columns |= {"state": "linked", "ref": ref.id}
    store.change_link(conn, link, **columns)
    _note(conn, row, "opened", {"number": ref.number, "url": ref.url}, now)
    let_acknowledgement_go(conn, link.ticket_id, now)
    ticket_changed(conn, ctx, link.ticket_id, now)


def _changed_since(conn: Connection, row: Row) -> set[str]:
    event = schema.event
    since = row.first_sending_at or row.created_at
    wanted = select(event.c.kind, event.c.data).where(event.c.ticket_id == row.ticket_id, event.c.at >= since)
    found = conn.execute(wanted).all()
    touched = {_TOUCHES[one.kind] for one in found if one.kind in _TOUCHES}
    return touched | {"status" for one in found if "status" in one.data}


def let_acknowledgement_go(conn: Connection, ticket_id: int, now: datetime) -> None:
    """The store's number is known, or will not be: what waited for it is due."""
    outbox = schema.outbox
    waits = (outbox.c.ticket_id == ticket_id, outbox.c.kind == "acknowledgement", is_one_of(outbox.c.state, "waiting"))
    statement = update(outbox).where(*waits, outbox.c.attempts == 0, outbox.c.due_at > now)
    if conn.execute(statement.values(due_at=now)).rowcount:
        wake(conn, "outbox")
