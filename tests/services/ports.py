"""Ports for servers that must know theirs before they start, or come back to it."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from pathlib import Path

LOWEST = 10_000
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
