"""`/rate/{token}`: the question how we did.

Looking counts nothing, whoever looks and whatever the link says: a vote is a POST of the form. Several
different votes within seconds are a mail scanner's, and none of them counts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from aiohttp import web
from sqlalchemy import Connection, Row

from gateway import both_numbers, surveys
from gateway.context import Context
from gateway.facts import desk_name, plain_subject
from gateway.requester_acts import problem_remains
from gateway.store import people, tickets
from gateway.store import surveys as store
from gateway.web.page import Pages, Words, choices, is_prefetch
from gateway.web.problems import Problem
from gateway.web.services import SERVICES, Services

CHANNEL = "web"
FORM = "application/x-www-form-urlencoded"
LONGEST_FORM = 128 * 1024
"""Bytes."""
MOST_FIELDS = 20
NOTES = ("burst", "fixed", "expired", "choose", "comment_thanks", "stopped", "problem_text")
"""What a page may be told to say, by the name of the words."""

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    survey: Row[Any]
    ticket: Row[Any]
    number: str
    """With the store's beside it."""
    vote: Row[Any] | None
    opted_out: bool
    expired: bool


def handlers(pages: Pages) -> tuple[Handler, Handler]:
    """(GET and HEAD, POST) of `/rate/{token}`."""

    async def show(request: web.Request) -> web.StreamResponse:
        services = request.app[SERVICES]
        view = await _view(request, services)
        return pages.gone(request, services.ctx.texts, services.ctx.settings.desk.name) if view is None else (
            _page(pages, request, services, view)
        )  # fmt: skip

    async def act(request: web.Request) -> web.StreamResponse:
        services = request.app[SERVICES]
        view = await _view(request, services)
        if view is None:
            return pages.gone(request, services.ctx.texts, services.ctx.settings.desk.name)
        form = await _form(request)
        if is_prefetch(request):
            return _page(pages, request, services, view)
        note = await ACTS.get(form.get("action", "vote"), _vote)(services, view, form)
        services.wake_outbox()
        # The page after a vote is another request, so that going back or reloading votes for nothing again.
        # Relative: a proxy may show this site below a path of its own (`http.public_url`).
        here = request.match_info["token"]
        return web.Response(status=303, headers={"Location": f"{here}?note={note}" if note else here})

    return show, act


async def _view(request: web.Request, services: Services) -> _View | None:
    token, now = request.match_info["token"], services.clock()

    def look(conn: Connection) -> _View | None:
        survey = surveys.by_token(conn, services.ctx, token)
        if survey is None:
            return None
        ticket = tickets.get(conn, survey.ticket_id)
        return _View(
            survey=survey,
            ticket=ticket,
            number=both_numbers.beside(conn, services.ctx, ticket),
            vote=store.current(conn, survey.id),
            opted_out=bool(people.get(conn, survey.contact_id).no_surveys),
            expired=survey.expires_at <= now,
        )

    return await services.db.read(look)


async def _form(request: web.Request) -> Mapping[str, str]:
    """The fields of the form. Read here and not by `request.post()`, whose limit is that of an upload."""
    if request.content_type != FORM:
        raise Problem(415, "send the form of this page")
    content = bytearray()
    async for chunk in request.content.iter_any():
        content += chunk
        if len(content) > LONGEST_FORM:
            raise Problem(413, "the text is too long")
    try:
        return dict(parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:  # not UTF-8, or fields without end
        raise Problem(400, "the form cannot be read; send it in UTF-8") from None


# -- what the forms do --------------------------------------------------------------------


async def _vote(services: Services, view: _View, form: Mapping[str, str]) -> str:
    score = _score(form.get("score", ""))
    if score is None:
        return "choose"
    ctx, now = services.ctx, services.clock()

    def job(conn: Connection) -> surveys.Rated:
        return surveys.rate(conn, ctx, view.survey.id, score, form.get("comment", ""), CHANNEL, None, now)

    outcome = (await services.db.write(job)).outcome
    return outcome if outcome in NOTES else ""


async def _comment(services: Services, view: _View, form: Mapping[str, str]) -> str:
    text, ctx, now = form.get("comment", ""), services.ctx, services.clock()
    if not text.strip():
        return ""
    rated = await services.db.write(
        lambda conn: surveys.comment(conn, ctx, view.survey.id, text, CHANNEL, None, now)
    )  # fmt: skip
    return rated.outcome if rated.outcome in NOTES else "comment_thanks"


async def _stop(services: Services, view: _View, _form: Mapping[str, str]) -> str:
    now = services.clock()
    await services.db.write(lambda conn: surveys.opt_out(conn, view.survey.id, now))
    return "stopped"


async def _reopen(services: Services, view: _View, form: Mapping[str, str]) -> str:
    if view.expired:
        return "expired"
    text = form.get("comment", "")
    if not text.strip():
        return "problem_text"  # a scanner that submits every form says nothing; a person can
    ctx, now, who = services.ctx, services.clock(), view.survey.recipient

    def job(conn: Connection) -> object:
        return problem_remains(conn, ctx, view.ticket.id, who=who, text=text, now=now)

    await services.db.write(job)
    services.wake_timers()
    return ""


Act: TypeAlias = Callable[[Services, _View, Mapping[str, str]], Awaitable[str]]
ACTS: Mapping[str, Act] = {"vote": _vote, "comment": _comment, "stop": _stop, "reopen": _reopen}
"""Name of a form -> what it does; the answer names the words that the page says then."""


# -- the page -----------------------------------------------------------------------------


def _score(text: str) -> int | None:
    return int(text) if text in {"1", "2", "3", "4", "5"} else None


def _page(pages: Pages, request: web.Request, services: Services, view: _View) -> web.Response:
    ctx: Context = services.ctx
    words = Words(ctx.texts, view.survey.language)
    account = ctx.settings.account(view.ticket.channel, view.ticket.account)
    voted = view.vote.score if view.vote is not None else None
    asked = _score(request.query.get("score", ""))
    note = request.query.get("note", "")
    reopened = view.ticket.resolutions == view.survey.resolution and view.ticket.status not in ("resolved", "closed")
    return pages.show(
        "rating",
        words,
        title=words("how"),
        desk=desk_name(ctx, account),
        about=words("about", number=view.number, subject=plain_subject(view.ticket.subject))
        if plain_subject(view.ticket.subject)
        else words("number", number=view.number),
        choices=choices(words),
        chosen=asked or voted,
        voted=voted,
        low=voted is not None and voted <= ctx.surveys.low_score,
        comment=view.vote.comment if view.vote is not None else "",
        note=words(note, score=voted or "") if note in NOTES and not (note == "expired" and view.expired) else "",
        expired=view.expired,
        stopped=view.opted_out,
        stopping="stop" in request.query,
        reopened=words("reopened", number=view.number) if reopened else "",
    )
