"""What comes behind a request of the short way before that has its answer: nothing of it is lost, or read too soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from channels.contract import Unavailable
from gateway.store.blobs import Blobs
from gateway.web import short_way
from gateway.web.short_way import ShortWay
from normalizer.message import RawMessage
from tests.gateway.conftest import FrozenClock
from tests.gateway.web.test_short_way import PATIENCE, UPDATE, Desk, answer, ended, opened, request

OK = b"HTTP/1.1 200 OK"


def update(number: int) -> bytes:
    return UPDATE.replace(b"7", b"%d" % number)


@dataclass
class Unsure:
    """The way to the journal: it says nothing until it is told what became of a message."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    told: list[Callable[[BaseException | None], None]] = field(default_factory=list)

    def begin(self, _raw: RawMessage, told: Callable[[BaseException | None], None]) -> None:
        self.told.append(told)
        self.begun.set()


@pytest.fixture
async def desk(db_url: str, blobs: Blobs, clock: FrozenClock, tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(db_url, blobs, clock, tmp_path) as running:
        yield running


async def not_read_from(way: ShortWay) -> None:
    """Until the only connection holds what came too early, and is not read from."""
    async with asyncio.timeout(PATIENCE):
        while True:
            (connection,) = way.connections
            if connection.transport is not None and not connection.transport.is_reading():
                return
            await asyncio.sleep(0.01)


async def test_what_came_behind_one_that_could_not_be_committed_is_answered_in_its_turn(desk: Desk) -> None:
    unsure, usual = Unsure(), desk.services.begin
    desk.services.begin = unsure.begin
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
    try:
        writer.write(request(update(1)))
        await asyncio.wait_for(unsure.begun.wait(), PATIENCE)
        writer.write(request(update(2)))
        await not_read_from(desk.way)
        desk.services.begin = usual
        unsure.told[0](Unavailable("full"))
        assert [(await answer(reader)).status for _ in range(2)] == [OK] * 2
        writer.write(request(update(3)))  # the framework reads on
        assert (await answer(reader)).status == OK
    finally:
        writer.close()
    assert await desk.entries() == [update(number) for number in (1, 2, 3)]
    assert desk.long == 3


async def test_what_is_committed_is_under_way_no_longer(desk: Desk) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
    writer.write(request(update(1)))
    assert (await answer(reader)).status == OK
    writer.close()
    pipeline = cast("Any", desk.services.begin).__self__
    assert pipeline._accepting == 0, "filing would give way to it for ever"


async def test_a_commit_that_never_ends_holds_up_no_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short_way, "SHUTDOWN", 0.05)
    desk.held.set()
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
    writer.write(request(update(1)))
    assert await asyncio.to_thread(desk.reached.wait, PATIENCE)
    await asyncio.wait_for(desk.way.stop(), PATIENCE)
    assert await ended(reader) == b"", "nobody is told of what may not be"
    assert not desk.way.connections
    writer.close()


async def test_whoever_asked_since_the_last_look_is_not_quiet(desk: Desk) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
    try:
        writer.write(request(update(1)))
        assert (await answer(reader)).status == OK
        (connection,) = desk.way.connections
        connection.quiet = 1  # a look found nobody there
        writer.write(request(update(2)))
        assert (await answer(reader)).status == OK
        assert connection.quiet == 0
    finally:
        writer.close()
