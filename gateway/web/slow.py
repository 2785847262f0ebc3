"""A request's body has to arrive within a time: a client that dribbles holds a connection, memory and a handler.

The library limits the size of a body and not its time. Handlers that take hours of upload have limits of their own
(`channels.contract.own_time`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeAlias

from aiohttp import web

from channels.contract import has_own_time

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class TooSlow(TimeoutError):
    """The body did not arrive in time. Raised where the handler reads it; answered with 408."""


async def within(limit: timedelta, request: web.Request, handler: Handler) -> web.StreamResponse:
    """The handler's answer; it finds `TooSlow` where it reads a body that has not arrived by then."""
    timer = asyncio.get_running_loop().call_later(limit.total_seconds(), _cut, request)
    try:
        return await handler(request)
    finally:
        timer.cancel()


def _cut(request: web.Request) -> None:
    # One that has arrived and is being worked on has no limit here.
    # It is a TimeoutError, so that the server answers, waits for no rest and closes the connection.
    if not (request.content.is_eof() or has_own_time(request.match_info.handler)):
        request.content.set_exception(TooSlow("the body did not arrive in time"))
