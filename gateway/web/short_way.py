"""The short way of a webhook's request: from the bytes to the journal and back, without request, task and response.

What the web framework does for a request takes longer than keeping it does. So the port is listened on here. A POST
that arrives whole and plain, and that its webhook takes at once (`channels.contract.AtOnce`), is answered when it is
committed. Whatever else comes, be it only unusual, is given with its connection to the framework from its first byte,
and so is a request that could not be committed: every error, doubt and page has one place, and it is not here.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from email.utils import format_datetime
from functools import partial
from time import perf_counter
from typing import NamedTuple, cast

from aiohttp import web

from channels.contract import AtOnce
from gateway import log
from gateway.web.application import SHUTDOWN
from gateway.web.hooks import BELOW, Key
from gateway.web.passage import EVERYBODY, STRICT, request_id
from gateway.web.plain import read
from gateway.web.proxies import believed, networks
from gateway.web.services import Services
from normalizer.message import RawMessage

QUIET = 1800.0
"""Seconds: who says nothing for so long, and at most twice as long, is hung up on."""
_FRESH = 1.0
"""Seconds that the head of an answer, which says the time, is used."""
_passed = log.get_logger("gateway.web.passage")
_level = logging.getLogger("gateway.web.passage")


class _Asked(NamedTuple):
    """A request that goes the short way."""

    raw: RawMessage
    route: str
    id: str
    secure: bool
    """The client used https."""


class _Connection(asyncio.Protocol):
    """One connection, until it is given away."""

    __slots__ = ("_door", "_full", "_held", "_trusted", "_under_way", "quiet", "transport")

    def __init__(self, door: _Door) -> None:
        self._door = door
        self.transport: asyncio.Transport | None = None
        """None before the connection is made, and when it is lost or given away."""
        self.quiet = 0
        """Looks since the last request."""
        self._trusted = False
        """A proxy of ours is at the other end."""
        self._under_way = b""
        """The request whose commit is waited for."""
        self._held = b""
        """What came meanwhile."""
        self._full = False
        """The other side does not read its answers."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Watch it, as the framework does with its own, for an other side that dies silently."""
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._trusted = self._door.trusts(str(peer[0]) if isinstance(peer, tuple) else "")
        if (sock := transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._door.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """A commit that is under way goes on, and the far side repeats."""
        self.transport = None
        self._door.gone(self)

    def data_received(self, data: bytes) -> None:
        """A request, or more of the next one than the other side should send before it has its answer."""
        if self._under_way:
            self._held += data
            self._flow()
        else:
            self._begin(data)

    def pause_writing(self) -> None:
        """Take in no more than is answered."""
        self._full = True
        self._flow()

    def resume_writing(self) -> None:
        """Go on."""
        self._full = False
        self._flow()

    def close(self) -> None:
        """Close it, after the answer that is under way."""
        if self.transport is not None and not self._under_way:
            self.transport.close()

    def _flow(self) -> None:
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if self._full or self._held:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def _begin(self, data: bytes) -> None:
        asked = self._door.asked(data, self._trusted)
        if asked is None:
            self._give_away(data)
            return
        self._under_way, self.quiet = data, 0
        self._door.begin(asked.raw, partial(self._told, asked, perf_counter()))

    def _told(self, asked: _Asked, begun: float, error: BaseException | None) -> None:
        request, self._under_way = self._under_way, b""
        if error is None:
            self._door.count(asked, perf_counter() - begun)
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if error is not None:
            self._give_away(request + self._held)
            return
        transport.write(self._door.answer(asked))
        if self._door.closing:
            transport.close()
        elif self._held:
            held, self._held = self._held, b""
            self._flow()
            self._begin(held)

    def _give_away(self, data: bytes) -> None:
        """To the framework, which begins with `data`; at the end to nobody, and without an answer."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if self._door.closing:
            transport.close()
            return
        self.transport, self._held = None, b""
        self._door.gone(self)
        protocol = self._door.framework()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()
        protocol.data_received(data)


class _Door:
    """What the connections share."""

    def __init__(self, services: Services, framework: Callable[[], asyncio.Protocol]) -> None:
        self.framework = framework
        self.closing = False
        self.connections: set[_Connection] = set()
        self.empty = asyncio.Event()
        self._services = services
        self._networks = networks(services.ctx.settings.http.trusted_proxies)
        self._chance = random.Random(services.new_secret())
        self._of: Mapping[Key, object] | None = None
        self._hooks: dict[bytes, tuple[AtOnce, str]] = {}
        self._heads: dict[bool, bytes] = {}
        self._stale_at = 0.0
        self._loop = asyncio.get_running_loop()

    def trusts(self, peer: str) -> bool:
        """Is it a proxy of ours?"""
        return believed(peer, self._networks)

    def opened(self, connection: _Connection) -> None:
        """One more; it is hung up on when it was let in at the last moment."""
        if self.closing:
            connection.close()
        else:
            self.connections.add(connection)

    def gone(self, connection: _Connection) -> None:
        """It was lost or given away."""
        self.connections.discard(connection)
        if self.closing and not self.connections:
            self.empty.set()

    def asked(self, data: bytes, trusted: bool) -> _Asked | None:
        """The request that `data` is; None: the framework has to look at it."""
        plain = read(data)
        named = None if plain is None else self._table().get(plain.path)
        if plain is None or named is None or self.closing:
            return None
        _, headers, body = plain
        hook, route = named
        try:
            raw = hook.at_once(headers, body)
        except Exception:  # noqa: BLE001 - the route meets it again, answers and logs it
            return None
        if raw is None:
            return None
        said = headers.get("x-request-id", "") if trusted else ""
        secure = trusted and headers.get("x-forwarded-proto", "").lower() == "https"
        return _Asked(raw, route, request_id(said, self._chance), secure)

    def begin(self, raw: RawMessage, told: Callable[[BaseException | None], None]) -> None:
        """Commit it."""
        assert self._services.begin is not None
        self._services.begin(raw, told)

    def answer(self, asked: _Asked) -> bytes:
        """200 and nothing more, with the headers of every answer."""
        if self._loop.time() >= self._stale_at:
            self._stale_at = self._loop.time() + _FRESH
            date = format_datetime(self._services.clock(), usegmt=True)
            self._heads = {secure: _head(date, secure=secure) for secure in (False, True)}
        return b"%bX-Request-Id: %b\r\n\r\n" % (self._heads[asked.secure], asked.id.encode())

    def count(self, asked: _Asked, seconds: float) -> None:
        """As the framework's requests are."""
        self._services.metrics.request(asked.route, "POST", 200, seconds)
        if _level.isEnabledFor(logging.DEBUG):
            ms = round(seconds * 1000, 1)
            _passed.debug("request", request=asked.id, method="POST", route=asked.route, status=200, ms=ms)

    def _table(self) -> Mapping[bytes, tuple[AtOnce, str]]:
        """Path -> who takes it at once; a reload replaces the webhooks."""
        if self._of is not self._services.webhooks:
            self._of = self._services.webhooks
            self._hooks = {}
            for (channel, account), hook in self._services.webhooks.items():
                if isinstance(hook, AtOnce) and self._services.begin is not None:
                    path = f"{BELOW}/{channel}/{account}"
                    self._hooks[path.encode()] = hook, path
        return self._hooks


def _head(date: str, *, secure: bool) -> bytes:
    headers = {str(name): value for name, value in EVERYBODY.items()} | {"Content-Length": "0", "Date": date}
    if secure:
        headers |= STRICT
    return "\r\n".join(["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in headers.items()), ""]).encode()


class ShortWay(web.BaseSite):
    """A port of the site; what does not go the short way goes to the runner's application."""

    def __init__(self, runner: web.AppRunner, services: Services, port: socket.socket, *, quiet: float = QUIET) -> None:
        """`port` is bound."""
        super().__init__(runner)
        assert runner.server is not None
        self._door = _Door(services, runner.server)
        self._port, self._quiet = port, quiet
        self._looking: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        """Where it listens."""
        host, port = self._port.getsockname()[:2]
        return f"http://{host}:{port}"

    @property
    def connections(self) -> Collection[_Connection]:
        """Those that were not given away."""
        return self._door.connections

    async def start(self) -> None:
        """Listen."""
        await super().start()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self._door), sock=self._port, backlog=self._backlog)
        self._look()

    async def stop(self) -> None:
        """Let nobody more in, answer what is under way, close every connection."""
        await super().stop()
        if self._looking is not None:
            self._looking.cancel()
        door = self._door
        door.closing = True
        if not door.connections:
            return
        for connection in [*door.connections]:
            connection.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN):
                await door.empty.wait()
        for connection in door.connections:
            if connection.transport is not None:
                connection.transport.abort()

    def _look(self) -> None:
        """Hang up on those who say nothing."""
        for connection in [*self._door.connections]:
            connection.quiet += 1
            if connection.quiet > 1:
                connection.close()
        self._looking = asyncio.get_running_loop().call_later(self._quiet, self._look)
