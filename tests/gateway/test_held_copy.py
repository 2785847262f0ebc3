"""A held copy of a desk goes to no far side: it reads nothing there, fetches nothing and registers nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import json
import pkgutil
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

import channels
from channels.telegram.webhook import HEADER
from gateway.store import media
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from tests.gateway.conftest import FrozenClock
from tests.gateway.fetching_desk import FetchingDesk, photo
from tests.gateway.filing_desk import context
from tests.gateway.held_desk import api, mail, put_hold
from tests.mailboxes.desk import running

TOKEN, OTHER = "123456:" + "A" * 35, "654321:" + "B" * 35
SECRET = "a-secret-of-no-worth"
SID = "AC" + "0123456789abcdef" * 2
PHOTO = {
    "update_id": 7,
    "message": {
        "message_id": 3, "from": {"id": 5, "is_bot": False, "first_name": "Anna"},
        "chat": {"id": 5, "type": "private", "first_name": "Anna"}, "caption": "The roof leaks into the server room",
        "photo": [{"file_id": "roof", "file_unique_id": "u", "width": 9, "height": 9, "file_size": 4}],
    },
}  # fmt: skip


@dataclass
class FarSide:
    """Hears who comes and what is asked for first, and answers nothing of use."""

    speaks_first: bool
    """Whoever comes waits for a greeting, and gets none."""
    port: int = 0
    asked: list[str] = field(default_factory=list)
    visits: set[asyncio.Task[None]] = field(default_factory=set)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = asyncio.current_task()
        assert visit is not None
        self.visits.add(visit)
        number = len(self.asked)
        self.asked.append("")
        try:
            if not self.speaks_first:
                self.asked[number] = (await reader.readline()).decode("latin-1").strip()
                writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass  # they went, or the test is over
        finally:
            writer.close()
            self.visits.discard(visit)

    def heard(self, words: str) -> bool:
        return any(re.search(words, line) for line in self.asked)


@asynccontextmanager
async def far_side(*, speaks_first: bool = False) -> AsyncIterator[FarSide]:
    one = FarSide(speaks_first=speaks_first)
    server = await asyncio.start_server(one.connected, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        visits = list(one.visits)
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)


def settings(far: dict[str, FarSide]) -> tuple[str, ...]:
    """A desk with everything that goes to far sides."""
    imap = {"host": "127.0.0.1", "port": far["imap"].port, "tls": "none", "user": "desk", "password": "env:IMAP"}
    bot = {"token": "env:BOT", "api_url": f"http://127.0.0.1:{far['polled'].port}", "outbound": "capture"}
    hooked = {
        "token": "env:OTHER_BOT", "secret": "env:HOOK", "mode": "webhook", "outbound": "capture",
        "api_url": f"http://127.0.0.1:{far['hooked'].port}",
    }  # fmt: skip
    texts = {
        "account_sid": SID, "auth_token": "env:TWILIO", "numbers": ["+380440000001"], "outbound": "capture",
        "api_url": f"http://127.0.0.1:{far['sms'].port}",
    }  # fmt: skip
    store = {"kind": "rt", "url": f"http://127.0.0.1:{far['store'].port}", "token": "env:RT", "user": "gateway"}
    return (
        "smtp.port=0", "http.port=0", "workers.count=1", f"channels.mail.support.imap={json.dumps(imap)}",
        f"channels.telegram={json.dumps({'polled': bot, 'hooked': hooked})}", f"channels.sms.main={json.dumps(texts)}",
        f"feeds.rt={json.dumps(store)}",
    )  # fmt: skip


CAME = {
    "imap": "",
    "polled": "getMe",
    "hooked": "getMe|getWebhookInfo",
    "sms": r"GET /2010-04-01/Accounts/AC\w+/Messages",
    "store": r"(GET|POST) /REST/2\.0/",
}
"""Far side -> what it is asked for by a desk that is not held."""


async def send_photo(address: str) -> None:
    """Telegram brings a message with a file to our webhook."""
    message = {**PHOTO["message"], "date": int(time.time())}  # type: ignore[dict-item]
    async with aiohttp.ClientSession() as http:
        url = f"http://{address}/channels/telegram/hooked"
        async with http.post(url, json={**PHOTO, "message": message}, headers={HEADER: SECRET}) as answer:
            assert answer.status == 200


@pytest.mark.timeout(600)
async def test_a_held_copy_goes_to_no_far_side_until_it_is_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {"IMAP": "x", "BOT": TOKEN, "OTHER_BOT": OTHER, "HOOK": SECRET, "TWILIO": "t", "RT": "1-14-abc"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    var = tmp_path / "var"
    var.mkdir()
    await put_hold(var)
    async with contextlib.AsyncExitStack() as stack:
        far = {name: await stack.enter_async_context(far_side(speaks_first=name == "imap")) for name in CAME}
        gateway = await stack.enter_async_context(running(var, settings(far)))
        # What comes to this desk is taken in and filed.
        await asyncio.to_thread(mail, gateway.listening["smtp"])
        await send_photo(gateway.listening["http"])
        await gateway.tickets(2)
        await gateway.until(lambda: gateway.store.one("SELECT count(*) FROM media"), "the file that is waited for")
        outbox = (await api(gateway, var, "GET", "/status"))["outbox"]
        assert outbox["held_sources"] and outbox["held_why"] == "restored"
        await asyncio.to_thread(mail, gateway.listening["smtp"], "Another printer")
        await gateway.tickets(3)
        # All of them go to their far side at once where they may, so they would have done it by now.
        assert {name: one.asked for name, one in far.items() if one.asked} == {}

        await api(gateway, var, "POST", "/outbox/release", {})
        for name, words in CAME.items():
            await gateway.until(lambda name=name, words=words: far[name].heard(words), f"somebody at {name}")  # type: ignore[misc]
        await gateway.until(lambda: far["hooked"].heard("getFile"), "the file is asked for")
        assert not (await api(gateway, var, "GET", "/status"))["outbox"]["held_sources"]


async def test_a_hold_by_hand_keeps_nobody_from_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT", TOKEN)
    var = tmp_path / "var"
    async with far_side() as bot:
        account = {"token": "env:BOT", "api_url": f"http://127.0.0.1:{bot.port}"}
        told = ("smtp.port=0", "http.port=0", f"channels.telegram.main={json.dumps(account)}", "workers.count=1")
        async with running(var, told) as gateway:
            await api(gateway, var, "POST", "/outbox/hold", {"why": "by hand"})
        bot.asked.clear()
        async with running(var, told) as gateway:
            await gateway.until(lambda: bot.heard("getMe"), "the poll")
            outbox = (await api(gateway, var, "GET", "/status"))["outbox"]
            assert outbox["held_since"] is not None and not outbox["held_sources"]


def test_whatever_one_node_at_a_time_reads_a_held_copy_leaves_alone() -> None:
    classes = [
        one
        for found in pkgutil.walk_packages(channels.__path__, "channels.")
        for _, one in inspect.getmembers(importlib.import_module(found.name), inspect.isclass)
        if one.__module__ == found.name and hasattr(one, "listening") and not getattr(one, "_is_protocol", False)
    ]
    alone = {one.__name__ for one in classes if hasattr(one, "lease")}
    assert {"ImapListener", "Poller", "Reconciler"} <= alone
    assert alone <= {one.__name__ for one in classes if hasattr(one, "reaches")}


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path) -> FetchingDesk:
    return FetchingDesk(db, blobs, clock, context(), tmp_path)


async def test_what_was_not_fetched_while_it_was_held_is_not_given_up(desk: FetchingDesk, clock: FrozenClock) -> None:
    desk.loop.held = lambda: True
    await desk.with_files(photo())
    clock.forward(timedelta(days=30))
    assert await desk.loop.claim() == 0
    assert [file.state for file in await desk.files()] == ["pending"]
    # As the release does.
    assert await desk.db.write(lambda conn: media.begin_anew(conn, clock())) == 1
    desk.loop.held = lambda: False
    await desk.once()
    assert [file.state for file in await desk.files()] == ["here"]
