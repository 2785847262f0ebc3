"""What staff read about tickets."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

from aiohttp import hdrs, web
from sqlalchemy import Connection, Row
from sqlalchemy.exc import NoResultFound

from gateway.desk_acts import NotFound
from gateway.store import queries
from gateway.store import tickets as store
from gateway.store.retention import FORGOTTEN
from gateway.store.tokens import Caller
from gateway.web import api_show, cursors
from gateway.web.api_models import (
    Decision,
    EventList,
    Filed,
    NoticePage,
    RatingItem,
    RatingList,
    SurveyItem,
    TicketDetail,
    TicketPage,
)
from gateway.web.frame import Call
from gateway.web.problems import Problem

T = TypeVar("T")
_DECIDING = frozenset({"opened", "class", "line", "contract", "onsite", "rerouted", "incident"})


def visible(conn: Connection, caller: Caller, reference: str) -> Row[Any]:
    """The ticket with this number or id, if it exists for the caller. Raises NotFound either way.

    A number has seven digits or more; where an id looks like a number, the number is meant.
    """
    row = None
    if re.fullmatch(r"[0-9]{1,18}", reference):
        row = store.by_number(conn, reference) or _by_id(conn, int(reference))
    if row is None or not caller.sees(row.contract):
        raise NotFound("there is no such ticket; look it up by its number")
    return row


def _by_id(conn: Connection, ticket_id: int) -> Row[Any] | None:
    try:
        return store.get(conn, ticket_id)
    except NoResultFound:
        return None


async def _about(call: Call, job: Callable[[Connection, Row[Any]], T]) -> T:
    return await call.read(lambda conn: job(conn, visible(conn, call.caller, call.params["ticket"])))


async def listing(call: Call) -> TicketPage:
    """Tickets that match every filter."""
    asked = call.query
    wanted = queries.Filters(
        **{name: getattr(asked, name) for name in queries.Filters.__slots__}  # the filters have one name everywhere
    )
    before = cursors.read(asked.cursor)

    def job(conn: Connection) -> TicketPage:
        rows = queries.tickets(conn, wanted, contracts=call.caller.contracts, before=before, limit=asked.limit + 1)
        page, following = cursors.after(rows, asked.limit)
        return TicketPage(items=api_show.tickets(conn, page), next_cursor=following)

    return await call.read(job)


async def one(call: Call) -> TicketDetail:
    """A ticket by number or id."""
    return await _about(call, api_show.ticket)


async def events(call: Call) -> EventList:
    """The history."""
    return await _about(
        call, lambda conn, row: EventList(items=[api_show.event(event) for event in queries.events(conn, row.id)])
    )


async def decision(call: Call) -> Decision:
    """Why the ticket is filed and routed as it is."""

    def job(conn: Connection, row: Row[Any]) -> Decision:
        entries = sorted({item.entry_id for item in store.messages(conn, row.id) if item.entry_id is not None})
        same = "number class_ line contract confidence because"
        return Decision(
            **{name: getattr(row, name) for name in same.split()},
            deadlines=api_show.deadlines(row),
            entries=[_filed(entry) for entry in queries.entry_outcomes(conn, entries)],
            changes=[api_show.event(event) for event in queries.events(conn, row.id) if event.kind in _DECIDING],
        )

    return await _about(call, job)


def _filed(row: Row[Any]) -> Filed:
    same = "state generation received_at accepted_at outcome"
    return Filed(entry=row.id, **{name: getattr(row, name) for name in same.split()})


async def notices(call: Call) -> NoticePage:
    """What went out about a ticket, or will."""
    return await _about(
        call,
        lambda conn, row: NoticePage(
            items=[api_show.notice(notice) for notice in queries.notices(conn, row.id)], next_cursor=None
        ),
    )


async def ratings(call: Call) -> RatingList:
    """Votes, and when they were asked for."""
    vote = "id score comment channel at current recipient resolution"
    asked = "id recipient resolution asked_at expires_at closed_at"

    def job(conn: Connection, row: Row[Any]) -> RatingList:
        return RatingList(
            items=[
                RatingItem(**{name: getattr(item, name) for name in vote.split()})
                for item in queries.ratings(conn, row.id)
            ],
            surveys=[
                SurveyItem(**{name: getattr(item, name) for name in asked.split()})
                for item in queries.surveys(conn, row.id)
            ],
        )

    return await _about(call, job)


# -- downloads ----------------------------------------------------------------------------


async def attachment(call: Call) -> web.StreamResponse:
    """A file of a message, never shown by a browser in our name."""
    attachment_id = call.number("attachment")
    row = await _about(call, lambda conn, row: queries.attachment_of(conn, row.id, attachment_id))
    if row is None:
        raise Problem(404, "there is no such attachment")
    if row.state == FORGOTTEN:
        raise Problem(410, "this file is not kept any more (`retention.attachments`)")
    if row.state != "here":
        raise Problem(409, "this file is not here yet" if row.state == "pending" else "this file could not be fetched")
    headers = download_headers(row.filename or f"attachment-{row.id}", row.content_type)
    if row.content is not None:
        return part(call.request, row.content, headers)
    path = await asyncio.to_thread(call.services.blobs.local, row.blob) if row.blob else None
    if path is None or not await asyncio.to_thread(path.is_file):
        raise Problem(404, "this file is not kept any more")
    return web.FileResponse(path, headers=headers)


def download_headers(filename: str, content_type: str) -> dict[str, str]:
    """Headers that make a browser save the file and run nothing of it (RFC 6266, RFC 8187)."""
    plain = re.sub(r'[^ -~]|["\\%]', "_", filename)
    safe_type = content_type if re.fullmatch(r"[\w.+-]+/[\w.+-]+", content_type, re.ASCII) else ""
    return {
        hdrs.CONTENT_DISPOSITION: f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}",
        hdrs.CONTENT_TYPE: safe_type or "application/octet-stream",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        hdrs.CACHE_CONTROL: "private, no-store",
    }


def part(request: web.Request, content: bytes, headers: dict[str, str]) -> web.Response:
    """Content of a row, or the one range of it that was asked for (RFC 9110 section 14)."""
    headers = {**headers, hdrs.ACCEPT_RANGES: "bytes"}
    try:
        wanted = request.http_range
        start, stop, _ = wanted.indices(len(content))
    except ValueError:
        wanted, start, stop = slice(None), 0, 0
    if wanted.start is None and wanted.stop is None:
        return web.Response(body=content, headers=headers)
    if start >= stop:
        headers = {hdrs.CONTENT_RANGE: f"bytes */{len(content)}"}
        raise Problem(416, "the file is not that long", headers=headers)
    headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{stop - 1}/{len(content)}"
    return web.Response(status=206, body=content[start:stop], headers=headers)
