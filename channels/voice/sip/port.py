"""The port that a telephone listens on."""

from __future__ import annotations

import socket

_TRIES = 100


def port_of(host: str, port: int) -> int:
    """`port` itself; for 0 one that nobody uses. Raises OSError when the one that is wanted is taken."""
    if port:
        with _bound(host, port, socket.SOCK_DGRAM):
            return port
    for _ in range(_TRIES - 1):
        if is_free(host, found := _any(host)):
            return found
    return _any(host)


def is_free(host: str, port: int) -> bool:
    """By UDP and TCP, and the next one by TCP: the stack opens all three (SIP over TLS stands beside the two)."""
    try:
        for number, kind in ((port, socket.SOCK_DGRAM), (port, socket.SOCK_STREAM), (port + 1, socket.SOCK_STREAM)):
            _bound(host, number, kind).close()
    except (OSError, OverflowError):  # beyond 65535
        return False
    return True


def _any(host: str) -> int:
    with _bound(host, 0, socket.SOCK_DGRAM) as trial:
        return int(trial.getsockname()[1])


def _bound(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    trial = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    try:
        trial.bind((host, port))
    except BaseException:
        trial.close()
        raise
    return trial
