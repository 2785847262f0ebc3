"""What every request passes, in one step: its id and its client, the time of its body, an answer for every error, the
count and the line of the log; and the headers of every answer.

One step, because each one costs a webhook as much as all that it does itself; and before the application, because the
library's way through a middleware costs as much as two of them.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import TypeAlias

from aiohttp import hdrs, web
from multidict import CIMultiDict, istr

from gateway import log
from gateway.web.hooks import BELOW, Hook
from gateway.web.problems import REQUEST_ID, Problem, answer, problem_of
from gateway.web.proxies import CLIENT, SCHEME, believed, client_of, networks
from gateway.web.services import Services
from gateway.web.slow import within

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_REQUEST_ID = istr("X-Request-Id")
EVERYBODY = {istr("X-Content-Type-Options"): "nosniff", hdrs.CACHE_CONTROL: "no-store", hdrs.SERVER: "gateway"}
"""Headers of every answer."""
STRICT = {"Strict-Transport-Security": "max-age=31536000"}
"""What is said beside them to who came by https."""
_BROWSERS = {
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# As answers hold theirs: taking these over costs a third of what a dictionary does.
_ALWAYS = CIMultiDict(EVERYBODY)
_FOR_BROWSERS = CIMultiDict(EVERYBODY | _BROWSERS)
_CLIENT_LEFT = 499
"""The status that is counted when the client went away before it was answered."""
_logger = log.get_logger(__name__)
_level = logging.getLogger(__name__)


class Passage:
    """Stands before the application, and finishes its answers."""

    def __init__(self, services: Services, application: Handler) -> None:
        self._services, self._application = services, application
        self._trusted = networks(services.ctx.settings.http.trusted_proxies)
        # An id is a name, no secret: asking the system for each one would cost more than all else here.
        self._chance = random.Random(services.new_secret())

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        assert isinstance(request, web.Request)
        begun = perf_counter()
        self._named(request)
        status = _CLIENT_LEFT
        try:
            # Most bodies are there already, with the request's head.
            if request.content.is_eof():
                response = await self._application(request)
            else:
                response = await within(self._services.ctx.settings.http.body_time, request, self._application)
            status = response.status
        except Exception as error:  # noqa: BLE001 - every error has an answer, and one of ours is logged
            response = _refusal(request, error)
            status = response.status
        finally:
            self._counted(request, status, perf_counter() - begun)
        _finish(request, response)
        return response

    def _named(self, request: web.Request) -> None:
        """Its id and its client; an id from outside counts only from a proxy of ours."""
        said = request.headers.get(_REQUEST_ID, "")
        from_proxy = said and believed(request.remote or "", self._trusted)
        request[REQUEST_ID] = request_id(said if from_proxy else "", self._chance)
        request[CLIENT], request[SCHEME] = client_of(request, self._trusted)

    def _counted(self, request: web.Request, status: int, seconds: float) -> None:
        """Count, time and log by the route's pattern: a path may hold a token.

        What a webhook took stands in the journal; a line of the log for each is for looking closer.
        """
        route = _route(request)
        self._services.metrics.request(route, request.method, status, seconds)
        tell = _logger.info
        if status < 400 and route.startswith(BELOW):
            if not _level.isEnabledFor(logging.DEBUG):
                return
            tell = _logger.debug
        tell(
            "request",
            request=request[REQUEST_ID],
            method=request.method,
            route=route,
            status=status,
            ms=round(seconds * 1000, 1),
        )


def request_id(said: str, chance: random.Random) -> str:
    """The id of a request: `said` by a proxy of ours where it is one, else a new one."""
    return said if said and _ID.fullmatch(said) else f"{chance.getrandbits(64):016x}"


def _finish(request: web.Request, response: web.StreamResponse) -> None:
    """Headers of an answer; what it says itself stays."""
    headers = response.headers
    wanted = _wanted(request, response)
    if headers:
        for name, value in wanted.items():
            headers.setdefault(name, value)
    else:
        headers.extend(wanted)
    headers[_REQUEST_ID] = request[REQUEST_ID]
    if request[SCHEME] == "https":
        for name, value in STRICT.items():
            headers.setdefault(name, value)


def _wanted(request: web.Request, response: web.StreamResponse) -> Mapping[str, str]:
    """What keeps a browser from running or framing a page is for browsers: most that a webhook says a machine reads."""
    if response.status >= 300 or not isinstance(request.match_info.route.resource, Hook):
        return _FOR_BROWSERS
    return _FOR_BROWSERS if response.headers.get(hdrs.CONTENT_TYPE, "").startswith("text/html") else _ALWAYS


def _route(request: web.Request) -> str:
    """The pattern of what was asked for; "none" when there is nothing."""
    resource = request.match_info.route.resource
    return "none" if resource is None else resource.canonical


def _refusal(request: web.Request, error: Exception) -> web.StreamResponse:
    """Every error as an answer; a fault of ours is logged with the request's id and says nothing.

    Raises what leads elsewhere, and is no error.
    """
    if isinstance(error, web.HTTPException) and error.status < 400:
        _finish(request, error)
        raise error
    problem = problem_of(error)
    if problem is None:
        _logger.error("request failed", request=request[REQUEST_ID], exc_info=error)
        problem = Problem(500, "something went wrong here; the request id finds it in the log")
    return answer(request, problem)
