"""`POST /feeds/<name>`: a ticket store tells what happened there. Answered after the commit, like any webhook."""

from __future__ import annotations

from aiohttp import web

from channels.contract import Unavailable
from gateway.feeds.contract import FeedError, Forged, Hears, Unreadable
from gateway.feeds.running import Feeds
from gateway.log import get_logger
from gateway.web.services import Services

PATTERN = "/feeds/{feed}"
AGAIN = {"Retry-After": "5"}

log = get_logger(__name__)


def routes(services: Services, feeds: Feeds) -> list[web.RouteDef]:
    """What the site mounts where there are feeds."""

    async def heard(request: web.Request) -> web.StreamResponse:
        name = request.match_info["feed"]
        feed: object = feeds.by_name.get(name)
        if not isinstance(feed, Hears) or not services.ctx.settings.feeds[name].read:
            raise web.HTTPNotFound
        body = await request.read()
        now = services.clock()
        try:
            page = await feed.heard(dict(request.headers), dict(request.query), body, now)
        except Forged as error:
            services.metrics.unverified("feed", name)
            log.warning("request not believed", channel="feed", account=name, reason=str(error)[:300])
            raise web.HTTPForbidden(text="not believed") from None
        except Unreadable as error:
            log.warning("request cannot be read", channel="feed", account=name, reason=str(error)[:300])
            raise web.HTTPUnprocessableEntity(text=str(error)[:500]) from None
        try:
            applied = await feeds.reading.take(name, page, since=now, cursor=None)
        except (FeedError, Unavailable) as error:
            log.warning("news cannot be taken in now", feed=name, why=str(error)[:300])
            raise web.HTTPServiceUnavailable(headers=AGAIN) from None
        if applied.held:
            # A write of ours to this ticket is on its way: only its end says what the news means.
            raise web.HTTPServiceUnavailable(headers=AGAIN)
        return web.json_response({"applied": applied.done})

    return [web.post(PATTERN, heard)]
