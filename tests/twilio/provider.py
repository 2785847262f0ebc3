"""What the tests of Twilio's channels share: an account, its number, hooks on a real server."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import web

from channels.contract import Accepted, Cursor, Intake, Unavailable, Unverified, Wiring
from channels.registry import CHANNELS
from channels.twilio.webhook import TwilioHook
from gateway.demo.twilio_api import network
from normalizer.message import InlineBody, RawMessage, SpooledBody
from tests.services.ports import refusing

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
SID = "AC" + "0123456789abcdef" * 2
TOKEN = "standin-token-of-no-worth"
OURS, ANNA = "+380440000001", "+380670000001"
ACCOUNT: dict[str, Any] = {"account_sid": SID, "auth_token": TOKEN, "numbers": [OURS], "timeout": "50s"}
"""A machine that stands still for a while is no far side that does not answer: so `timeout` is its longest."""
ANSWERED = 90.0
"""Seconds that an answer of ours may take where its lateness is not what is tested."""
HELD = 60.0
"""Seconds that a caller holds the line there (`gateway.calls.WITHIN`)."""
ROOM = "workers.seconds=90"
"""For one message, in settings of a whole gateway: no worker is ended because the machine stood still."""
LONG = 600
"""Seconds for one test: more than all that it waits for one after another."""


T = TypeVar("T")


async def until_there(look: Callable[[], T], wanted: T, what: str, seconds: float = ANSWERED) -> None:
    """Wait until `look` gives this. AssertionError with what it gave instead."""
    ends = time.monotonic() + seconds
    while (found := look()) != wanted:
        assert time.monotonic() < ends, f"{what}: not within {seconds:.0f} s; there is {found}"
        await asyncio.sleep(0.02)


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens, and nobody else can begin to meanwhile: its port is taken."""
    with refusing() as port:
        yield f"http://127.0.0.1:{port}"


async def post(url: str, body: bytes, headers: dict[str, str]) -> int | None:
    """As the network's, with the time that a busy machine may take."""
    return await network.post(url, body, headers, seconds=ANSWERED)


def content(raw: RawMessage) -> bytes:
    match raw.body:
        case InlineBody(content=inline):
            return inline
        case SpooledBody(path=path):
            return path.read_bytes()


@dataclass
class Journal:
    """An intake that keeps what it gets as the real one does: repeats are known."""

    kept: dict[tuple[str, str], bytes] = field(default_factory=dict)
    raws: list[RawMessage] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    gate: asyncio.Event | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, raws: Sequence[RawMessage], cursor: Cursor | None = None, /) -> Sequence[Accepted]:
        self.news.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.raws += raws
        accepted = []
        for raw in raws:
            key = (raw.external_id, raw.fingerprint)
            accepted.append(Accepted(entry=1, duplicate=key in self.kept))
            self.kept.setdefault(key, content(raw))
        return accepted


@dataclass
class List:
    """Where requests go that are not believed."""

    requests: list[Unverified] = field(default_factory=list)
    failing: bool = False

    async def __call__(self, channel: str, account: str, request: Unverified, /) -> None:
        if self.failing:
            raise Unavailable("locked")
        self.requests.append(request)


def wiring(folder: Path, *, public_url: str = "", suspects: List | None = None) -> Wiring:
    return Wiring(
        clock=lambda: NOW, spool=folder, outgoing=folder / "outgoing", upload_url="", public_url=public_url,
        suspects=suspects,
    )  # fmt: skip


def hook(folder: Path, channel: str = "sms", *, base: str = "https://desk.example", suspects: List | None = None,
         **account: Any) -> TwilioHook:  # fmt: skip
    settings = CHANNELS[channel].settings.model_validate({**ACCOUNT, **account})
    made = CHANNELS[channel].build({"main": settings}, wiring(folder, public_url=base, suspects=suspects))
    found = made.webhooks["main"]
    assert isinstance(found, TwilioHook)
    return found


@asynccontextmanager
async def mounted(
    folder: Path, intake: Intake, channel: str = "sms", *, suspects: List | None = None, **account: Any
) -> AsyncIterator[str]:
    """A hook on a server that knows by which address it is reached; yields that of messages."""
    bound = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{bound.getsockname()[1]}"
    made, below = hook(folder, channel, base=base, suspects=suspects, **account), f"/channels/{channel}/main"
    site = web.Application()
    site.add_routes(
        [web.RouteDef(one.method, below + one.path.rstrip("/"), one.handler, one.kwargs) for one in made.routes(intake)]
    )
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, bound).start()
        yield base + below
    finally:
        await runner.cleanup()
