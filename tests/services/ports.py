"""Ports for servers that must know theirs before they start, or come back to it."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

LOWEST = 10_000
PATIENCE = 60.0
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port(host: str = "127.0.0.1") -> int:
    """An even port, as RTP wants it, that nobody uses now by TCP or UDP.

    The kernel gives it to nobody who asks for any: it takes those from a range above (ip(7)), so that this one is
    still free when its server starts, or starts again. Nor does another process of the tests come by it.
    """
    below = max(int(_RANGE.read_text(encoding="ascii").split()[0]), LOWEST + 10_000)
    while True:
        port = random.SystemRandom().randrange(LOWEST, below, 2)
        with (
            suppress(OSError),  # somebody has it
            socket.socket(type=socket.SOCK_STREAM) as stream,
            socket.socket(type=socket.SOCK_DGRAM) as datagrams,
        ):
            stream.bind((host, port))
            datagrams.bind((host, port))
            fcntl.lockf(_own(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            return port


@cache
def _own() -> int:
    """A file whose bytes stand for ports: whoever locks one has that port until the end of the process."""
    path = Path(tempfile.gettempdir()) / f"gateway-tests-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


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
