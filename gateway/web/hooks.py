"""What is below `/channels/<channel>/<account>`: looked up for each request, so that a reload may change it.

The library's router is closed when the site starts; accounts come and go while it runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TypeAlias

from aiohttp import web

from channels.contract import Intake, Replaced, Webhook, own_time
from gateway.web.services import Services
from gateway.web.slow import within

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
Key: TypeAlias = tuple[str, str]
BELOW = "/channels/"
_REST = "hook"
PATTERN = f"{BELOW}{{{_REST}:.+}}"
HOOK = web.RequestKey("hook", str)
"""In a request: the path of the webhook that it was for, which holds no token."""


def mounted_anew(before: Mapping[Key, Webhook], fresh: Mapping[Key, Webhook]) -> dict[Key, Webhook]:
    """The webhooks of a changed configuration: those that are there go on, unless they say that they cannot."""
    return {key: _one(before.get(key), hook) for key, hook in fresh.items()}


def _one(before: Webhook | None, fresh: Webhook) -> Webhook:
    if before is None or (isinstance(before, Replaced) and not before.serves(fresh)):
        return fresh
    return before


class Hooks:
    """The handler of everything below `/channels/`."""

    def __init__(self, services: Services, intake: Intake) -> None:
        self._services, self._intake = services, intake
        self._of: Mapping[Key, Webhook] | None = None
        self._handlers: dict[str, tuple[str, dict[str, Handler]]] = {}

    def handler(self) -> Handler:
        """For the site's router; a body's time is limited here, by what is found."""

        @own_time
        async def handle(request: web.Request) -> web.StreamResponse:
            found = self._found().get(request.match_info[_REST])
            if found is None:
                raise web.HTTPNotFound
            request[HOOK], methods = found
            handler = methods.get(request.method)
            if handler is None:
                raise web.HTTPMethodNotAllowed(request.method, sorted(methods))
            if request.content.is_eof():
                return await handler(request)
            return await within(self._limit(), request, handler)

        return handle

    def _limit(self) -> timedelta:
        return self._services.ctx.settings.http.body_time

    def _found(self) -> Mapping[str, tuple[str, Mapping[str, Handler]]]:
        """What stands behind `BELOW` -> (path, method -> handler), of the webhooks that are there now."""
        if self._of is not self._services.webhooks:
            self._of = self._services.webhooks
            self._handlers = {}
            for (channel, account), webhook in self._of.items():
                for route in webhook.routes(self._intake):
                    rest = f"{channel}/{account}{route.path.rstrip('/')}"
                    _, methods = self._handlers.setdefault(rest, (BELOW + rest, {}))
                    methods[route.method] = route.handler
                    if route.method == "GET" and route.kwargs.get("allow_head", True):
                        methods["HEAD"] = methods["GET"]
        return self._handlers
