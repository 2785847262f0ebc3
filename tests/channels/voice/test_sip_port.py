"""A telephone whose port may be any finds one on which its stack can listen in every way that it does."""

from __future__ import annotations

import socket

import pytest

from channels.voice.sip.port import is_free, port_of
from tests.services.ports import free_port

HOST = "127.0.0.1"


@pytest.mark.parametrize(("kind", "beside"), [(socket.SOCK_DGRAM, 0), (socket.SOCK_STREAM, 0), (socket.SOCK_STREAM, 1)])
def test_a_port_is_free_when_nobody_has_it_or_its_neighbour(kind: socket.SocketKind, beside: int) -> None:
    port = free_port()
    with socket.socket(type=kind) as other:
        other.bind((HOST, port + beside))
        assert not is_free(HOST, port)
    assert is_free(HOST, port)
    assert not is_free(HOST, 65_535)


def test_any_is_a_free_one_and_one_that_is_wanted_and_taken_is_an_error() -> None:
    assert is_free(HOST, port_of(HOST, 0))
    port = free_port()
    assert port_of(HOST, port) == port
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind((HOST, port))
        with pytest.raises(OSError, match="in use"):
            port_of(HOST, port)
