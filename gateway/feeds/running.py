"""The feeds of one gateway: built from the settings, opened, and run by two loops: one writes, one reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from random import Random

from channels.contract import Clock
from channels.credentials import fingerprint
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
from gateway.waiting import wait_for_any

NOTHING_TO_DO = 3600.0
"""Seconds between two looks whether there are stores by now, unless a reload brings one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What a configuration makes."""

    by_name: Mapping[str, Feed]
    secrets: Mapping[str, str]
    """Feed -> the fingerprint of its secrets: behind the same name there may be another one by the next reload."""


@dataclass(slots=True, kw_only=True)
class Feeds:
    """What runs."""

    by_name: Mapping[str, Feed]
    pushing: Pushing
    reading: Reading
    reads: Callable[[Work], Work]
    """When they may be read."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """As of `Stores`."""
    _first: Sequence[Feed] = field(init=False)
    _retiring: set[asyncio.Task[None]] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _borrowed: list[tuple[Feed, asyncio.Event]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._first = list(self.by_name.values())

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
        """Write and read until `stop` is set; then close what a reload has brought."""
        while not (stop.is_set() or self.by_name):
            await wait_for_any(stop, self._changed, seconds=NOTHING_TO_DO)
            self._changed.clear()
        try:
            if self.by_name:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.pushing.run(stop))
                    group.create_task(self.reads(self.reading.run)(stop))
        finally:
            await asyncio.gather(*self._retiring)
            for feed in self.by_name.values():
                if feed not in self._first:
                    await feed.close()

    @contextmanager
    def borrowed(self, name: str) -> Iterator[Feed | None]:
        """A feed for somebody beside the loops: a reload closes it after that. None: there is no such feed."""
        feed, over = self.by_name.get(name), asyncio.Event()
        if feed is None:
            yield None
            return
        entry = (feed, over)
        self._borrowed.append(entry)
        try:
            yield feed
        finally:
            self._borrowed.remove(entry)
            over.set()

    def troubles(self) -> dict[str, str]:
        """For operators: what is wrong with each store."""
        found: dict[str, str] = {}
        for name in self.by_name:
            written, read = self.pushing.troubles.get(name), self.reading.troubles.get(name)
            said = [f"nothing can be written to it: {written}"] if written is not None else []
            said += [f"nothing can be read from it: {read}"] if read is not None else []
            if said:
                found[f"feed {name}"] = "; ".join(said)
        return found

    # -- another configuration --------------------------------------------------------------

    def adopt(self, fresh: Mapping[str, Feed], secrets: Mapping[str, str] | None = None) -> None:
        """Go on with these, which are open. To be called in the event loop, in one turn with the new context.

        `secrets` as of `Stores`. What was built before and is not among the feeds is closed once nothing is under way
        with it.
        """
        gone = [feed for name, feed in self.by_name.items() if fresh.get(name) is not feed]
        self.by_name, self.secrets = dict(fresh), dict(secrets or {})
        self.pushing.adopt(fresh)
        self.reading.adopt(fresh)
        for feed in gone:
            task = asyncio.create_task(self._retired(feed))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        self._changed.set()

    async def _retired(self, feed: Feed) -> None:
        await self.pushing.idle(feed)
        await self.reading.idle(feed)
        for over in [over for one, over in self._borrowed if one is feed]:
            await over.wait()
        await feed.close()


async def opened(stack: AsyncExitStack, settings: Settings, *, clock: Clock, random: Random) -> Stores:
    """Every configured feed, open; closed with the stack, also where a reload has closed it before.

    Raises KeyError or OSError for a secret that is absent.
    """
    secrets = _secrets(settings)
    built = build(settings, clock=clock, random=random)
    for feed in built.values():
        stack.push_async_callback(feed.close)
        await feed.open()
    return Stores(by_name=built, secrets=secrets)


def loops(
    stores: Stores,
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
        db, ctx, feeds=stores.by_name, blobs=blobs, clock=clock, random=random, owner=owner, metrics=metrics,
        after=told, failpoint=failpoint, leases=leases,
    )  # fmt: skip

    def heard() -> None:
        told()
        pushing.wake()

    reading = Reading(
        db, ctx, feeds=stores.by_name, blobs=blobs, clock=clock, metrics=metrics, after=heard, leases=leases
    )  # fmt: skip
    return Feeds(by_name=stores.by_name, pushing=pushing, reading=reading, reads=reads, secrets=stores.secrets)


async def exchanged(feeds: Feeds, fresh: Settings, *, clock: Clock, random: Random) -> Stores:
    """The feeds of another configuration: those that say the same, with the same secrets, go on; the others are built
    and open.

    Raises KeyError, OSError or ValueError for a secret that is absent, or is none; then everything is closed again.
    """
    now = feeds.ctx.settings
    same = now.http.public_url == fresh.http.public_url
    secrets = _secrets(fresh)
    kept = {
        name: feed for name, feed in feeds.by_name.items()
        if same and fresh.feeds.get(name) == now.feeds[name] and feeds.secrets.get(name) == secrets[name]
    }  # fmt: skip
    new = fresh.model_copy(update={"feeds": {name: one for name, one in fresh.feeds.items() if name not in kept}})
    built = build(new, clock=clock, random=random)
    try:
        for feed in built.values():
            await feed.open()
    except BaseException:
        await let_go(built.values())
        raise
    return Stores(by_name={**kept, **built}, secrets=secrets)


async def let_go(feeds: Iterable[Feed]) -> None:
    """Close feeds."""
    for feed in feeds:
        await feed.close()


def _secrets(settings: Settings) -> dict[str, str]:
    """To be called before `build`: what is changed between the two is taken for changed by the next reload."""
    return {name: fingerprint(feed) for name, feed in settings.feeds.items()}


def build(settings: Settings, *, clock: Clock, random: Random) -> dict[str, Feed]:
    """Every configured feed, not yet open. Raises KeyError or OSError for a secret that is absent."""
    if not settings.feeds:
        return {}
    from gateway.feeds.registry import FEEDS  # the kinds of stores are a seventh of the program

    wiring = Wiring(clock=clock, random=random, public_url=settings.http.public_url)
    return {name: FEEDS[feed.kind].build(name, feed, wiring) for name, feed in settings.feeds.items()}
