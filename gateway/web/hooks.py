"""What is below `/channels/<channel>/<account>`: looked up for each request, so that a reload may change it.

The library's router is closed when the site starts; accounts come and go while it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from aiohttp import hdrs, web

from channels.contract import Intake, Replaced, Webhook
from gateway.web.services import Services

Key: TypeAlias = tuple[str, str]
BELOW = "/channels"


def mounted_anew(before: Mapping[Key, Webhook], fresh: Mapping[Key, Webhook]) -> dict[Key, Webhook]:
    """The webhooks of a changed configuration: those that are there go on, unless they say that they cannot."""
    return {key: _one(before.get(key), hook) for key, hook in fresh.items()}


def _one(before: Webhook | None, fresh: Webhook) -> Webhook:
    if before is None or (isinstance(before, Replaced) and not before.serves(fresh)):
        return fresh
    return before


class Hook(web.PlainResource):
    """One path of a webhook. It holds no token."""


class Hooks(web.PlainResource):
    """Everything below `/channels/`, for the site's router."""

    def __init__(self, services: Services, intake: Intake) -> None:
        super().__init__(BELOW)
        self._services, self._intake = services, intake
        self._of: Mapping[Key, Webhook] | None = None
        self._hooks: dict[str, Hook] = {}

    async def resolve(self, request: web.Request) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        """What the router asks: who takes this request, and which methods its path has."""
        if self._of is not self._services.webhooks:
            self._of = self._services.webhooks
            self._hooks = _by_path(self._of, self._intake)
        hook = self._hooks.get(request.rel_url.path_safe)
        return (None, set()) if hook is None else await hook.resolve(request)


def _by_path(webhooks: Mapping[Key, Webhook], intake: Intake) -> dict[str, Hook]:
    found: dict[str, Hook] = {}
    for (channel, account), webhook in webhooks.items():
        for route in webhook.routes(intake):
            path = f"{BELOW}/{channel}/{account}{route.path.rstrip('/')}"
            hook = found.setdefault(path, Hook(path))
            hook.add_route(route.method, route.handler)
            if route.method == hdrs.METH_GET and route.kwargs.get("allow_head", True):
                hook.add_route(hdrs.METH_HEAD, route.handler)
    return found
