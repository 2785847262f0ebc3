"""Listeners that a reload replaces: one that does not end or begin as it should keeps no other from it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from channels.contract import Intake, Listener
from gateway.listening import Close, Ports


class Box:
    """A mailbox that says whether it is read."""

    def __init__(self, name: str, version: int, *, starts: bool = True, stops: bool = True) -> None:
        self.name, self.version, self.reading = name, version, False
        self._starts, self._stops = starts, stops

    def serves(self, successor: Any) -> bool:
        return bool(self.version == successor.version)

    async def start(self, intake: Intake) -> None:
        if not self._starts:
            raise RuntimeError("it does not begin")
        self.reading = True

    def listening(self) -> dict[str, str]:
        return {}

    async def stop(self) -> None:
        self.reading = False
        if not self._stops:
            raise RuntimeError("it does not end as it should")


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    with socket.socket() as made:
        yield made


async def begin(listener: Listener) -> Close:
    async def intake(*_: Any) -> Any:
        raise AssertionError("nothing comes in")

    await listener.start(intake)
    return listener.stop


async def exchanged(ports: Ports, fresh: list[Box]) -> None:
    exchange = ports.replace(fresh)
    assert exchange is not None
    with pytest.raises(ExceptionGroup):
        await exchange()


async def test_an_old_one_that_does_not_end_well_keeps_no_new_one_from_beginning(bound: socket.socket) -> None:
    old = [Box("a", 1, stops=False), Box("b", 1)]
    ports = Ports(bound, old)
    await ports.start(begin)
    fresh = [Box("a", 2), Box("b", 2)]
    await exchanged(ports, fresh)
    assert [box.reading for box in (*old, *fresh)] == [False, False, True, True]


async def test_a_new_one_that_does_not_begin_keeps_no_other_from_it_and_is_tried_again(bound: socket.socket) -> None:
    ports = Ports(bound, [Box("a", 1), Box("b", 1)])
    await ports.start(begin)
    fresh = [Box("a", 2, starts=False), Box("b", 2)]
    await exchanged(ports, fresh)
    assert [box.reading for box in fresh] == [False, True]
    again = [Box("a", 2), Box("b", 2)]
    exchange = ports.replace(again)
    assert exchange is not None
    await exchange()
    assert again[0].reading and fresh[1].reading and not again[1].reading
    await ports.stop()
    assert not again[0].reading and not fresh[1].reading
