"""The counterpart of the webhook of calls: an aiohttp handler that reads the form and answers the same TwiML always.

python bare_calls.py      prints its port, runs until SIGTERM
"""

from __future__ import annotations

import asyncio
import signal

import uvloop
from aiohttp import web

TWIML = (
    '<?xml version="1.0" encoding="UTF-8"?><Response><Gather input="dtmf" action="/calls?s=1" method="POST" timeout="6"'
    ' numDigits="1" finishOnKey=""><Say language="uk-UA" voice="Google.uk-UA-Wavenet-A">Українська мова — натисніть 1.'
    '</Say></Gather><Redirect method="POST">/calls?s=1</Redirect></Response>'
).encode()


async def _serve() -> None:
    async def answer(request: web.Request) -> web.Response:
        await request.post()
        return web.Response(body=TWIML, content_type="text/xml")

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    site = web.Application()
    site.add_routes([web.post("/{path:.*}", answer)])
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=500).start()
    print(runner.addresses[0][1], flush=True)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(_serve())
