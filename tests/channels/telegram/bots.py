"""What the tests of the Telegram channel share: an intake that remembers, a hook on a real server, a quick poller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from channels.contract import Accepted, Cursor, Unavailable, Unverified
from channels.rounds import Pace
from channels.telegram.polling import CURSOR, Poller
from channels.telegram.settings import TelegramAccount
from channels.telegram.webhook import BotName, TelegramHook
from normalizer.message import InlineBody, RawMessage, SpooledBody
from tests.telegram.standin import SECRET, TOKEN

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
PATIENCE = 60.0
"""Seconds for what comes soon unless the machine stands still."""
QUICK = Pace(first=0.02, longest=0.05, hopeless=0.05)


@dataclass
class Time:
    """A clock that stands until it is moved."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Journal:
    """An intake that keeps what it gets as the real one does: repeats are known, the cursor goes with its updates.

    It is a `Ledger` as far as cursors go.
    """

    kept: dict[tuple[str, str], bytes] = field(default_factory=dict)
    raws: list[RawMessage] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    """How many updates each commit held."""
    cursors: dict[tuple[str, str, str], str] = field(default_factory=dict)
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
        self.calls.append(len(raws))
        accepted = []
        for raw in raws:
            key = (raw.external_id, raw.fingerprint)
            accepted.append(Accepted(entry=1, duplicate=key in self.kept))
            self.kept.setdefault(key, content(raw))
        if cursor is not None:
            self.cursors[(cursor.channel, cursor.account, cursor.name)] = cursor.value
        self.news.set()
        return accepted

    async def cursor(self, channel: str, account: str, name: str) -> str | None:
        return self.cursors.get((channel, account, name))

    @property
    def reached(self) -> str | None:
        return self.cursors.get(("telegram", "main", CURSOR))

    async def until(self, count: int) -> None:
        """Wait for so many different updates."""
        try:
            async with asyncio.timeout(PATIENCE):
                while len(self.kept) < count:
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            raise AssertionError(f"{len(self.kept)} updates of {count} came: {list(self.kept)}") from None


def content(raw: RawMessage) -> bytes:
    match raw.body:
        case InlineBody(content=inline):
            return inline
        case SpooledBody(path=path):
            return path.read_bytes()


@dataclass
class List:
    """Where requests go that are not believed."""

    requests: list[Unverified] = field(default_factory=list)
    failing: bool = False

    async def __call__(self, channel: str, account: str, request: Unverified, /) -> None:
        assert (channel, account) == ("telegram", "main")
        if self.failing:
            raise Unavailable("locked")
        self.requests.append(request)


def account(**more: Any) -> TelegramAccount:
    return TelegramAccount.model_validate({"token": TOKEN, "secret": SECRET, **more})


def hook(spool: Path, *, suspects: List | None = None, secret: str = SECRET) -> TelegramHook:
    return TelegramHook(
        "main", account(mode="webhook"), secret, clock=lambda: NOW, spool=spool, unique=lambda: "1",
        suspects=suspects, bot=BotName("desk_bot"),
    )  # fmt: skip


@asynccontextmanager
async def mounted(made: TelegramHook, intake: Journal) -> AsyncIterator[str]:
    """The hook on a server; yields its address."""
    site = web.Application()
    site.add_routes([web.RouteDef(one.method, "/hook", one.handler, one.kwargs) for one in made.routes(intake)])
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


def poller(api_url: str, spool: Path, journal: Journal, **more: Any) -> Poller:
    settings = account(api_url=api_url, poll=more.pop("poll", "50s"))
    given = {"clock": lambda: NOW, "ledger": journal, "unique": lambda: "1", "chance": lambda: 0.5, "pace": QUICK}
    return Poller("main", settings, TOKEN, spool=spool, **{**given, **more})


@asynccontextmanager
async def polled(api_url: str, spool: Path, journal: Journal, **more: Any) -> AsyncIterator[Poller]:
    """A running poller."""
    made = poller(api_url, spool, journal, **more)
    await made.start(journal)
    try:
        yield made
    finally:
        await made.stop()
