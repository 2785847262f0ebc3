"""Fetching files from hosts that are good, slow, endless, lying, and elsewhere."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from channels.contract import FetchFailed
from channels.telegram import fetch as module
from channels.telegram.fetch import TelegramFetcher
from channels.telegram.settings import TelegramAccount
from gateway.demo.bot_api import BotApi, Fault
from gateway.demo.bot_api.files import Files
from tests.channels.telegram.bots import PATIENCE
from tests.telegram.standin import TOKEN, standin

MB = 1024 * 1024
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def fetcher(api_url: str, file_url: str = "") -> TelegramFetcher:
    account = TelegramAccount.model_validate({"token": TOKEN, "api_url": api_url, "file_url": file_url})
    numbers = count()
    return TelegramFetcher(account, TOKEN, unique=lambda: f"file-{next(numbers)}")


@asynccontextmanager
async def host(answer: Answer) -> AsyncIterator[str]:
    """A host for files that answers as the test says."""
    site = web.Application()
    site.router.add_get("/{path:.+}", answer)
    runner = web.AppRunner(site, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def telegram(content: bytes = b"", path: str = "", *, size: int | None = None) -> AsyncIterator[BotApi]:
    async with standin() as api:
        api.bot().part(Files).add("AgAC", content, path, size=size)
        yield api


async def failure(work: Awaitable[Any], folder: Path) -> FetchFailed:
    """How it fails; nothing is left behind, and no token is told."""
    with pytest.raises(FetchFailed) as caught:
        await asyncio.wait_for(work, PATIENCE)
    assert list(folder.iterdir()) == []
    assert TOKEN not in str(caught.value)
    return caught.value


async def test_a_file_comes_whole(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096 * 3
    async with telegram(content, "photos/file_1.jpg") as api:
        file = await fetcher(api.api_url).fetch("AgAC", 20 * MB, tmp_path)
    assert file.path.read_bytes() == content
    assert (file.size, file.sha256, file.spoken) == (len(content), hashlib.sha256(content).hexdigest(), False)
    assert file.content_type == "", "the type that Telegram says for every file is none"


@pytest.mark.parametrize("path", ["voice/file_2.oga", "video_notes/file_3.mp4"])
async def test_a_voice_message_is_known_by_its_place(path: str, tmp_path: Path) -> None:
    async with telegram(b"OggS", path) as api:
        assert (await fetcher(api.api_url).fetch("AgAC", MB, tmp_path)).spoken


async def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    async with telegram(b"") as api:
        assert (await fetcher(api.api_url).fetch("AgAC", MB, tmp_path)).size == 0


async def test_what_is_over_the_limit_is_not_fetched(tmp_path: Path) -> None:
    async with telegram(b"x", size=21 * MB) as api:
        refused = await failure(fetcher(api.api_url).fetch("AgAC", 30 * MB, tmp_path), tmp_path)
        assert (refused.permanent, refused.too_big) == (True, True)
    async with telegram(b"x" * 2000) as api:
        ours = await failure(fetcher(api.api_url).fetch("AgAC", 1000, tmp_path), tmp_path)
        assert (ours.permanent, ours.too_big) == (True, True)
        assert api.count("file") == 0


@pytest.mark.parametrize(
    ("fault", "permanent", "retry_after"),
    [
        (Fault(kind="too_many", retry_after=7, method="getFile"), False, 7.0),
        (Fault(kind="error", status=500, method="getFile"), False, None),
        (Fault(kind="error", status=401, description="Unauthorized", method="getFile"), False, None),
        (Fault(kind="error", status=400, description="Bad Request: invalid file_id", method="getFile"), True, None),
        (Fault(kind="html", method="getFile"), False, None),
        (Fault(kind="reset", method="getFile"), False, None),
        (Fault(kind="half", method="getFile"), False, None),
        (Fault(kind="error", status=404, method="file"), False, None),
        (Fault(kind="error", status=500, method="file"), False, None),
        (Fault(kind="half", method="file"), False, None),
    ],
    ids=lambda value: f"{value.kind}-{value.method}-{value.status}" if isinstance(value, Fault) else None,
)
async def test_every_trouble_says_whether_to_try_again(
    fault: Fault, permanent: bool, retry_after: float | None, tmp_path: Path
) -> None:
    async with telegram(b"content" * 1000) as api:
        api.plan(fault)
        found = await failure(fetcher(api.api_url).fetch("AgAC", MB, tmp_path), tmp_path)
        assert (found.permanent, found.too_big, found.retry_after) == (permanent, False, retry_after)
        assert (await fetcher(api.api_url).fetch("AgAC", MB, tmp_path)).size == 7000


async def test_a_file_that_is_unknown_may_be_there_later(tmp_path: Path) -> None:
    async with telegram() as api:
        assert not (await failure(fetcher(api.api_url).fetch("nobody", MB, tmp_path), tmp_path)).permanent


async def test_nobody_is_followed_elsewhere(tmp_path: Path) -> None:
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(body=b"content")

    async with host(elsewhere) as foreign:

        async def redirect(request: web.Request) -> web.StreamResponse:
            raise web.HTTPFound(f"{foreign}{request.path}")

        async with telegram(b"content") as api, host(redirect) as files:
            found = await failure(fetcher(api.api_url, files).fetch("AgAC", MB, tmp_path), tmp_path)
    assert "elsewhere" in str(found)
    assert asked == []


async def test_an_endless_file_ends_at_the_limit(tmp_path: Path) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        stream.enable_chunked_encoding()
        await stream.prepare(request)
        try:
            while True:
                await stream.write(b"x" * 65536)
        except (ConnectionError, asyncio.CancelledError):
            return stream

    async with telegram(b"x") as api, host(endless) as files:
        found = await failure(fetcher(api.api_url, files).fetch("AgAC", MB, tmp_path), tmp_path)
    assert (found.permanent, found.too_big) == (True, True)


async def test_a_length_over_the_limit_is_believed(tmp_path: Path) -> None:
    async def long(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        stream.content_length = 100 * MB
        await stream.prepare(request)
        return stream

    async with telegram(b"x") as api, host(long) as files:
        assert (await failure(fetcher(api.api_url, files).fetch("AgAC", MB, tmp_path), tmp_path)).too_big


async def test_a_file_that_is_shorter_than_was_said_is_tried_again(tmp_path: Path) -> None:
    async def short(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"half")

    async with telegram(b"the whole of it") as api, host(short) as files:
        found = await failure(fetcher(api.api_url, files).fetch("AgAC", MB, tmp_path), tmp_path)
    assert (found.permanent, str(found)) == (False, "4 bytes came of 15")


async def test_a_silent_host_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_SECONDS", 0.3)
    ended = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        stream.content_length = 15
        await stream.prepare(request)
        await stream.write(b"the")
        await ended.wait()
        return stream

    async with telegram(b"the whole of it") as api, host(silent) as files:
        found = await failure(fetcher(api.api_url, files).fetch("AgAC", MB, tmp_path), tmp_path)
        ended.set()
    assert not found.permanent


async def test_a_dripping_host_is_left_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_SECONDS", 0.5)
    monkeypatch.setattr(module, "SLOWEST", 100 * MB)

    async def dripping(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        stream.content_length = 1000
        await stream.prepare(request)
        try:
            for _ in range(1000):
                await stream.write(b"x")
                await asyncio.sleep(0.1)
        except (ConnectionError, asyncio.CancelledError):
            pass
        return stream

    async with telegram(b"x" * 1000) as api, host(dripping) as files:
        assert not (await failure(fetcher(api.api_url, files).fetch("AgAC", MB, tmp_path), tmp_path)).permanent


@pytest.mark.parametrize("path", ["../../etc/passwd", "a/../b", "/etc/passwd", "//host/x", "a?b=c", "a#b", "", "a\nb"])
async def test_a_path_that_leads_elsewhere_is_not_followed(path: str, tmp_path: Path) -> None:
    async with telegram(b"x", path or " \t") as api:
        assert not (await failure(fetcher(api.api_url).fetch("AgAC", MB, tmp_path), tmp_path)).permanent
        assert api.count("file") == 0


async def test_a_disk_that_is_full_is_our_trouble(tmp_path: Path) -> None:
    async with telegram(b"x") as api:
        with pytest.raises(OSError, match="No such file"):
            await fetcher(api.api_url).fetch("AgAC", MB, tmp_path / "gone")
