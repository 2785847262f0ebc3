"""Hears what happens in the stores: by polls, whose cursor is committed with what it passes (rule 3), and by webhooks.

What may still be the outcome of a write of ours is put off: the cursor stays, and the same page is read again. What
cannot be applied although everything is there is passed, and operators hear of it: it must not stop the news behind it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from channels.contract import Clock, Cursor, Unavailable
from gateway.context import Context
from gateway.despatch import NoAnswer, limited
from gateway.feeds import reached, remarks, tidy
from gateway.feeds.applying import Applied, News, apply, is_applied
from gateway.feeds.contract import Changes, Feed, FeedError, File, Heard, Replied, Sweeps
from gateway.feeds.settings import FeedSettings
from gateway.leases import Leases
from gateway.log import get_logger
from gateway.metrics import Metrics
from gateway.nodes import by_one_node
from gateway.store import cursors
from gateway.store import feeds as store
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.waiting import until_stopped, wait_for_any
from normalizer.message import Attachment

T = TypeVar("T")
SWEPT = "swept"
SOON = 1.0
"""Seconds before news that was put off is read again."""
LONGEST_PAUSE = timedelta(minutes=5)
IN_ROW = 64 * 1024
"""Bytes of a file that is kept in its row; a bigger one becomes a blob."""
FILE_TRIES = 5
DAY = timedelta(days=1)
SWEEP_PAUSE = 3600.0
"""Seconds between two looks at whether it is time to search for doubles, and after a search that failed."""
SWEEP_CALLS = 10
"""A search is many calls: so many times the limit of one try."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """The loops of one feed."""

    name: str
    feed: Feed
    over: asyncio.Event
    task: asyncio.Task[None]


class Reading:
    """Reads all stores until it is stopped."""

    def __init__(
        self,
        db: Database,
        ctx: Context,
        *,
        feeds: Mapping[str, Feed],
        blobs: Blobs,
        clock: Clock,
        metrics: Metrics,
        after: Callable[[], None],
        leases: Leases | None = None,
    ) -> None:
        """`after` is called when notices or writes may have been put."""
        self.ctx = ctx
        self._db, self._feeds, self._blobs, self._clock = db, feeds, blobs, clock
        self._metrics, self._after, self._leases = metrics, after, leases
        self._troubles: dict[str, str] = {}
        self._lost_files: dict[tuple[str, str], int] = {}
        self._woken = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._readers: dict[str, _Reader] = {}
        self._leaving: list[_Reader] = []

    @property
    def troubles(self) -> Mapping[str, str]:
        """Store -> why nothing can be read from it."""
        return self._troubles

    def wake(self) -> None:
        """Look at every store at once."""
        self._woken.set()

    def _settings(self, feed: str) -> FeedSettings:
        """Raises Unavailable for one that a reload has taken away: what it brought meanwhile is not passed."""
        found = self.ctx.settings.feeds.get(feed)
        if found is None:
            raise Unavailable(f"the store {feed} is not configured any more")
        return found

    def adopt(self, feeds: Mapping[str, Feed]) -> None:
        """Read these from now on. A store whose feed is another one is read again when the old one has stopped."""
        self._feeds = dict(feeds)
        if self._group is not None:
            self._exchange(self._group)

    async def idle(self, feed: Feed) -> None:
        """Wait until it is not read any more."""
        while tasks := [one.task for one in (*self._readers.values(), *self._leaving) if one.feed is feed]:
            await asyncio.wait(tasks)
            self._leaving = [one for one in self._leaving if not one.task.done()]

    async def run(self, stop: asyncio.Event) -> None:
        """Read until `stop` is set. Raises what a loop of a store raises."""
        async with asyncio.TaskGroup() as self._group:
            self._exchange(self._group)
            await stop.wait()
            for reader in self._readers.values():
                reader.over.set()
            self._readers, self._group = {}, None

    def _exchange(self, group: asyncio.TaskGroup) -> None:
        """End the loops of feeds that are gone, and begin those of new ones."""
        for name, reader in list(self._readers.items()):
            if self._feeds.get(name) is not reader.feed:
                reader.over.set()
                self._leaving.append(self._readers.pop(name))
                self._troubles.pop(name, None)
        for name, feed in self._feeds.items():
            if name not in self._readers:
                over, before = asyncio.Event(), [one.task for one in self._leaving if one.name == name]
                task = group.create_task(self._loops(name, feed, over, before))
                self._readers[name] = _Reader(name=name, feed=feed, over=over, task=task)

    async def _loops(self, name: str, feed: Feed, over: asyncio.Event, before: Sequence[asyncio.Task[None]]) -> None:
        """The loops of one store. Two at once would commit each other's cursor."""
        if before:
            await asyncio.wait(before)
        if over.is_set():  # it has gone meanwhile, and so may have its settings
            return
        works = []
        if self._settings(name).read:
            works.append(by_one_node(self._leases, f"feed:{name}", partial(self._poll, name)))
        if isinstance(feed, Sweeps):
            # Apart from the polls: a big store takes its time over it.
            works.append(by_one_node(self._leases, f"feed sweep:{name}", partial(self._sweeps, name)))
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work(over))

    async def _poll(self, name: str, stop: asyncio.Event) -> None:
        failures = 0
        while not stop.is_set():
            self._woken.clear()
            pause = LONGEST_PAUSE.total_seconds()
            try:
                pause = self._settings(name).poll.total_seconds()
                again = await until_stopped(self.look(name), stop)
                failures, pause = 0, SOON if again else pause
                self._troubles.pop(name, None)
            except (FeedError, Unavailable) as error:
                failures += 1
                if isinstance(error, FeedError):
                    self._trouble(name, str(error))
                pause = self._after_failure(pause, failures, error)
            except Exception as error:  # noqa: BLE001  a feed that breaks must not end the others
                failures += 1
                log.error("reading a store broke", feed=name, error=type(error).__name__)
                self._trouble(name, f"reading broke: {type(error).__name__}")
                pause = self._after_failure(pause, failures, error)
            if pause > SOON and self._woken.is_set():
                pause = 0.0
            if pause:
                await wait_for_any(stop, self._woken, seconds=pause)

    def _trouble(self, name: str, why: str) -> None:
        if name not in self._troubles:
            log.warning("a store cannot be read", feed=name, why=why[:300])
        self._troubles[name] = why[:500]
        self._metrics.feed_heard(name, "failed")

    def _after_failure(self, pause: float, failures: int, error: Exception) -> float:
        asked = getattr(error, "retry_after", None)
        longest = LONGEST_PAUSE.total_seconds()
        return float(min(asked if asked is not None else pause * 2.0 ** min(failures, 10), longest))

    # -- one look ---------------------------------------------------------------------------

    async def look(self, name: str) -> bool:
        """Read and apply one page. True: look again at once. Raises FeedError, Unavailable."""
        began = self._clock()
        before = await self._db.read(lambda conn: reached.get(conn, name))
        page = await self._bounded(name, self._feeds[name].changes(before))
        if before is None and await self._db.read(lambda conn: store.is_used(conn, name)):
            # Staff may have said something of them by now, and nobody has heard it.
            at = f"{began:%Y-%m-%d %H:%M} UTC"
            log.warning("a store with tickets of ours is read for the first time", feed=name, since=at)
            await self._remember(name, [f"what staff did there before {at}, when it could be read for the first time"])
        applied = await self.take(name, page, since=began, cursor=page.cursor if page.cursor != before else None)
        self._metrics.feed_read(name, began.timestamp())
        return page.more or bool(applied.held)

    async def _bounded(self, name: str, work: Awaitable[T], *, times: int = 1) -> T:
        """Within so many times the limit of one try. Raises FeedError."""
        raised: list[FeedError] = []

        async def kept() -> T | None:
            try:
                return await work
            except FeedError as error:
                raised.append(error)
                return None

        found = await limited(kept(), times * self._settings(name).timeout.total_seconds())
        if raised:
            raise raised[0]
        if found is None or isinstance(found, NoAnswer):
            raise FeedError(found.detail if found is not None else "no answer")
        return found

    async def take(
        self, name: str, page: Changes, *, since: datetime, cursor: str | None, came: datetime | None = None
    ) -> Applied:
        """Apply what was heard, with the cursor; without one for a webhook, whose request came at `came`.

        Raises FeedError, Unavailable.
        """
        page = replace(page, heard=[tidy.heard(one) for one in page.heard])
        wanted = await self._db.read(lambda conn: self._wanted(conn, name, page.heard))
        news = [await self._news(name, heard) if heard.id in wanted else News(heard=heard) for heard in page.heard]
        news = [replace(one, came=came) for one in news]
        try:
            applied = await self._db.write(lambda conn: self._job(conn, name, news, since, cursor))
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001  one by one then, so that one alone is passed
            log.error("a page of news could not be applied", feed=name, error=type(error).__name__)
            applied = await self._one_by_one(name, news, since, cursor)
        for odd in [*page.odd, *applied.odd]:
            log.warning("news that could not be read", feed=name, odd=odd[:300])
        if page.odd or applied.odd:
            await self._remember(name, [*page.odd, *applied.odd])
        if applied.done:
            self._metrics.feed_heard(name, "applied", applied.done)
            self._after()
        return applied

    def _wanted(self, conn: Connection, name: str, heard: Sequence[Heard]) -> frozenset[str]:
        """Replies with files that will be applied."""
        return frozenset(
            one.id for one in heard
            if isinstance(one.change, Replied) and one.change.files and not one.ours
            and store.links_to(conn, name, one.ref) and not is_applied(conn, name, one.id)
        )  # fmt: skip

    def _job(self, conn: Connection, name: str, news: Sequence[News], since: datetime, cursor: str | None) -> Applied:
        self._settings(name)
        applied = apply(conn, self.ctx, name, news, since=since, now=self._clock())
        if cursor is not None and not applied.held:
            reached.put(conn, name, cursor)
        return applied

    async def _one_by_one(self, name: str, news: Sequence[News], since: datetime, cursor: str | None) -> Applied:
        total = Applied()
        for place, one in enumerate(news):
            # Those behind it are given too: they say whether it was overtaken. What is applied is applied once.
            rest = [one, *(later for later in news[place + 1 :] if later.heard.ours)]
            if one.heard.ref in total.held:
                continue
            try:
                found = await self._db.write(lambda conn, rest=rest: self._job(conn, name, rest, since, None))  # type: ignore[misc]
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001  passed, and told
                log.error("news could not be applied", feed=name, error=type(error).__name__)
                total.odd.append(f"{one.heard.id}: {type(error).__name__}")
                continue
            total.done += found.done
            total.older += found.older
            total.held |= found.held
        if cursor is not None and not total.held:
            await self._db.write(lambda conn: reached.put(conn, name, cursor))
        return total

    async def _remember(self, name: str, odd: Sequence[str]) -> None:
        now = self._clock()

        def job(conn: Connection) -> None:
            for one in odd:
                remarks.put(conn, name, "failed", one, "", now)

        await self._db.write(job)

    # -- files ------------------------------------------------------------------------------

    async def _news(self, name: str, heard: Heard) -> News:
        assert isinstance(heard.change, Replied)
        here: list[Attachment] = []
        lost: list[str] = []
        for file in heard.change.files:
            if file.size > self.ctx.settings.http.max_body:
                lost.append(f"{file.filename}: too big ({file.size // 2**20} MB)")
                continue
            found = await self._file(name, heard, file)
            here += [found] if found is not None else []
            lost += [f"{file.filename}: could not be read"] if found is None else []
        return News(heard=heard, files=here, left_out=lost)

    async def _file(self, name: str, heard: Heard, file: File) -> Attachment | None:
        """None: it was tried often enough. Raises FeedError to try again."""
        content = await limited(self._read(file), self._settings(name).timeout.total_seconds())
        if content is None or isinstance(content, NoAnswer):
            place = (name, f"{heard.id}:{file.filename}")
            self._lost_files[place] = self._lost_files.get(place, 0) + 1
            if self._lost_files[place] >= FILE_TRIES:
                return None
            raise FeedError(f"the file {file.filename} of {heard.id} could not be read")
        digest = hashlib.sha256(content).hexdigest()
        small = len(content) <= IN_ROW
        if not small:
            await asyncio.to_thread(self._blobs.put, content)
        return Attachment(
            filename=file.filename, content_type=file.content_type or "application/octet-stream", size=len(content),
            sha256=digest, content=content if small else None,
        )  # fmt: skip

    @staticmethod
    async def _read(file: File) -> bytes | None:
        try:
            return await asyncio.to_thread(file.read)
        except OSError:
            return None

    # -- doubles ----------------------------------------------------------------------------

    async def _sweeps(self, name: str, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._swept(name, stop)
            except Exception as error:  # noqa: BLE001  neither it nor our database may end the others
                log.error("searching a store for doubles broke", feed=name, error=type(error).__name__)
            await wait_for_any(stop, seconds=SWEEP_PAUSE)

    async def _swept(self, name: str, stop: asyncio.Event) -> None:
        """A search that fails is made again later, and operators hear of it; at the end of the gateway it is left."""
        search = asyncio.create_task(self.sweep(name))
        over = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({search, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            search.cancel()
            [ended, _] = await asyncio.gather(search, over, return_exceptions=True)
        if isinstance(ended, FeedError):
            log.warning("a store was not searched for doubles", feed=name, why=str(ended)[:300])
            await self._remember(name, [f"looking for doubles: {ended}"])
        elif isinstance(ended, Exception):
            raise ended

    async def sweep(self, name: str) -> None:
        """Once a day, look for tickets of the store that bear one key of ours. Raises FeedError, Unavailable."""
        feed, now = self._feeds[name], self._clock()
        if not isinstance(feed, Sweeps):
            return
        last = await self._db.read(lambda conn: cursors.get(conn, reached.CHANNEL, name, SWEPT))
        if last is not None and now - datetime.fromisoformat(last) < DAY:
            return
        found = await self._bounded(name, feed.doubles(), times=SWEEP_CALLS)
        things = {key: ", ".join(f"#{ref.number}" for ref in refs) for key, refs in found.items() if len(refs) > 1}

        def job(conn: Connection) -> None:
            remarks.replace(conn, name, "doubles", things, now)
            cursors.put(conn, Cursor(channel=reached.CHANNEL, account=name, name=SWEPT, value=now.isoformat()))

        await self._db.write(job)
        self._metrics.feed_doubles(name, len(things))
        if things:
            log.warning("a store has doubles", feed=name, keys=len(things))
