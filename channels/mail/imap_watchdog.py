"""Ends what hangs: a call on a connection that is not over in time finds its socket shut.

The client library waits for ever in some places (the end of IDLE over a network that is cut). Timeouts
of the socket do not help against a server that drips; this does, because it looks at the whole call.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Watchdog:
    """Of one connection at a time. The time is the event loop's, the calls are another thread's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._socket: Callable[[], socket.socket] | None = None
        self._call = 0
        self._calls = 0
        self.bites = 0

    def watch(self, get: Callable[[], socket.socket] | None) -> None:
        """The connection whose socket is shut; None when there is none."""
        with self._lock:
            self._socket = get

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What runs inside has so many seconds, then the socket is shut."""
        with self._lock:
            self._calls += 1
            call = self._call = self._calls
        self._loop.call_soon_threadsafe(self._loop.call_later, seconds, self._bite, call)
        try:
            yield
        finally:
            with self._lock:
                self._call = 0

    def _bite(self, call: int) -> None:
        with self._lock:
            if call != self._call:
                return
            self.bites += 1
        self.shut()

    def shut(self) -> None:
        """Shut the socket now; whoever waits on it hears at once. From any thread."""
        with self._lock:
            get = self._socket
        if get is not None:
            # It may be closed already; then nobody waits on it.
            with suppress(OSError, AttributeError):
                socket.socket.shutdown(get(), socket.SHUT_RDWR)
