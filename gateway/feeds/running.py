"""The feeds of one gateway: built from the settings, opened, and run by two loops: one writes, one reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

from channels.contract import Clock
from gateway import health
from gateway.context import Context
from gateway.feeds.contract import Feed
from gateway.feeds.kind import Wiring
from gateway.feeds.pushing import Pushing
from gateway.feeds.reading import Reading
from gateway.leases import Leases, Work
from gateway.metrics import Metrics
from gateway.settings import Settings
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.store.failpoints import FailPoint


@dataclass(slots=True, kw_only=True)
class Feeds:
    """What runs."""

    by_name: Mapping[str, Feed]
    pushing: Pushing
    reading: Reading
    reads: Callable[[Work], Work]
    """When they may be read."""

    @property
    def ctx(self) -> Context:
        """Settings, policy and key; may be replaced at any time."""
        return self.pushing.ctx

    @ctx.setter
    def ctx(self, ctx: Context) -> None:
        self.pushing.ctx = self.reading.ctx = ctx

    def wake(self) -> None:
        """Tickets may have changed. To be called in the event loop, after the commit."""
        self.pushing.wake()

    async def run(self, stop: asyncio.Event) -> None:
        """Write and read until `stop` is set."""
        if not self.by_name:
            await stop.wait()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self.pushing.run(stop))
            group.create_task(self.reads(self.reading.run)(stop))

    def checks(self) -> tuple[health.Check, ...]:
        """For operators: one for each store."""
        return tuple(health.Check(name=f"feed {name}", trouble=_Trouble(self, name)) for name in self.by_name)


@dataclass(frozen=True, slots=True)
class _Trouble:
    feeds: Feeds
    name: str

    def __call__(self) -> str:
        written, read = self.feeds.pushing.troubles.get(self.name), self.feeds.reading.troubles.get(self.name)
        said = [f"nothing can be written to it: {written}"] if written is not None else []
        said += [f"nothing can be read from it: {read}"] if read is not None else []
        return "; ".join(said)


async def opened(stack: AsyncExitStack, settings: Settings, *, clock: Clock, random: Random) -> Mapping[str, Feed]:
    """Every configured feed, open; closed with the stack. Raises KeyError or OSError for a secret that is absent."""
    built = build(settings, clock=clock, random=random)
    for feed in built.values():
        stack.push_async_callback(feed.close)
        await feed.open()
    return built


def loops(
    by_name: Mapping[str, Feed],
    *,
    db: Database,
    ctx: Context,
    blobs: Blobs,
    clock: Clock,
    random: Random,
    owner: str,
    metrics: Metrics,
    told: Callable[[], None],
    failpoint: FailPoint,
    leases: Leases | None,
    reads: Callable[[Work], Work] = lambda work: work,
) -> Feeds:
    """The loops of these feeds, not yet running. `told` is called when notices may have become due; `reads` makes
    of the loop that reads one that begins when it may."""
    pushing = Pushing(
        db, ctx, feeds=by_name, blobs=blobs, clock=clock, random=random, owner=owner, metrics=metrics, after=told,
        failpoint=failpoint, leases=leases,
    )  # fmt: skip

    def heard() -> None:
        told()
        pushing.wake()

    reading = Reading(
        db, ctx, feeds=by_name, blobs=blobs, clock=clock, metrics=metrics, after=heard, leases=leases
    )  # fmt: skip
    return Feeds(by_name=by_name, pushing=pushing, reading=reading, reads=reads)


def build(settings: Settings, *, clock: Clock, random: Random) -> dict[str, Feed]:
    """Every configured feed, not yet open. Raises KeyError or OSError for a secret that is absent."""
    if not settings.feeds:
        return {}
    from gateway.feeds.registry import FEEDS  # the kinds of stores are a seventh of the program

    wiring = Wiring(clock=clock, random=random, public_url=settings.http.public_url)
    return {name: FEEDS[feed.kind].build(name, feed, wiring) for name, feed in settings.feeds.items()}
