"""The counterpart of the webhook: an aiohttp handler that compares the secret, answers 200 and forgets.

python bare_hook.py SECRET      prints its port, runs until SIGTERM
"""

from __future__ import annotations

import asyncio
import hmac
import signal
import sys

import uvloop
from aiohttp import web

HEADER = "X-Telegram-Bot-Api-Secret-Token"
PATH = "/channels/telegram/bench"


async def _serve(secret: bytes) -> None:
    async def take(request: web.Request) -> web.Response:
        shown = request.headers.get(HEADER, "").encode()
        return web.Response(status=200 if hmac.compare_digest(shown, secret) else 403)

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    site = web.Application()
    site.add_routes([web.post(PATH, take)])
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=500).start()
    print(runner.addresses[0][1], flush=True)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1].encode()))
