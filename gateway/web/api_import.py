"""Taking over, by the API, the open tickets of a store, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import StringConstraints
from sqlalchemy import Connection

from gateway.despatch import NoAnswer, limited
from gateway.feeds import importing
from gateway.feeds.contract import FeedError, Imports, Page
from gateway.web.frame import ApiModel, Asked, Call, Job
from gateway.web.problems import Problem
from gateway.web.services import Services

MAIL = "mail"
NO_FEED = "no such feed; feeds are named in the configuration under `feeds`"


class ImportBody(Asked):
    """Which page."""

    cursor: Annotated[str, StringConstraints(max_length=4000)] | None = None
    """As the page before said; none: the first."""
    account: str = ""
    """The mail account that requesters are answered from; may be left out where there is one."""
    dry_run: bool = False
    """Look only."""


class Imported(ApiModel):
    """What became of a page."""

    taken: int
    known: int
    """Taken over before."""
    passed: Sequence[str]
    """Numbers and reasons of those that cannot be taken over."""
    odd: Sequence[str]
    """What could not be read."""
    total: int | None
    """Of the whole import, when the store says."""
    cursor: str | None
    """Of the next page; none: this was the last."""


async def import_page(call: Call) -> Job:
    """Take over one page of open tickets."""
    name, body, services = call.request.match_info["feed"], call.body, call.services
    account = _account(call, body.account)
    page = await _page(services, name, body.cursor)
    ctx, now, actor = services.ctx, services.clock(), call.caller.actor

    def job(conn: Connection) -> Imported:
        if body.dry_run:
            return _shown(page, importing.Taken(taken=len(page.tickets), known=0, passed=()))
        done = importing.take_over(conn, ctx, name, page, account=account, actor=actor, now=now)
        return _shown(page, done)

    return job


async def _page(services: Services, name: str, cursor: str | None) -> Page:
    """What the store has there. A reload leaves it the feed until it has answered."""
    if services.feeds is None:
        raise Problem(404, NO_FEED)
    with services.feeds.borrowed(name) as feed:
        one: object = feed
        if one is None:
            raise Problem(404, NO_FEED)
        if not isinstance(one, Imports):
            raise Problem(422, "this kind of store cannot list its open tickets")
        try:
            page = await limited(one.existing(cursor), services.ctx.settings.feeds[name].timeout.total_seconds())
        except FeedError as error:
            raise Problem(502, str(error)) from None
    if isinstance(page, NoAnswer):
        raise Problem(502, page.detail)
    return page


def _shown(page: Page, done: importing.Taken) -> Imported:
    return Imported(
        taken=done.taken, known=done.known, passed=done.passed, odd=page.odd, total=page.total, cursor=page.cursor
    )


def _account(call: Call, named: str) -> str:
    accounts = call.services.ctx.settings.accounts(MAIL)
    if named and named not in accounts:
        raise Problem(422, "no such mail account; accounts are named in the configuration under `channels.mail`")
    if not named and len(accounts) != 1:
        raise Problem(422, f"say which mail account answers them: {', '.join(sorted(accounts)) or 'there is none'}")
    return named or next(iter(accounts))
