"""What listens: the HTTP socket, the channels' ports, and the file that says where."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from channels.contract import Listener, Replaced, Unavailable, Watched
from gateway.log import get_logger
from gateway.settings import Settings

Close: TypeAlias = Callable[[], Awaitable[None]]
Begin: TypeAlias = Callable[[Listener], Awaitable[Close]]
"""Starts a listener and returns what ends it. Raises OSError when a port is taken."""

log = get_logger(__name__)


class CannotListen(Exception):
    """A port is taken; the text says what to do."""


class Ports:
    """What listens, or reads at a far side: the HTTP socket and the channels' listeners."""

    def __init__(self, http: socket.socket, listeners: Sequence[Listener]) -> None:
        self.http = http
        self.listeners = list(listeners)
        self._begin: Begin | None = None
        self._started: list[tuple[Listener, Close]] = []

    def open(self) -> dict[str, str]:
        """Name -> "host:port" of every port that is open now."""
        found = {"http": shown(self.http)} if self.http.fileno() >= 0 else {}
        for listener in self.listeners:
            found |= listener.listening()
        return found

    async def start(self, begin: Begin) -> None:
        """Start every listener. Raises OSError when a port is taken; `stop` ends those that were started."""
        self._begin = begin
        for listener in self.listeners:
            await self._start(listener)

    async def stop(self) -> None:
        """Stop them, the last one first."""
        while self._started:
            _, end = self._started.pop()
            await end()

    def replace(self, fresh: Sequence[Listener]) -> Callable[[], Awaitable[None]] | None:
        """Take over the listeners of a new configuration that are not the same as before.

        Returns what stops the old ones and then starts the new ones, so that nobody reads a source twice at once.
        """
        old = {one.name: one for one in self.listeners if isinstance(one, Replaced)}
        new = {one.name: one for one in fresh if isinstance(one, Replaced)}
        kept = {name for name, one in old.items() if name in new and one.serves(new[name])}
        ended = [one for name, one in old.items() if name not in kept]
        begun = [one for name, one in new.items() if name not in kept]
        if not ended and not begun:
            return None
        self.listeners = [one for one in self.listeners if one not in ended]
        self.listeners += [one for one in begun if isinstance(one, Listener)]
        return partial(self._exchange, ended, begun)

    async def _exchange(self, ended: Sequence[Any], begun: Sequence[Any]) -> None:
        """One that does not end or begin as it should keeps no other from it. Raises ExceptionGroup at the end."""
        stopped = await asyncio.gather(*(self._stop(one) for one in ended), return_exceptions=True)
        started = await asyncio.gather(*(self._start(one) for one in begun), return_exceptions=True)
        failed = [one for one, result in zip(begun, started, strict=True) if result is not None]
        self.listeners = [one for one in self.listeners if one not in failed]  # the next reload begins them
        log.info("listeners replaced", ended=len(ended), begun=len(begun) - len(failed))
        if errors := [result for result in (*stopped, *started) if isinstance(result, Exception)]:
            raise ExceptionGroup("listeners", errors)

    async def _start(self, listener: Listener) -> None:
        assert self._begin is not None
        self._started.append((listener, await self._begin(listener)))

    async def _stop(self, listener: Listener) -> None:
        ends = [end for one, end in self._started if one is listener]
        self._started = [(one, end) for one, end in self._started if one is not listener]
        for end in ends:
            await end()


async def troubles(parts: Iterable[object]) -> dict[str, str]:
    """Cause -> why of every listener and sender in trouble; the gateway is ready without them."""
    found: dict[str, str] = {}
    for part in parts:
        if isinstance(part, Watched):
            # A database that cannot be read now is a trouble with a name of its own.
            with suppress(Unavailable):
                found |= await part.troubles()
    return found


def bind(settings: Settings) -> socket.socket:
    """The HTTP socket, bound before anything needs to know its address."""
    host, port = settings.http.host, settings.http.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise CannotListen(
            f"http: cannot listen on {host}:{port} ({error.strerror}); is another gateway running? --set http.port=0"
        ) from error
    return bound


def shown(bound: socket.socket) -> str:
    """ "host:port" of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def write_listening(path: Path, listening: Mapping[str, str]) -> None:
    """Write `var/listening.json` whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(dict(listening), indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
