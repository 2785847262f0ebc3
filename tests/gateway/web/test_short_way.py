"""The short way of a webhook: what goes it is answered as on the long one, after the commit; all else goes the long."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiohttp import web
from sqlalchemy import select

from channels.contract import Intake, Unavailable
from channels.telegram.webhook import HEADER, TelegramHook
from gateway.metrics import Metrics
from gateway.pipeline import Pipeline
from gateway.store import schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database, open_database
from gateway.web.application import open_site
from gateway.web.services import Services
from gateway.web.short_way import ShortWay
from gateway.workers import Limits, WorkerPool
from normalizer.message import RawMessage
from tests.channels.telegram.bots import List, hook
from tests.gateway.conftest import FrozenClock
from tests.gateway.staffed import desk_context
from tests.telegram.standin import SECRET

PATIENCE = 90.0
PATH = "/channels/telegram/main"
UPDATE = b'{"update_id": 7, "message": {"message_id": 1, "date": 1, "chat": {"id": 5}, "text": "hello"}}'


def request(body: bytes = UPDATE, *, path: str = PATH, secret: str = SECRET, more: str = "") -> bytes:
    """As Telegram sends it."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: desk.example\r\n{HEADER}: {secret}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    ).encode() + body


@dataclass
class Strange:
    """A webhook whose messages say by their body what goes wrong with them."""

    good: TelegramHook
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there are as many as are wanted."""
    wanted: int = 6

    def routes(self, intake: Intake) -> Sequence[web.RouteDef]:
        async def take(request: web.Request) -> web.Response:
            await intake([self._made(await request.read())])
            return web.Response()

        return [web.post("/", take)]

    def at_once(self, headers: dict[str, str], body: bytes) -> RawMessage | None:
        self.wanted -= 1
        if not self.wanted:
            self.begun.set()
        return self._made(body)

    def _made(self, body: bytes) -> RawMessage:
        if body == b"not even a message":
            raise ValueError("nobody can read this")
        made = self.good.at_once({HEADER.lower(): SECRET}, body)
        assert made is not None
        return replace(made, facts={"no": object()}) if body == b"no row" else made  # type: ignore[dict-item]


@dataclass
class Desk:
    """A site with a bot's webhook on two ports: one with the short way, and one without."""

    db: Database
    services: Services
    runner: web.AppRunner
    way: ShortWay
    port: int
    long_port: int
    suspects: List
    held: threading.Event = field(default_factory=threading.Event)
    """Set while no COMMIT may go on."""
    go: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)

    @property
    def long(self) -> int:
        """Requests that the framework has seen."""
        assert self.runner.server is not None
        return self.runner.server.requests_count

    async def entries(self) -> list[bytes]:
        """The bytes of every journal row, in order."""
        wanted = select(schema.raw.c.content).order_by(schema.raw.c.entry_id)
        return await self.db.read(lambda conn: [bytes(row[0]) for row in conn.execute(wanted)])

    async def say(self, *pieces: bytes, port: int = 0) -> Answer:
        """One answer to these bytes, on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port)
        try:
            first, *others = pieces
            writer.write(first)
            for piece in others:
                await self._read()
                writer.write(piece)
            return await answer(reader)
        finally:
            writer.close()

    async def _read(self) -> None:
        """Until the framework has a connection: it has read what came first then."""
        assert self.runner.server is not None
        async with asyncio.timeout(PATIENCE):
            while not self.runner.server.connections:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Answer:
    status: bytes
    headers: dict[bytes, bytes]
    body: bytes


async def answer(reader: asyncio.StreamReader) -> Answer:
    async with asyncio.timeout(PATIENCE):
        head = await reader.readuntil(b"\r\n\r\n")
        status, *lines = head[:-4].split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines)
        return Answer(status, headers, await reader.readexactly(int(headers[b"Content-Length"])))


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side hangs up."""
    async with asyncio.timeout(PATIENCE):
        with suppress(ConnectionResetError):
            return await reader.read()
    return b""


