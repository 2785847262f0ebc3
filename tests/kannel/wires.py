"""What the tests of Kannel's half share where no Kannel is needed: an account, its hook on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from channels.contract import Intake, Sender
from channels.registry import CHANNELS
from channels.sms.kannel_outbound import KannelSender
from channels.sms.kannel_settings import KannelAccount
from channels.sms.kannel_webhook import KannelHook
from tests.twilio.provider import List, wiring

OURS, ANNA = "+380440000001", "+380670000001"
SECRET, PASSWORD = "standin-secret-of-no-worth", "standin-password-of-no-worth"
ACCOUNT: dict[str, Any] = {
    "provider": "kannel", "secret": SECRET, "numbers": [OURS], "api_url": "http://127.0.0.1:9/cgi-bin/sendsms",
    "username": "gw", "password": PASSWORD,
}  # fmt: skip


def account(**more: Any) -> KannelAccount:
    return KannelAccount.model_validate({**ACCOUNT, **more})


def hook(folder: Path, *, suspects: List | None = None, **more: Any) -> KannelHook:
    made = CHANNELS["sms"].build({"main": account(**more)}, wiring(folder, suspects=suspects)).webhooks["main"]
    assert isinstance(made, KannelHook)
    return made


def sender_for(url: str, unique: Callable[[], str], **more: Any) -> Sender:
    said = account(api_url=url, **more)
    return KannelSender(
        "main", said, password=PASSWORD, secret=SECRET, public_url="https://desk.example", unique=unique
    )


@asynccontextmanager
async def mounted(folder: Path, intake: Intake, *, suspects: List | None = None, **more: Any) -> AsyncIterator[str]:
    """A hook on a server; yields the address of messages."""
    made, below = hook(folder, suspects=suspects, **more), "/channels/sms/main"
    site = web.Application()
    site.add_routes(
        [web.RouteDef(one.method, below + one.path.rstrip("/"), one.handler, one.kwargs) for one in made.routes(intake)]
    )
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{below}"
    finally:
        await runner.cleanup()
