"""`/t/{token}`: what the person who asked may see of a ticket. Read only; nothing of class, line or notes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from aiohttp import web
from sqlalchemy import Connection, Row

from channels.registry import identity_kind
from gateway import both_numbers, facts, wording
from gateway.context import Context
from gateway.store import people, surveys, tickets
from gateway.web.page import Pages, Words
from gateway.web.services import SERVICES, Services

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
PUBLIC = {"in": ("message",), "out": ("reply", "question")}
"""Direction -> kinds of messages that the requester sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One message as the page shows it."""

    author: str
    ours: bool
    at: str
    text: str
    files: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    ticket: Row[Any]
    number: str
    """With the store's beside it."""
    language: str
    messages: Sequence[Row[Any]]
    files: Sequence[Row[Any]]


def handler(pages: Pages) -> Handler:
    """GET and HEAD of `/t/{token}`."""

    async def show(request: web.Request) -> web.StreamResponse:
        services = request.app[SERVICES]
        token_hash, now = services.ctx.keyring.hash(request.match_info["token"]), services.clock()
        view = await services.db.read(lambda conn: _look(conn, services.ctx, token_hash, now))
        if view is None:
            return pages.gone(request, services.ctx.texts, services.ctx.settings.desk.name)
        return _page(pages, services, view, now)

    return show


def _look(conn: Connection, ctx: Context, token_hash: str, now: datetime) -> _View | None:
    link = surveys.viewed(conn, token_hash, now)
    if link is None:
        return None
    ticket = tickets.get(conn, link.ticket_id)
    if people.normal(ticket.requester) != link.recipient:
        return None  # somebody else is the requester now; the former one's link shows nothing any more
    public = [
        message
        for message in tickets.messages(conn, ticket.id)
        if message.kind in PUBLIC.get(message.direction, ()) and message.verified
    ]
    identity = people.find(conn, identity_kind(ticket.channel), ticket.requester)
    chosen = people.get(conn, identity.contact_id).language if identity is not None else None
    files = tickets.attachments_of(conn, [message.id for message in public])
    number = both_numbers.beside(conn, ctx, ticket)
    return _View(ticket=ticket, number=number, language=chosen or ticket.language, messages=public, files=files)


def _page(pages: Pages, services: Services, view: _View, now: datetime) -> web.Response:
    ctx, ticket = services.ctx, view.ticket
    words = Words(ctx.texts, view.language)
    language = words.language
    account = ctx.settings.account(ticket.channel, ticket.account)
    zone = facts.zones(ctx, ticket, account)[0]
    desk = facts.desk_name(ctx, account)
    running = ticket.status in ("new", "open")
    due = facts.reply_due(ctx, ticket, account, language, now)[0] if running else ""
    coming = running or ticket.status == "waiting"
    visit = facts.visit_window(ctx, ticket, account, language, now)[0] if coming else ""
    done = ticket.status in ("resolved", "closed")
    return pages.show(
        "ticket",
        words,
        title=words("number", number=view.number),
        desk=desk,
        subject=facts.plain_subject(ticket.subject),
        state=words(f"state_{ticket.status}"),
        due=words("due", due=due) if due else "",
        visit=words("visit", visit=visit) if visit else "",
        result=words("result", result=ticket.result) if done and ticket.result else "",
        opened=words("opened", date=wording.moment(language, ticket.opened_at, now, zone)),
        messages=[_shown(message, view, words, desk, now, zone) for message in view.messages],
    )


def _shown(message: Row[Any], view: _View, words: Words, desk: str, now: datetime, zone: str) -> Shown:
    ours = message.direction == "out"
    theirs = people.normal(message.author) == people.normal(view.ticket.requester)
    name = message.author_name or (desk if ours else message.author)
    files = ", ".join(file.filename or "—" for file in view.files if file.message_id == message.id and not file.inline)
    return Shown(
        author=words("you") if theirs and not ours else name,
        ours=ours,
        at=wording.moment(words.language, message.at, now, zone),
        text=message.visible_text.strip() or message.text.strip(),
        files=words("files", files=files) if files else "",
    )
