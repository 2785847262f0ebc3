"""Other feeds in place of those that run: what is under way is finished by the one that began it, which ends then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.feeds.contract import Changes, Feed
from gateway.feeds.running import Feeds
from gateway.store.database import Database
from tests.gateway.conftest import FrozenClock
from tests.gateway.feeds_desk import MemoryFeed, MemoryStore, Rig, feeds_context
from tests.mailboxes import desk

LONG = 60.0
"""Seconds for an end."""


class Life(MemoryFeed):
    """One that says when it is closed, and what it was asked for."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.closed = asyncio.Event()
        self.looks = 0
        self.looking = 0
        self.wait: asyncio.Event | None = None

    async def changes(self, cursor: str | None) -> Changes:
        assert not self.closed.is_set()
        self.looks += 1
        self.looking += 1
        try:
            if self.wait is not None:
                await self.wait.wait()
            return await super().changes(cursor)
        finally:
            self.looking -= 1

    async def close(self) -> None:
        assert not self.looking
        self.closed.set()


async def until(look: Callable[[], object], what: str) -> None:
    """Wait until `look` gives something true."""
    await desk.until(look, what, LONG)


@pytest.fixture
def rig(db: Database, clock: FrozenClock, tmp_path: Path) -> Rig:
    return Rig(db=db, clock=clock, folder=tmp_path / "blobs", ctx=feeds_context(poll="1s"))


@asynccontextmanager
async def running(rig: Rig, **by_name: Feed) -> AsyncIterator[Feeds]:
    """The loops of these feeds."""
    pushing, reading = rig.pushing(), rig.reading()
    pushing.adopt(by_name)
    reading.adopt(by_name)
    feeds = Feeds(by_name=by_name, pushing=pushing, reading=reading, reads=lambda work: work)
    stop = asyncio.Event()
    task = asyncio.create_task(feeds.run(stop))
    try:
        yield feeds
    finally:
        stop.set()
        await task


async def test_a_feed_is_closed_when_its_push_is_over_and_not_before(rig: Rig) -> None:
    old, new = Life(rig.store), Life(rig.store)
    rig.store.gate = asyncio.Event()
    async with running(rig, store=old) as feeds:
        ticket = await rig.open("First")
        feeds.wake()
        await until(lambda: rig.store.calls == ["open"], "the push")
        feeds.adopt({"store": new})
        await until(lambda: new.looks, "the new one reads")
        assert not old.closed.is_set()
        rig.store.gate.set()
        await asyncio.wait_for(old.closed.wait(), LONG)
        assert rig.store.texts() == ["First"]
        await rig.say(ticket, "Second")
        feeds.wake()
        await until(lambda: rig.store.texts() == ["First", "Second"], "the new one writes")
        looks = old.looks
        await until(lambda: new.looks > 1, "another look")
        assert old.looks == looks and not new.closed.is_set()
    assert new.closed.is_set(), "what a reload has brought ends with the gateway"


async def test_one_store_is_never_read_twice_at_once(rig: Rig) -> None:
    old, new = Life(rig.store), Life(rig.store)
    old.wait = asyncio.Event()
    async with running(rig, store=old) as feeds:
        await until(lambda: old.looking, "a look")
        feeds.adopt({"store": new})
        other = await rig.open("Meanwhile")
        feeds.wake()
        await until(lambda: rig.store.tickets, "the new one writes beside it")
        assert new.looks == 0 and not old.closed.is_set()
        old.wait.set()
        await asyncio.wait_for(old.closed.wait(), LONG)
        await until(lambda: new.looks, "now the new one reads")
        assert other


async def test_without_a_store_nothing_runs_until_one_comes(rig: Rig) -> None:
    known, new = rig.ctx, Life(rig.store)
    none = known.settings.model_copy(update={"feeds": {}})
    rig.ctx = replace(known, settings=none)
    async with running(rig) as feeds:
        feeds.ctx = known
        feeds.adopt({"store": new})
        rig.ctx = known
        await rig.open("First")
        feeds.wake()
        await until(lambda: rig.store.calls == ["open"], "it is written")
        await until(lambda: new.looks, "it is read")
        # And it goes: nothing of its is touched any more.
        feeds.ctx = replace(known, settings=none)
        feeds.adopt({})
        await asyncio.wait_for(new.closed.wait(), LONG)
        assert feeds.troubles() == {}


async def test_a_reload_without_stores_leaves_nothing_that_spins(rig: Rig) -> None:
    loop, begun = asyncio.get_running_loop(), 0

    def counted(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **more: Any) -> asyncio.Task[Any]:
        nonlocal begun
        begun += 1
        return asyncio.Task(coro, loop=loop, **more)

    async with running(rig) as feeds:
        feeds.adopt({})
        loop.set_task_factory(cast("Any", counted))
        try:
            for _ in range(2000):
                await asyncio.sleep(0)
        finally:
            loop.set_task_factory(None)
    assert begun < 100  # a pause of the machine brings a look or two of its own


async def test_a_store_that_goes_while_its_successor_waits_ends_nothing_else(rig: Rig) -> None:
    old, new, last = Life(rig.store), Life(rig.store), Life(rig.store)
    old.wait = asyncio.Event()
    async with running(rig, store=old) as feeds:
        await until(lambda: old.looking, "a look that takes its time")
        feeds.adopt({"store": new})
        await asyncio.sleep(0)  # its loop waits for the old one's
        known = feeds.ctx
        feeds.ctx = replace(known, settings=known.settings.model_copy(update={"feeds": {}}))
        feeds.adopt({})
        old.wait.set()
        await asyncio.wait_for(old.closed.wait(), LONG)
        await asyncio.wait_for(new.closed.wait(), LONG)
        assert not new.looks
        feeds.ctx = known
        feeds.adopt({"store": last})
        await until(lambda: last.looks, "it came back, and is read")
