"""A store of somebody else's behind signed webhooks: it checks signatures, knows repeats, and can be told to fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from aiohttp import web

from gateway.feeds.contract import Forged
from gateway.feeds.signing import key_of, verify

OUT, BACK = "whsec_" + "b3V0" * 8, "whsec_" + "YmFj" * 8
Fault: TypeAlias = Literal["done and 500", "done and cut", "500", "429", "403", "410", "html", "redirect", "hang"]


@dataclass(slots=True)
class Receiver:
    """What it took in."""

    now: datetime | None
    """When signatures are checked; None: by the wall clock."""
    url: str = ""
    key: str = OUT
    """What signs."""
    taken: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """webhook-id -> body, in the order of the first time."""
    repeats: int = 0
    faults: list[Fault] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.StreamResponse:
        """POST /hook."""
        body = await request.read()
        fault = self.faults.pop(0) if self.faults else None
        match fault:
            case "500" | "429" | "403" | "410":
                return web.Response(status=int(fault), headers={"Retry-After": "3"}, text="not now")
            case "hang":
                await asyncio.sleep(3600)
            case "redirect":
                raise web.HTTPFound("/elsewhere")
            case _:
                pass
        try:
            name = verify(
                [key_of(self.key)],
                {k.lower(): v for k, v in request.headers.items()},
                body,
                self.now or datetime.now(UTC),
            )
        except Forged:
            return web.Response(status=401)
        said = json.loads(body)
        if said["type"] != "ping":
            self.repeats += name in self.taken
            self.taken.setdefault(name, said)
        match fault:
            case "done and 500":
                return web.Response(status=500)
            case "done and cut":
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
            case "html":
                return web.Response(text="<p>thanks</p>", content_type="text/html")
            case _:
                number = f"X-{len(self.taken)}"
                return web.json_response(
                    {"id": f"id-{len(self.taken)}", "number": number, "url": "https://x.example/1"}
                )


@asynccontextmanager
async def receiver(now: datetime | None) -> AsyncIterator[Receiver]:
    """A running one."""
    made = Receiver(now=now)
    site = web.Application(client_max_size=100 * 1024 * 1024)
    site.add_routes([web.post("/hook", made.take)])
    runner = web.AppRunner(site, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield made
    finally:
        await runner.cleanup()
