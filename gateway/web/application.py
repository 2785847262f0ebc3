"""The web site: what is mounted where, and what holds for every request.

`build_site` is the whole map: `/channels/…` and `/feeds/…` webhooks, `/api/v1/…`, people's pages (`/`, `/rate/…`,
`/t/…`), `/healthz /readyz /metrics`. Every request gets an id, limits, the client's true address and an answer
that leaks nothing (`passage`); every page gets the headers that keep a browser from running or framing it.
"""

from __future__ import annotations

from aiohttp import web

from gateway.web import api, feed_hooks, health, pages
from gateway.web.hooks import PATTERN, Hooks
from gateway.web.passage import Passage
from gateway.web.services import SERVICES, Services

__all__ = ["SERVICES", "Services", "build_site"]


def build_site(services: Services) -> web.Application:
    """The application, not yet listening."""
    limit = services.ctx.settings.http.max_body
    site = web.Application(client_max_size=limit, middlewares=[Passage(services).middleware()])
    site[SERVICES] = services
    site.add_routes([*api.routes(), *health.routes(), *pages.routes()])
    if services.feeds is not None:
        site.add_routes(feed_hooks.routes(services, services.feeds))
    if services.intake is not None:
        site.router.add_route("*", PATTERN, Hooks(services, services.intake).handler())
    return site
