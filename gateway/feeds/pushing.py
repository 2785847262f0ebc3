"""Writes our tickets to the stores: claims what is due, has it written, writes down what each try came to.

A write is SENDING in a committed row before its first byte goes out (rule 12), and within a ticket the order is kept
(rule 13). A try whose end nobody knows is never simply repeated: the store is asked whether it did it, and not before
the try is surely over.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from sqlalchemy import Connection

from channels.contract import CannotTell, Clock, Unavailable
from gateway import waiting
from gateway.circuit import Circuit
from gateway.context import Context
from gateway.despatch import NoAnswer, limited
from gateway.feeds import queueing, settling, tidy
from gateway.feeds.composing import Made, Needless, NotNow, compose
from gateway.feeds.contract import Alter, Feed, Outcome, Pushed, Ref
from gateway.feeds.settings import FeedSettings
from gateway.feeds.settling import Tried
from gateway.leases import Leases, unique
from gateway.log import get_logger
from gateway.metrics import Metrics
from gateway.store import feeds as store
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.store.failpoints import FailPoint, nowhere
from gateway.store.feeds import Row, Settled
from gateway.waiting import wait_for_any

SHORTEST, LONGEST = 1.0, 60.0
"""Seconds between two looks at the table, unless something wakes the loop."""
CATCH_UP = 10.0
"""Seconds between two looks for messages that nobody announced."""

NOT_OURS = "the store is not configured any more"

log = get_logger(__name__)


class Pushing:
    """Writes what is due until it is stopped."""

    def __init__(
        self,
        db: Database,
        ctx: Context,
        *,
        feeds: Mapping[str, Feed],
        blobs: Blobs,
        clock: Clock,
        random: Random,
        owner: str,
        metrics: Metrics,
        after: Callable[[], None],
        failpoint: FailPoint = nowhere,
        leases: Leases | None = None,
    ) -> None:
        """`after` is called when an acknowledgement may have become due. `owner` and `leases`: as of the outbox."""
        self.ctx = ctx
        self._db, self._feeds, self._blobs, self._clock, self._random = db, feeds, blobs, clock, random
        self._leases = leases
        self._owner = leases.owner if leases is not None else unique(owner, random)
        self._metrics, self._after, self._failpoint = metrics, after, failpoint
        self._circuits: dict[str, Circuit] = {name: Circuit() for name in feeds}
        self._why: dict[str, str] = {}
        self._sending: dict[int, str] = {}
        self._using: dict[int, tuple[Feed, asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._doubtful_claim = False

    def wake(self) -> None:
        """A ticket changed. To be called in the event loop, after the commit."""
        self._woken.set()

    @property
    def troubles(self) -> Mapping[str, str]:
        """Store -> why nothing can be written to it."""
        return {name: self._why.get(name, "") for name, one in self._circuits.items() if one.reopens_at is not None}

    def _settings(self, feed: str) -> FeedSettings:
        return self.ctx.settings.feeds[feed]

    def _names(self) -> list[str]:
        known = self.ctx.settings.feeds
        return [name for name in self._feeds if name in known and known[name].push]

    def adopt(self, feeds: Mapping[str, Feed]) -> None:
        """Write to these from now on; what is under way is finished by those that it began with."""
        fresh = [name for name, feed in feeds.items() if self._feeds.get(name) is not feed]
        self._feeds = dict(feeds)
        self._circuits |= {name: Circuit() for name in fresh}
        self._woken.set()

    async def idle(self, feed: Feed) -> None:
        """Wait until nothing is written by it any more."""
        while tasks := [task for one, task in self._using.values() if one is feed]:
            await asyncio.wait(tasks)

    # -- the loop ---------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Recover, then write until `stop` is set; what is being written then is finished and settled."""
        loop = asyncio.get_running_loop()
        recover_at = catch_up_at = 0.0
        while not stop.is_set():
            self._woken.clear()
            try:
                if loop.time() >= recover_at:
                    await self.recover()
                    recover_at = loop.time() + (self._leases.pause if self._leases else LONGEST)
                if loop.time() >= catch_up_at:
                    await self._db.write(lambda conn: queueing.catch_up(conn, self.ctx, self._clock()))
                    catch_up_at = loop.time() + CATCH_UP
                pause = 0.0 if await self.claim() else min(await self.until_next(), CATCH_UP)
            except Unavailable:
                pause = SHORTEST
            if pause:
                await wait_for_any(stop, self._woken, seconds=pause)
        await self.finish()

    async def finish(self) -> None:
        """Wait for what is under way, for a while: a store that hangs must not hold up the end. What takes longer is
        broken off and stays SENDING: it is in doubt, and the store is asked after the next start."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(set(self._tasks), timeout=waiting.STOPPING)
        for task in late:
            task.cancel()
        if late:
            log.warning("writes to stores are broken off; the stores are asked after the next start", count=len(late))
        await asyncio.gather(*late, return_exceptions=True)

    async def recover(self) -> int:
        """What dead servers left SENDING waits for its turn, in doubt. Returns how many; raises Unavailable."""
        known, now = self.ctx.settings.feeds, self._clock()
        # The store may have been asked first: two time limits.
        pauses = {name: feed.timeout * 2 + feed.doubt for name, feed in known.items()}
        return await self._db.write(
            lambda conn: store.forsake(conn, self._owner, pauses, now, alone=self._leases is None)
        )

    async def claim(self) -> int:
        """Claim what may be written now and begin with it. Returns how many; raises Unavailable."""
        if self._leases is not None and not self._leases.alive():
            return 0
        still_ours = _always if self._leases is None else self._leases.claiming()
        if self._doubtful_claim:
            ours = list(self._sending)
            await self._db.write(lambda conn: store.put_back(conn, self._owner, ours))
            self._doubtful_claim = False
        now, running = self._clock(), Counter(self._sending.values())
        rooms = {
            name: self._circuits[name].room(now, running[name], self._settings(name).concurrency)
            for name in self._names()
        }
        ids = await self._db.read(lambda conn: self._due(conn, rooms, now))
        if not ids:
            return 0
        try:
            rows = await self._db.write(lambda conn: store.claim(conn, ids, self._owner, now))
        except Unavailable:
            self._doubtful_claim = True  # the COMMIT may have happened all the same
            raise
        for row in rows:
            self._sending[row.id] = row.feed
            task = asyncio.create_task(self._carry_out(row, still_ours))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(rows)

    def _due(self, conn: Connection, rooms: Mapping[str, int], now: datetime) -> list[int]:
        return [one for name, room in rooms.items() if room > 0 for one in store.due(conn, name, now, room)]

    async def until_next(self) -> float:
        """Seconds until something becomes due or a paused store is tried again."""
        now = self._clock()
        reopens = {name: self._circuits[name].reopens_at or now for name in self._names()}
        running = [name for name, at in reopens.items() if at <= now]
        due_at = await self._db.read(lambda conn: store.next_due(conn, running, now)) if running else None
        times = [at for at in (due_at, *reopens.values()) if at is not None and at > now]
        left = min(((at - now).total_seconds() for at in times), default=LONGEST)
        return min(max(left, SHORTEST), LONGEST)

    # -- one write --------------------------------------------------------------------------

    async def _carry_out(self, row: Row, still_ours: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            settled, tried = await self._try(row, still_ours)
            self._metrics.feed_tried(row.feed, settled.state, loop.time() - begun)
            await self._settle(row, settled, tried)
        except Exception as error:  # noqa: BLE001  one write must not end the loop; it is recovered at the next start
            log.error("a feed write broke off", write=row.id, error=type(error).__name__)
        finally:
            del self._sending[row.id]
            self._using.pop(row.id, None)
            self._woken.set()

    async def _try(self, row: Row, still_ours: Callable[[], bool]) -> tuple[Settled, Tried | None]:
        made = await self._composed(row)
        if isinstance(made, Settled):
            return made, None
        feed, rules = self._feeds.get(row.feed), self.ctx.settings.feeds.get(row.feed)
        if feed is None or rules is None:
            return self._not_tried(row, NOT_OURS), None
        task = asyncio.current_task()
        assert task is not None
        self._using[row.id] = feed, task
        limit = rules.timeout.total_seconds()
        if row.uncertain and not isinstance(made.write, Alter):
            tried = await self._asked(row, made, feed, limit)
            if tried is not None:
                return self._judged(row, tried, rules)
            # It surely is not there: so it is not put there either when staff have to release it first.
            made = await self._composed(_certain(row))
            if isinstance(made, Settled):
                return made, None
        if not still_ours():
            return self._not_tried(row, "not written: this node's lease is over"), None
        began = self._clock()
        self._failpoint("feed-sending-committed")
        answer = await limited(feed.push(made.write), limit)
        self._failpoint("feed-pushed-unsettled")
        if isinstance(answer, NoAnswer):
            answer = Pushed(outcome=Outcome.RETRY, detail=answer.detail, uncertain=True)
        elif answer.outcome is Outcome.RETRY and not answer.uncertain:
            row = _certain(row)
        return self._judged(row, Tried(pushed=tidy.pushed(answer), made=made, began=began), rules)

    async def _composed(self, row: Row) -> Made | Settled:
        try:
            made = await self._db.read(lambda conn: compose(conn, self.ctx, self._blobs, row, self._clock()))
        except (Unavailable, OSError) as error:
            return self._not_tried(row, f"could not be read: {type(error).__name__}")
        except Exception as error:  # noqa: BLE001  it blocks its own ticket alone, and staff see it
            if row.feed not in self.ctx.settings.feeds:
                return self._not_tried(row, NOT_OURS)
            log.error("feed write could not be made", write=row.id, error=type(error).__name__)
            return Settled(state="dead", detail=f"could not be made: {type(error).__name__}", uncertain=row.uncertain)
        match made:
            case Made():
                return made
            case NotNow():
                return Settled(
                    state="waiting", due_at=made.until, detail=made.why, uncertain=row.uncertain, uncounted=True
                )
            case Needless():
                return Settled(state="skipped", detail=made.why)

    def _not_tried(self, row: Row, why: str) -> Settled:
        again = self._clock() + timedelta(seconds=5)
        return Settled(state="waiting", due_at=again, detail=why, uncertain=row.uncertain, uncounted=True)

    async def _asked(self, row: Row, made: Made, feed: Feed, limit: float) -> Tried | None:
        """Whether an earlier try did it; None: surely not, so it may be tried now."""
        began = self._clock()
        found = await limited(feed.find(made.write), limit)
        match found:
            case None:
                return None
            case Ref():
                done = Pushed(outcome=Outcome.DONE, ref=tidy.ref(found), detail="an earlier try had done it")
                return Tried(pushed=done, made=made, began=began, found=True)
            case CannotTell() | NoAnswer():
                log.info("a store cannot tell yet", write=row.id)
                detail = f"whether it was done cannot be told yet: {found.detail}"
                later = Pushed(outcome=Outcome.RETRY, detail=detail, uncertain=True)
                return Tried(pushed=later, made=made, began=began)

    def _judged(self, row: Row, tried: Tried, rules: FeedSettings) -> tuple[Settled, Tried]:
        now, pushed, circuit = self._clock(), tried.pushed, self._circuits[row.feed]
        if pushed.outcome is Outcome.RETRY and not pushed.of_ticket:
            self._why[row.feed] = pushed.detail
            if circuit.failed(now):
                log.warning("a store pauses", feed=row.feed)
        else:
            if circuit.reopens_at is not None:
                self._hurry(row.feed)
            circuit.answered()
        return settling.of_try(row, tried, feed=rules, ctx=self.ctx, random=self._random, now=now), tried

    def _hurry(self, feed: str) -> None:
        async def soon() -> None:
            try:
                await self._db.write(lambda conn: store.hurry(conn, feed, self._clock()))
            except Unavailable:
                log.warning("what waits for a store keeps its times", feed=feed)
            self._woken.set()

        log.info("a store is back", feed=feed)
        task = asyncio.create_task(soon())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle(self, row: Row, settled: Settled, tried: Tried | None) -> None:
        """Write it down, however long the database is away. The row stays SENDING until that is committed."""
        while True:
            try:
                ours = await self._db.write(
                    lambda conn: settling.settle(conn, self.ctx, row, settled, tried, self._clock())
                )
                break
            except Unavailable:
                await asyncio.sleep(SHORTEST)
        self._after()
        said = "feed write settled" if ours else "feed write settled by another"
        log.info(said, write=row.id, feed=row.feed, kind=row.kind, state=settled.state, attempt=row.attempts)


def _always() -> bool:
    return True


def _certain(row: Row) -> Row:
    """This try surely did nothing, and the ones before it did not either: the store was asked."""
    return replace(row, uncertain=False)