@asynccontextmanager
async def opened(
    url: str, blobs: Blobs, clock: FrozenClock, folder: Path, *, quiet: float = 600.0, proxies: Sequence[str] = ()
) -> AsyncIterator[Desk]:
    held, go, reached = threading.Event(), threading.Event(), threading.Event()

    def failpoint(name: str) -> None:
        if name == "before-commit" and held.is_set():
            reached.set()
            assert go.wait(2 * PATIENCE)

    db = open_database(url, readers=1, failpoint=failpoint)
    ctx = desk_context(http={"trusted_proxies": list(proxies)})
    idle = WorkerPool(count=1, limits=Limits(seconds=1, memory=1 << 30), blobs=folder, policy=ctx.policy)
    metrics, suspects = Metrics(), List()
    pipeline = Pipeline(db=db, blobs=blobs, pool=idle, ctx=ctx, clock=clock, metrics=metrics)
    services = Services(
        ctx=ctx, db=db, blobs=blobs, clock=clock, metrics=metrics, intake=pipeline.accept, begin=pipeline.begin,
        webhooks={("telegram", "main"): hook(folder, suspects=suspects)},
    )  # fmt: skip
    runner = await open_site(services)
    ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    try:
        way = ShortWay(runner, services, ports[0], quiet=quiet)
        await way.start()
        await web.SockSite(runner, ports[1]).start()
        numbers = [port.getsockname()[1] for port in ports]
        yield Desk(db, services, runner, way, *numbers, suspects, held, go, reached)
    finally:
        go.set()
        await runner.cleanup()
        await db.close()
        for port in ports:
            port.close()


