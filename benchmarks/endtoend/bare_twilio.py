"""The counterpart of Twilio's webhook: an aiohttp handler that checks the signature, answers 200 and forgets.

python bare_twilio.py TOKEN PUBLIC_URL      prints its port, runs until SIGTERM
"""

from __future__ import annotations

import asyncio
import signal
import sys
from urllib.parse import parse_qsl

import uvloop
from aiohttp import web
from twilio.request_validator import RequestValidator

PATH = "/channels/sms/bench"
SIGNATURE = "X-Twilio-Signature"
EMPTY = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'


async def _serve(token: str, public_url: str) -> None:
    validator = RequestValidator(token)

    async def take(request: web.Request) -> web.Response:
        fields = dict(parse_qsl((await request.read()).decode(), keep_blank_values=True))
        good = validator.validate(public_url + request.raw_path, fields, request.headers.get(SIGNATURE, ""))
        return web.Response(body=EMPTY, content_type="text/xml") if good else web.Response(status=403)

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
    uvloop.run(_serve(*sys.argv[1:3]))
