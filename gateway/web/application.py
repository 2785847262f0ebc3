"""The web site: what is mounted where, and what holds for every request.

`build_site` is the whole map: `/channels/…` webhooks, `/api/v1/…`, people's pages (`/`, `/rate/…`, `/t/…`),
`/healthz /readyz /metrics`. Every request gets an id, limits, the client's true address and an answer
that leaks nothing; every answer gets the headers that keep a browser from running or framing it.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import TypeAlias

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from gateway import log
from gateway.web import api, health, pages
from gateway.web.hooks import BELOW, HOOK, PATTERN, Hooks
from gateway.web.problems import REQUEST_ID, Problem, answer, problem_of
from gateway.web.proxies import CLIENT, SCHEME, Network, believed, client_of, networks
from gateway.web.services import SERVICES, Services
from gateway.web.slow import timely

__all__ = ["SERVICES", "Services", "build_site"]

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "Cross-Origin-Resource-Policy": "same-origin",
    hdrs.CACHE_CONTROL: "no-store",
}
_logger = log.get_logger(__name__)


def build_site(services: Services) -> web.Application:
    """The application, not yet listening."""
    http = services.ctx.settings.http
    trusted = networks(http.trusted_proxies)
    slow = timely(lambda: services.ctx.settings.http.body_time)
    site = web.Application(
        client_max_size=http.max_body, middlewares=[_identified(services, trusted), _counted(services), _guarded, slow]
    )
    site[SERVICES] = services
    site.on_response_prepare.append(_finish)
    site.add_routes([*api.routes(), *health.routes(), *pages.routes()])
    if services.intake is not None:
        site.router.add_route("*", PATTERN, Hooks(services, services.intake).handler())
    return site


def _identified(services: Services, trusted: Sequence[Network]) -> Middleware:
    """Gives a request its id and its client; an id from outside counts only from a proxy of ours.

    The id is a name, no secret: asking the system for each one would cost more than all else here.
    """
    chance = random.Random(services.new_secret())

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        said = request.headers.get("X-Request-Id", "")
        from_proxy = said and believed(request.remote or "", trusted)
        request[REQUEST_ID] = said if from_proxy and _ID.fullmatch(said) else f"{chance.getrandbits(64):016x}"
        request[CLIENT], request[SCHEME] = client_of(request, trusted)
        return await handler(request)

    return middleware


def _counted(services: Services) -> Middleware:
    """Counts, times and logs by the route's pattern: a path may hold a token.

    What a webhook took stands in the journal; a line of the log for each is for looking closer.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        begun = perf_counter()
        status = 499  # the client went away
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            route = _route(request)
            seconds = perf_counter() - begun
            services.metrics.request(route, request.method, status, seconds)
            tell = _logger.debug if status < 400 and route.startswith(BELOW) else _logger.info
            tell(
                "request",
                request=request[REQUEST_ID],
                method=request.method,
                route=route,
                status=status,
                ms=round(seconds * 1000, 1),
            )

    return middleware


def _route(request: web.Request) -> str:
    """The pattern of what was asked for; "none" when there is nothing."""
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else PATTERN
    return str(request.get(HOOK, "none")) if route == PATTERN else route


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns every error into an answer; a fault of ours is logged with the request's id and says nothing."""
    try:
        return await handler(request)
    except asyncio.CancelledError:
        raise
    except Exception as error:
        if isinstance(error, web.HTTPException) and error.status < 400:
            raise
        problem = problem_of(error)
        if problem is None:
            _logger.error("request failed", request=request[REQUEST_ID], exc_info=error)
            problem = Problem(500, "something went wrong here; the request id finds it in the log")
        return answer(request, problem)


async def _finish(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["X-Request-Id"] = request.get(REQUEST_ID, "")
    response.headers[hdrs.SERVER] = "gateway"
    if request.get(SCHEME) == "https":
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
