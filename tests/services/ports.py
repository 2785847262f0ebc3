"""Ports for servers that must know theirs before they start, or come back to it."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOWEST = 10_000
PATIENCE = 60.0
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port(host: str = "127.0.0.1") -> int:
    """An even port, as RTP wants it, that nobody uses now by TCP or UDP.

    The kernel gives it to nobody who asks for any: it takes those from a range above (ip(7)), so that this one is
    still free when its server starts, or starts again.
    """
    below = max(int(_RANGE.read_text(encoding="ascii").split()[0]), LOWEST + 10_000)
    while True:
        port = random.SystemRandom().randrange(LOWEST, below, 2)
        with (
            suppress(OSError),
            socket.socket(type=socket.SOCK_STREAM) as stream,
            socket.socket(type=socket.SOCK_DGRAM) as datagrams,
        ):
            stream.bind((host, port))
            datagrams.bind((host, port))
            return port


@contextmanager
def refusing(host: str = "127.0.0.1") -> Iterator[int]:
    """A port where every connection is refused: it is taken, so that no other program comes to listen there."""
    with socket.socket() as taken:
        taken.bind((host, 0))
        yield int(taken.getsockname()[1])


def released(port: int, host: str = "127.0.0.1") -> None:
    """Wait until a server can listen there: one that was killed has children that end after it, and hold the port."""
    ends = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_server((host, port)).close()  # as servers do, beside connections that are closing
            return
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.02)
