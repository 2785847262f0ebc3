"""The web site: what is mounted where, and what holds for every request.

`build_site` is the whole map: `/channels/…` and `/feeds/…` webhooks, `/api/v1/…`, people's pages (`/`, `/rate/…`,
`/t/…`), `/healthz /readyz /metrics`. Every request gets an id, limits, the client's true address and an answer
that leaks nothing (`passage`); every page gets the headers that keep a browser from running or framing it.
"""

from __future__ import annotations

from aiohttp import web

from gateway.web import api, feed_hooks, health, pages
from gateway.web.hooks import Hooks
from gateway.web.passage import Passage
from gateway.web.services import SERVICES, Services

__all__ = ["SERVICES", "Services", "build_site", "open_site"]

SHUTDOWN = 10.0
"""Seconds that requests under way have at the end."""


def build_site(services: Services) -> web.Application:
    """What is mounted where."""
    site = web.Application(client_max_size=services.ctx.settings.http.max_body)
    site[SERVICES] = services
    site.add_routes([*api.routes(), *health.routes(), *pages.routes()])
    if services.feeds is not None:
        site.add_routes(feed_hooks.routes(services, services.feeds))
    if services.intake is not None:
        site.router.register_resource(Hooks(services, services.intake))
    return site


async def open_site(services: Services) -> web.AppRunner:
    """The site, not yet listening; `closing.close` ends it."""
    runner = web.AppRunner(build_site(services), access_log=None, shutdown_timeout=SHUTDOWN)
    await runner.setup()
    assert runner.server is not None
    runner.server.request_handler = Passage(services, runner.server.request_handler)
    return runner
