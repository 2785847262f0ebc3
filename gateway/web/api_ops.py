"""What operators do over the API: journal and quarantine, outbox, status."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import AwareDatetime, Field
from sqlalchemy import Connection, Row

from gateway import shadow, status
from gateway.reload import CannotAdopt, NeedsRestart
from gateway.settings_files import ConfigurationError
from gateway.store import hold, journal, media, outbox, queries
from gateway.web import api_show, cursors
from gateway.web.api_asked import Limit
from gateway.web.api_models import NoticeItem, NoticePage
from gateway.web.api_tickets import download_headers, part
from gateway.web.frame import ApiModel, Asked, Call, Job
from gateway.web.problems import Problem

State = Literal["pending", "done", "quarantined"]
Delivery = Literal[
    "waiting", "sending", "sent", "captured", "suppressed", "refused", "unreachable", "unknown", "dead", "replaced"
]


class EntryItem(ApiModel):
    """One journal entry."""

    id: int
    channel: str
    account: str
    format: str
    external_id: str
    peer: str
    state: str
    attempts: int
    generation: int
    size: int
    sha256: str
    received_at: datetime
    accepted_at: datetime
    processed_at: datetime | None
    error: str
    """Why it could not be read; "" when it could."""
    outcome: Mapping[str, Any] | None
    facts: Mapping[str, Any]
    """Of the transport."""


class EntryPage(ApiModel):
    """Entries, the newest first."""

    items: Sequence[EntryItem]
    next_cursor: str | None


class EntryQuery(Asked):
    """Which entries."""

    state: State | None = None
    account: str | None = None
    limit: Limit = 50
    cursor: str | None = None


class QuarantineQuery(Asked):
    """Which page."""

    limit: Limit = 50
    cursor: str | None = None


class Replay(Asked):
    """Entries to process again, and how."""

    entries: Annotated[Sequence[int], Field(max_length=1000)] | None = None
    """Ids; none: those of the time span."""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    """Accepted in this span; at most 1000 entries at once, the oldest first."""
    quarantined: bool = False
    """Only what is in quarantine."""
    reroute: bool = False
    """Decide class, line and deadlines again."""
    notify: bool = False
    """Let notices go out."""


class Replayed(ApiModel):
    """How many entries will be processed again."""

    count: int


class OutboxQuery(Asked):
    """Which notices; none of a state: those that need somebody (waiting, sending, dead, unknown, refused)."""

    state: Delivery | Literal["all"] | None = None
    limit: Limit = 50
    cursor: str | None = None


class HoldBody(Asked):
    """Keep everything from going out."""

    why: Annotated[str, Field(min_length=1, max_length=500)] = "held by an operator"
    """Shown in the status."""


class ReleaseBody(Asked):
    """Let notices go out again."""

    drop_waiting: bool = False
    """What waits now is given up; only what comes later goes out."""


class Outbound(ApiModel):
    """Whether notices go out."""

    held: bool
    waiting: int
    """Notices that wait to go out."""
    dropped: int = 0
    """Notices that were given up by this request."""


class ShadowQuery(Asked):
    """Which tickets."""

    since: AwareDatetime | None = None
    """Opened from this time on."""
    limit: Limit = 50
    cursor: Annotated[str, Field(pattern=r"^[0-9]{0,18}$")] = ""


class InForce(ApiModel):
    """The configuration in force."""

    policy: str
    """Version of contracts, calendars and rules; decisions record it."""
    policy_changed: bool
    accounts: int
    feeds: int
    """Ticket stores that are written to."""


# -- journal ------------------------------------------------------------------------------


def _entry(row: Row[Any]) -> EntryItem:
    return EntryItem(**{name: getattr(row, name) for name in EntryItem.model_fields})


async def _entries(call: Call, state: str | None, account: str | None) -> EntryPage:
    limit, before = call.query.limit, cursors.read(call.query.cursor)

    def job(conn: Connection) -> EntryPage:
        rows = queries.entries(conn, state=state, before=before, limit=limit + 1, account=account)
        page, following = cursors.after(rows, limit)
        return EntryPage(items=[_entry(row) for row in page], next_cursor=following)

    return await call.read(job)


async def quarantine(call: Call) -> EntryPage:
    """What could not be read."""
    return await _entries(call, "quarantined", None)


async def entries(call: Call) -> EntryPage:
    """The journal."""
    return await _entries(call, call.query.state, call.query.account)


async def entry(call: Call) -> EntryItem:
    """One entry."""
    entry_id = call.number("entry")
    row = await call.read(lambda conn: queries.entry_row(conn, entry_id))
    if row is None:
        raise Problem(404, "there is no such journal entry")
    return _entry(row)


async def raw(call: Call) -> web.StreamResponse:
    """The exact bytes as they arrived."""
    entry_id = call.number("entry")
    found = await call.read(lambda conn: queries.raw_of(conn, entry_id))
    if found is None:
        raise Problem(404, "there is no such journal entry")
    headers = download_headers(f"entry-{entry_id}.eml", "application/octet-stream")
    if found.content is not None:
        return part(call.request, found.content, headers)
    path = await asyncio.to_thread(call.services.blobs.local, found.blob) if found.blob else None
    if path is None or not await asyncio.to_thread(path.is_file):
        raise Problem(410, "these bytes are not kept any more (`journal.keep_raw`)")
    return web.FileResponse(path, headers=headers)


async def replay(call: Call) -> Job:
    """Process entries again: a new revision in the ticket they have."""
    asked, services = call.body, call.services
    if asked.entries is None and asked.since is None and not asked.quarantined:
        raise Problem(422, "say which entries: `entries`, `since`, or `quarantined`")
    now = services.clock()

    def job(conn: Connection) -> Replayed:
        ids = queries.entries_to_replay(
            conn, ids=asked.entries, since=asked.since, until=asked.until, quarantined=asked.quarantined
        )
        count = journal.replay(conn, ids, reroute=asked.reroute, notify=asked.notify, now=now)
        return Replayed(count=count)

    return job


# -- outbox -------------------------------------------------------------------------------

_NEEDS_SOMEBODY = ("waiting", "sending", "dead", "unknown", "refused")


async def notices(call: Call) -> NoticePage:
    """The outbox."""
    asked = call.query
    states = () if asked.state == "all" else (asked.state,) if asked.state else _NEEDS_SOMEBODY
    before = cursors.read(asked.cursor)

    def job(conn: Connection) -> NoticePage:
        rows = queries.outbox_rows(conn, states=states, before=before, limit=asked.limit + 1)
        page, following = cursors.after(rows, asked.limit)
        return NoticePage(items=[api_show.notice(row) for row in page], next_cursor=following)

    return await call.read(job)


async def retry(call: Call) -> Job:
    """Send a notice again."""
    notice_id, now = call.number("notice"), call.services.clock()

    def job(conn: Connection) -> NoticeItem:
        done = outbox.retry(conn, [notice_id], now)
        return _notice(conn, notice_id, changed=bool(done), why="only a notice that failed can be sent again")

    return job


async def drop(call: Call) -> Job:
    """Never send a notice."""
    notice_id, now, actor = call.number("notice"), call.services.clock(), call.caller.actor

    def job(conn: Connection) -> NoticeItem:
        done = outbox.drop(conn, [notice_id], now, why=f"dropped by {actor}")
        return _notice(conn, notice_id, changed=bool(done), why="only a notice that is not out yet can be dropped")

    return job


async def hold_all(call: Call) -> Job:
    """Hold everything outbound: nothing is sent until it is released; what is on the wire now is finished."""
    now, why = call.services.clock(), f"{call.body.why} ({call.caller.actor})"

    def job(conn: Connection) -> Outbound:
        hold.put(conn, why, now)
        return Outbound(held=True, waiting=outbox.open_counts(conn)["waiting"])

    return job


async def release_all(call: Call) -> Job:
    """End the hold."""
    now, actor, drop_waiting = call.services.clock(), call.caller.actor, call.body.drop_waiting

    def job(conn: Connection) -> Outbound:
        held = hold.get(conn)
        if held is None:
            raise Problem(409, "nothing is held")
        if held.sources:
            media.begin_anew(conn, now)
        why = f"dropped by {actor} when the hold was released"
        dropped = hold.give_up_waiting(conn, why=why, now=now) if drop_waiting else 0
        hold.release(conn)
        return Outbound(held=False, waiting=outbox.open_counts(conn)["waiting"], dropped=dropped)

    return job


def _notice(conn: Connection, notice_id: int, *, changed: bool, why: str) -> NoticeItem:
    row = queries.outbox_row(conn, notice_id)
    if row is None:
        raise Problem(404, "there is no such notice")
    if not changed:
        raise Problem(409, f"{why}; this one is {row.state}")
    return api_show.notice(row)


async def shadow_report(call: Call) -> shadow.ShadowReport:
    """What accounts that write to nobody would have said and routed."""
    asked, services = call.query, call.services

    def job(conn: Connection) -> shadow.ShadowReport:
        after = int(asked.cursor or 0)
        last, items = shadow.report(
            conn, services.ctx, services.blobs, since=asked.since, after=after, limit=asked.limit
        )
        return shadow.ShadowReport(items=items, next_cursor=None if last is None else str(last))

    return await call.read(job)


# -- configuration ------------------------------------------------------------------------


async def reload(call: Call) -> Job:
    """Read the configuration again and bring all of it into force, or none. Every fault is in the answer."""
    if call.services.reload is None:
        raise Problem(409, "this server cannot read its configuration again")
    try:
        done = await call.services.reload()
    except ConfigurationError as error:
        faults = [{"at": "", "problem": str(problem)} for problem in error.problems]
        raise Problem(422, "the configuration has faults; nothing was changed", errors=faults) from None
    except (NeedsRestart, CannotAdopt) as error:
        raise Problem(422, str(error)) from None
    found = InForce(policy=done.policy, policy_changed=done.policy_changed, accounts=done.accounts, feeds=done.feeds)
    return lambda _conn: found


# -- status -------------------------------------------------------------------------------


async def show_status(call: Call) -> status.Status:
    """Everything on one screen."""
    return await status.gather(call.services)
