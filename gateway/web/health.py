"""`/healthz` (the loop turns), `/readyz` (the gateway can do its work), `/metrics`."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from aiohttp import web

from channels.contract import Unavailable
from gateway import health, status
from gateway.metrics import CONTENT_TYPE
from gateway.web.services import SERVICES


async def healthz(_request: web.Request) -> web.Response:
    """200 while the event loop answers: restart the process when it does not."""
    return web.json_response({"ok": True})


async def readyz(request: web.Request) -> web.Response:
    """200 when messages can be taken in and filed; 503 with the reason of each check that says no."""
    trouble = await asyncio.to_thread(health.look, request.app[SERVICES].checks)
    return web.json_response({"ready": not trouble, "trouble": trouble}, status=503 if trouble else 200)


async def metrics(request: web.Request) -> web.Response:
    """Counters always; gauges of what waits while the database can be read."""
    services = request.app[SERVICES]
    try:
        found = await status.gather(services)
        gauges = status.gauges(found)
        for name, feed in found.feeds.items():
            states = feed.model_dump(include={"waiting", "sending", "refused", "dead"})
            oldest = 0.0 if feed.oldest is None else max(0.0, (found.now - feed.oldest).total_seconds())
            services.metrics.feed_backlog(name, states, oldest)
    except Unavailable:
        gauges = {"ready": 0.0}
    writer = {f"writer_{name}": float(value) for name, value in asdict(services.db.stats).items()}
    body = services.metrics.show(gauges | writer)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


def routes() -> list[web.RouteDef]:
    """All three; they ask for no token, and hold no person's data."""
    return [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)]
