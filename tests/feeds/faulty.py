"""An HTTP proxy in front of a real store, for what a real store cannot be made to do: it breaks one kind of call."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum

import aiohttp
from aiohttp import web
from yarl import URL

_PASSED = frozenset({"authorization", "x-redmine-api-key", "content-type", "if-match", "accept"})


class Way(StrEnum):
    """How a call is broken."""

    CUT_BEFORE = "the connection ends, and the store has heard nothing"
    CUT_AFTER = "the store has done it, and the connection ends without an answer"
    HALF = "the store has done it, and half of its answer comes"
    HTML = "the store has done it, and a page comes with a 200"
    STATUS = "the store has heard nothing, and a status comes"
    HANG = "nobody answers"


@dataclass
class Fault:
    """What is broken: calls of this method whose path has this in it, so many times."""

    way: Way
    method: str
    path: str
    times: int = 1
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass
class Faulty:
    """The proxy. `before` runs before a call that matches is passed on, and need not break anything."""

    store: str
    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    before: tuple[str, str, Callable[[], Awaitable[None]]] | None = None
    broken: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def _fault(self, request: web.Request) -> Fault | None:
        for fault in self.faults:
            if fault.times and fault.method == request.method and re.search(fault.path, request.path):
                fault.times -= 1
                self.broken += 1
                return fault
        return None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One call."""
        fault = self._fault(request)
        if self.before is not None and self.before[0] == request.method and re.search(self.before[1], request.path):
            run, self.before = self.before[2], None
            await run()
        match fault.way if fault is not None else None:
            case Way.CUT_BEFORE:
                return _ended(request)
            case Way.HANG:
                await self.gate.wait()
                return _ended(request)
            case Way.STATUS:
                assert fault is not None
                return web.Response(status=fault.status, headers=fault.headers, text=fault.body)
            case _:
                try:
                    status, headers, body = await self._passed(request)
                except aiohttp.ClientConnectionError:
                    return web.Response(status=502, text="the store is away")
        match fault.way if fault is not None else None:
            case Way.CUT_AFTER:
                return _ended(request)
            case Way.HTML:
                return web.Response(
                    status=200, content_type="text/html", text="<html><body>Please log in</body></html>"
                )
            case Way.HALF:
                half = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(body) + 10)})
                await half.prepare(request)
                await half.write(body[: len(body) // 2])
                return _ended(request)
            case _:
                return web.Response(status=status, headers=headers, body=body)

    async def _passed(self, request: web.Request) -> tuple[int, dict[str, str], bytes]:
        sent = {name: value for name, value in request.headers.items() if name.casefold() in _PASSED}
        url = URL(self.store + request.raw_path, encoded=True)
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method, url, headers=sent, data=await request.read(), allow_redirects=False
            ) as answer,
        ):
            kept = {name: answer.headers[name] for name in ("Content-Type", "ETag") if name in answer.headers}
            return answer.status, kept, await answer.read()


def _ended(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def faulty(store: str, certificate: ssl.SSLContext | None = None) -> AsyncIterator[Faulty]:
    """A running one, before the store at this address."""
    proxy = Faulty(store)
    app = web.Application(client_max_size=100_000_000)
    app.router.add_route("*", "/{rest:.*}", proxy.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=certificate)
        await site.start()
        port = runner.addresses[0][1]
        proxy.url = f"https://localhost:{port}" if certificate is not None else f"http://127.0.0.1:{port}"
        yield proxy
    finally:
        proxy.gate.set()
        await runner.cleanup()