@pytest.fixture
async def desk(db_url: str, blobs: Blobs, clock: FrozenClock, tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(db_url, blobs, clock, tmp_path) as running:
        yield running


async def test_an_update_is_answered_after_its_commit_and_the_framework_sees_nothing_of_it(desk: Desk) -> None:
    desk.held.set()
    said = asyncio.create_task(desk.say(request()))
    assert await asyncio.to_thread(desk.reached.wait, PATIENCE)
    assert await desk.entries() == []
    done, _ = await asyncio.wait({said}, timeout=0.2)
    assert not done
    desk.go.set()
    assert (await said).status == b"HTTP/1.1 200 OK"
    assert await desk.entries() == [UPDATE]
    assert desk.long == 0


async def test_the_answer_is_that_of_the_long_way_and_counted_as_such(desk: Desk) -> None:
    short, long = await desk.say(request()), await desk.say(request(), port=desk.long_port)
    assert desk.long == 1
    assert (short.status, short.body, {*short.headers}) == (long.status, long.body, {*long.headers})
    changing = {b"X-Request-Id", b"Date"}
    assert {name: value for name, value in short.headers.items() if name not in changing} == {
        name: value for name, value in long.headers.items() if name not in changing
    }
    assert len(short.headers[b"X-Request-Id"]) == 16
    assert short.headers[b"Date"] == b"Mon, 02 Mar 2026 09:30:00 GMT"
    shown = desk.services.metrics.show({}).decode()
    assert f'gateway_http_requests_total{{method="POST",route="{PATH}",status="200"}} 2.0' in shown
    assert 'gateway_accepted_total{account="main",channel="telegram"} 1.0' in shown
    assert 'gateway_duplicates_total{account="main",channel="telegram"} 1.0' in shown


@pytest.mark.parametrize("proxies", [["127.0.0.1"], []])
async def test_only_a_proxy_of_ours_says_how_the_client_came_and_what_the_request_is_called(
    proxies: list[str], db_url: str, blobs: Blobs, clock: FrozenClock, tmp_path: Path
) -> None:
    told = request(more="X-Forwarded-Proto: https\r\nX-Request-Id: from-the-proxy\r\n")
    async with opened(db_url, blobs, clock, tmp_path, proxies=proxies) as desk:
        short, long = await desk.say(told), await desk.say(told, port=desk.long_port)
        assert desk.long == 1
        strict = b"Strict-Transport-Security"
        assert (short.headers.get(strict) is not None) is bool(proxies)
        assert short.headers.get(strict) == long.headers.get(strict)
        assert (short.headers[b"X-Request-Id"] == b"from-the-proxy") is bool(proxies)
        odd = await desk.say(request(more="X-Request-Id: no id\r\n"))
        assert len(odd.headers[b"X-Request-Id"]) == 16


UNUSUAL: dict[str, tuple[bytes, ...]] = {
    "chunked": (
        request().replace(f"Content-Length: {len(UPDATE)}".encode(), b"Transfer-Encoding: chunked").removesuffix(UPDATE)
        + b"%x\r\n%b\r\n0\r\n\r\n" % (len(UPDATE), UPDATE),
    ),
    "both lengths": (request(more="Transfer-Encoding: chunked\r\n"),),
    "two lengths": (request(more=f"Content-Length: {len(UPDATE) + 1}\r\n"),),
    "a length in words": (request().replace(f"Length: {len(UPDATE)}".encode(), b"Length: +92"),),
    "closing": (request(more="Connection: close\r\n"),),
    "expecting": (request(more="Expect: something\r\n"),),
    "an old version": (request().replace(b"HTTP/1.1", b"HTTP/1.0"),),
    "a query": (request(path=PATH + "?x=1"),),
    "an escaped path": (request(path=PATH.replace("main", "m%61in")),),
    "another path": (request(path="/channels/telegram/other"),),
    "another method": (request().replace(b"POST", b"PUT"),),
    "get": (f"GET {PATH} HTTP/1.1\r\nHost: desk.example\r\n\r\n".encode(),),
    "another page": (b"GET /healthz HTTP/1.1\r\nHost: desk.example\r\n\r\n",),
    "no host": (request().replace(b"Host: desk.example\r\n", b""),),
    "a wrong secret": (request(secret="wrong"),),
    "no secret": (request().replace(HEADER.encode(), b"X-Other"),),
    "a secret twice": (request(more=f"{HEADER}: other\r\n"),),
    "no space behind the colon": (request(more="X-Odd:value\r\n"),),
    "an odd name": (request(more="X_Odd: value\r\n"),),
    "a folded line": (request(more="X-Odd: value\r\n folded\r\n"),),
    "a bare line feed": (request(more="X-Odd: value\nX-Other: value\r\n"),),
    "no ASCII": (request(more="X-Odd: дом\r\n"),),
    "nothing sensible": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",),
    "a big body": (request(b'{"update_id": 8, "x": "%b"}' % (b"x" * 300_000)),),
    "in two pieces": (request()[:-20], request()[-20:]),
    "in the middle of the head": (request()[:30], request()[30:]),
}


@pytest.mark.parametrize("pieces", UNUSUAL.values(), ids=UNUSUAL)
async def test_whatever_is_unusual_goes_the_long_way_and_is_answered_as_there(
    pieces: tuple[bytes, ...], desk: Desk
) -> None:
    short = await desk.say(*pieces)
    kept, doubted, seen = await desk.entries(), len(desk.suspects.requests), desk.long
    long = await desk.say(*pieces, port=desk.long_port)
    assert (short.status, {*short.headers}) == (long.status, {*long.headers})
    assert (seen, desk.long) == (1, 2)
    assert (await desk.entries(), 2 * doubted) == (kept, len(desk.suspects.requests))


async def test_requests_of_a_kept_connection_are_answered_in_their_order(desk: Desk) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
    try:
        for number in range(3):
            writer.write(request(UPDATE.replace(b"7", b"%d" % number)))
            assert (await answer(reader)).status == b"HTTP/1.1 200 OK"
        desk.held.set()
        writer.write(request(UPDATE.replace(b"7", b"30")))
        assert await asyncio.to_thread(desk.reached.wait, PATIENCE)
        writer.write(request(UPDATE.replace(b"7", b"31")))  # before it has an answer to the last one
        assert desk.long == 0
        desk.go.set()
        assert [(await answer(reader)).status for _ in range(2)] == [b"HTTP/1.1 200 OK"] * 2
        writer.write(request(UPDATE.replace(b"7", b"32")) + request(UPDATE.replace(b"7", b"33")))
        assert [(await answer(reader)).status for _ in range(2)] == [b"HTTP/1.1 200 OK"] * 2
    finally:
        writer.close()
    assert await desk.entries() == [UPDATE.replace(b"7", b"%d" % number) for number in (0, 1, 2, 30, 31, 32, 33)]


async def test_who_is_gone_before_the_commit_has_said_it_all_the_same(desk: Desk) -> None:
    desk.held.set()
    _, writer = await asyncio.open_connection("127.0.0.1", desk.port)
    writer.write(request())
    assert await asyncio.to_thread(desk.reached.wait, PATIENCE)
    writer.transport.abort()
    desk.go.set()
    assert (await desk.say(request(UPDATE.replace(b"7", b"8")))).status == b"HTTP/1.1 200 OK"
    assert await desk.entries() == [UPDATE, UPDATE.replace(b"7", b"8")]


async def test_what_cannot_be_committed_is_answered_by_the_long_way(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[RawMessage] = []

    def begin(raw: RawMessage, told: Callable[[BaseException | None], None]) -> None:
        tries.append(raw)
        asyncio.get_running_loop().call_soon(told, Unavailable("full"))

    usual = desk.services.begin
    desk.services.begin = begin
    assert (await desk.say(request())).status == b"HTTP/1.1 200 OK"  # by then there was room again
    assert (len(tries), desk.long) == (1, 1)
    await desk.db.close()
    desk.services.begin = usual
    refused = await desk.say(request(UPDATE.replace(b"7", b"8")))
    assert (refused.status, refused.headers[b"Retry-After"]) == (b"HTTP/1.1 503 Service Unavailable", b"5")


async def test_one_that_cannot_be_a_row_or_a_message_keeps_no_other_from_it(desk: Desk) -> None:
    strange = Strange(hook(Path()))
    desk.services.webhooks = {("telegram", "main"): strange}
    desk.held.set()
    bodies = [UPDATE.replace(b"7", b"%d" % number) for number in range(4)]
    first = asyncio.create_task(desk.say(request(b"{}")))
    assert await asyncio.to_thread(desk.reached.wait, PATIENCE)
    others = [asyncio.create_task(desk.say(request(body))) for body in [*bodies[:2], b"no row", *bodies[2:]]]
    await asyncio.wait_for(strange.begun.wait(), PATIENCE)
    desk.go.set()
    assert (await first).status == b"HTTP/1.1 200 OK"
    found = [(await one).status for one in others]
    assert found == [b"HTTP/1.1 200 OK"] * 2 + [b"HTTP/1.1 500 Internal Server Error"] + [b"HTTP/1.1 200 OK"] * 2
    assert (await desk.say(request(b"not even a message"))).status == b"HTTP/1.1 500 Internal Server Error"
    assert sorted(await desk.entries()) == sorted([b"{}", *bodies])


async def test_at_the_end_what_is_under_way_is_answered_and_everybody_hung_up_on(desk: Desk) -> None:
    idle, idle_writer = await asyncio.open_connection("127.0.0.1", desk.port)
    idle_writer.write(request(UPDATE.replace(b"7", b"8")))
    await answer(idle)
    desk.held.set()
    busy, busy_writer = await asyncio.open_connection("127.0.0.1", desk.port)
    busy_writer.write(request())
    assert await asyncio.to_thread(desk.reached.wait, PATIENCE)
    ending = asyncio.create_task(desk.way.stop())
    assert await ended(idle) == b""
    idle_writer.close()
    assert not ending.done()
    desk.go.set()
    assert (await answer(busy)).status == b"HTTP/1.1 200 OK"
    assert await ended(busy) == b""
    busy_writer.close()
    await asyncio.wait_for(ending, PATIENCE)


async def test_who_says_nothing_for_long_is_hung_up_on(
    db_url: str, blobs: Blobs, clock: FrozenClock, tmp_path: Path
) -> None:
    async with opened(db_url, blobs, clock, tmp_path, quiet=0.05) as desk:
        for said in (b"", request()):
            reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
            writer.write(said)
            assert (await ended(reader)).startswith(b"HTTP/1.1 200 OK" if said else b"")
            writer.close()
        assert desk.long == 0


async def test_who_does_not_read_answers_is_not_read_from(desk: Desk) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
    writer.write(request())
    await answer(reader)
    (connection,) = desk.way.connections
    assert connection.transport is not None
    connection.pause_writing()
    assert not connection.transport.is_reading()
    writer.write(request(UPDATE.replace(b"7", b"8")))
    assert (await desk.say(request(UPDATE.replace(b"7", b"9")))).status == b"HTTP/1.1 200 OK"
    connection.resume_writing()
    assert (await answer(reader)).status == b"HTTP/1.1 200 OK"
    writer.close()
    assert await desk.entries() == [UPDATE.replace(b"7", b"%d" % number) for number in (7, 9, 8)]


async def test_a_reload_takes_a_webhook_away(desk: Desk) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
    writer.write(request())
    assert (await answer(reader)).status == b"HTTP/1.1 200 OK"
    desk.services.webhooks = {}
    writer.write(request())
    assert (await answer(reader)).status == b"HTTP/1.1 404 Not Found"
    writer.close()


async def test_it_is_logged_for_looking_closer(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "gateway.web.passage")
    said = await desk.say(request())
    (line,) = [one.msg for one in caplog.records if isinstance(one.msg, dict) and one.msg["event"] == "request"]
    assert (line["request"].encode(), line["method"], line["route"], line["status"]) == (
        said.headers[b"X-Request-Id"], "POST", PATH, 200,
    )  # fmt: skip
