"""A client that dribbles a body is cut; one that is slow within the time, or waits for us, is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from channels.contract import Accepted, Cursor, Intake, own_time
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from normalizer.message import RawMessage
from tests.gateway.conftest import FrozenClock
from tests.gateway.staffed import Site, desk_context, served
from tests.services.later import later

PATIENCE = 900.0
"""Seconds, some of which pass in no time: the loop's clock is put forward."""


class Hooks:
    """A webhook that reads all, one that works after the body, one that reads nothing, one with its own time."""

    def __init__(self) -> None:
        self.unread: list[str] = []

    def routes(self, intake: Intake) -> Sequence[web.RouteDef]:
        async def read(request: web.Request) -> web.Response:
            try:
                return web.Response(text=str(len(await request.read())))
            except TimeoutError:
                self.unread.append(request.path)
                raise

        async def work(request: web.Request) -> web.Response:
            size = len(await request.read())
            later(300)  # longer than any limit here
            await asyncio.sleep(0.01)
            return web.Response(text=str(size))

        async def ignore(_request: web.Request) -> web.Response:
            return web.Response(text="no body wanted")

        return [
            web.post("/read", read), web.post("/work", work), web.post("/ignore", ignore),
            web.post("/patient", own_time(work)),
        ]  # fmt: skip


async def _intake(raws: Sequence[RawMessage], cursor: Cursor | None = None, /) -> Sequence[Accepted]:
    return ()


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


@pytest.fixture
def body_time() -> str:
    """The limit of the site; what must be within it has a longer one."""
    return "1s"


@pytest.fixture
async def site(
    db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path, hooks: Hooks, body_time: str
) -> AsyncIterator[Site]:
    ctx = desk_context(http={"body_time": body_time})
    webhooks = {("mail", "support"): hooks}
    async with served(db, blobs, clock, tmp_path, ctx, webhooks=webhooks, intake=_intake) as running:
        yield running


async def post(
    site: Site, path: str, *, chunked: bool = False, pieces: int = 1000, pause: float = 0.05, whole: bytes = b""
) -> bytes:
    """Send a body of 1000 bytes byte by byte, at most so many, or a whole one; what comes back until the end."""
    where = urlsplit(site.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        size = len(whole) or min(pieces, 1000)
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        head = f"POST {path} HTTP/1.1\r\nHost: desk\r\nConnection: close\r\n{length}\r\n\r\n"
        writer.write(head.encode() + whole)
        answer = asyncio.create_task(_until_the_end(reader))
        for _ in range(pieces):
            done, _ = await asyncio.wait({answer}, timeout=pause)
            if done:
                break
            writer.write(b"1\r\nx\r\n" if chunked else b"x")
        return await asyncio.wait_for(answer, PATIENCE)
    finally:
        writer.close()


async def _until_the_end(reader: asyncio.StreamReader) -> bytes:
    found = b""
    # A client that goes on sending may find the connection reset instead of the answer (RFC 9112 section 9.6).
    with suppress(ConnectionResetError):
        while piece := await reader.read(65536):
            found += piece
    return found


@pytest.mark.sqlite  # about connections of clients, not about a database
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_dribbled_body_is_cut_and_the_connection_closed(site: Site, hooks: Hooks, chunked: bool) -> None:
    answer = await post(site, "/channels/mail/support/read", chunked=chunked)
    assert not answer or (answer.startswith(b"HTTP/1.1 408 ") and b"did not arrive in time" in answer)
    assert hooks.unread == ["/channels/mail/support/read"]
    fine = await post(site, "/channels/mail/support/read", pieces=0, whole=b"abc")
    assert fine.startswith(b"HTTP/1.1 200 ") and fine.endswith(b"3")


@pytest.mark.sqlite  # about connections of clients, not about a database
async def test_the_api_is_cut_as_well(site: Site) -> None:
    token = await site.token()
    where = urlsplit(site.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    head = f"POST /api/v1/reload HTTP/1.1\r\nHost: desk\r\nAuthorization: Bearer {token}\r\nContent-Length: 9\r\n\r\n{{"
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ") and b"application/problem+json" in answer


@pytest.mark.sqlite  # about connections of clients, not about a database
async def test_who_reads_no_body_holds_no_connection_for_it(site: Site) -> None:
    assert (await post(site, "/channels/mail/support/ignore", pieces=30)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.sqlite  # about connections of clients, not about a database
@pytest.mark.parametrize("body_time", ["2m"])
@pytest.mark.parametrize("path", ["/channels/mail/support/work", "/channels/mail/support/read"])
async def test_within_the_time_nothing_is_cut_however_long_we_work(site: Site, path: str) -> None:
    answer = await post(site, path, pieces=5, pause=0.01)
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"5")


@pytest.mark.sqlite  # about connections of clients, not about a database
async def test_a_handler_with_a_time_of_its_own_is_left_alone(site: Site) -> None:
    answer = await post(site, "/channels/mail/support/patient", pieces=30, pause=0.05)
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"30")
