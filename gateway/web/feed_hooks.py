"""`POST /feeds/<name>`: a ticket store tells what happened there. Answered after the commit, like any webhook.

What is not believed is kept, and looked at again when somebody mended the configuration (rule 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from channels.contract import Unavailable, Unverified
from gateway.feeds.contract import Changes, FeedError, Forged, Hears, Unreadable
from gateway.feeds.running import Feeds
from gateway.log import get_logger
from gateway.suspects import FEED, Brought, StoreSuspects
from gateway.web.services import Services
from normalizer.message import INLINE_LIMIT

PATTERN = "/feeds/{feed}"
AGAIN = {"Retry-After": "5"}
NO_FEED = "the configuration has no such feed"
LONGEST_HEADER = 1024
"""Characters that are kept of one."""

log = get_logger(__name__)


def routes(services: Services, feeds: Feeds) -> list[web.RouteDef]:
    """What the site mounts where there are feeds."""
    keep = StoreSuspects(services.db, services.clock, services.metrics)

    async def heard(request: web.Request) -> web.StreamResponse:
        name = request.match_info["feed"]
        if not isinstance(feeds.by_name.get(name), Hears):
            raise web.HTTPNotFound
        body = await request.read()
        with feeds.borrowed(name) as found:
            feed: object = found
            if not isinstance(feed, Hears) or not services.ctx.settings.feeds[name].read:
                raise web.HTTPNotFound
            now = services.clock()
            page = await _believed(services, keep, feed, name, request, body, now)
            return await _taken(feeds, name, page, now)

    return [web.post(PATTERN, heard)]


async def _believed(
    services: Services, keep: StoreSuspects, feed: Hears, name: str, request: web.Request, body: bytes, now: datetime
) -> Changes:
    try:
        return await feed.heard(dict(request.headers), dict(request.query), body, now)
    except Forged as error:
        if len(body) > INLINE_LIMIT:
            # As of other webhooks: anybody may send it, and the list of what was not believed must stay small.
            services.metrics.unverified(FEED, name)
            log.warning("a big request is not believed, and not kept", channel=FEED, account=name, size=len(body))
            raise web.HTTPForbidden(text="not believed") from None
        doubted = Unverified(
            method=request.method, path=request.raw_path, headers=_kept(request.headers), body=body,
            reason=str(error)[:300],
        )  # fmt: skip
        try:
            await keep(FEED, name, doubted)
        except Unavailable:
            raise web.HTTPServiceUnavailable(headers=AGAIN) from None
        raise web.HTTPForbidden(text="not believed") from None
    except Unreadable as error:
        log.warning("request cannot be read", channel="feed", account=name, reason=str(error)[:300])
        raise web.HTTPUnprocessableEntity(text=str(error)[:500]) from None


async def _taken(feeds: Feeds, name: str, page: Changes, now: datetime) -> web.StreamResponse:
    try:
        applied = await feeds.reading.take(name, page, since=now, cursor=None, came=now)
    except (FeedError, Unavailable) as error:
        log.warning("news cannot be taken in now", feed=name, why=str(error)[:300])
        raise web.HTTPServiceUnavailable(headers=AGAIN) from None
    if applied.held:
        # A write of ours to this ticket is on its way: only its end says what the news means.
        raise web.HTTPServiceUnavailable(headers=AGAIN)
    return web.json_response({"applied": applied.done})


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    """Those that a signature may stand in; no tokens and no cookies."""
    return {
        name.lower(): value[:LONGEST_HEADER]
        for name, value in headers.items()
        if name.lower().startswith(("webhook-", "x-"))
    }


async def again(services: Services, name: str, request: Unverified, at: datetime) -> Brought | str:
    """Look again at a request that came at `at` and was not believed. Returns what it brought, or why it is not
    believed now, either. Raises Unavailable."""
    if services.feeds is None:
        return NO_FEED
    with services.feeds.borrowed(name) as feed:
        return await _again(services, services.feeds, name, feed, request, at)


async def _again(
    services: Services, feeds: Feeds, name: str, feed: object, request: Unverified, at: datetime
) -> Brought | str:
    if not isinstance(feed, Hears):
        return NO_FEED
    try:
        # Of the time when it came: what was too old then is too old now.
        page = await feed.heard(request.headers, dict(parse_qsl(urlsplit(request.path).query)), request.body, at)
        applied = await feeds.reading.take(name, page, since=services.clock(), cursor=None, came=at)
    except (Forged, Unreadable, FeedError) as error:
        return str(error)[:300]
    if applied.held:
        return "a write of ours to this ticket is on its way; look again"
    return Brought(count=applied.done, older=applied.older)
