"""The inbound story on one screen: `accept` makes a message safe, `run` turns the journal into tickets.

A failure of the content counts an attempt and ends in quarantine; a failure of ours (database, disk,
processes) counts nothing: claiming pauses and goes on by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from sqlalchemy import Connection, select

from channels.contract import Accepted, Clock, Cursor, Unavailable
from gateway.context import Context
from gateway.filing import Conflict, Filed, file_entry, give_up
from gateway.filing_case import big_attachments
from gateway.log import get_logger
from gateway.metrics import Metrics
from gateway.store import claims, journal, schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.store.dialect import Contended
from gateway.store.failpoints import FailPoint, nowhere
from gateway.store.journal import Entry
from gateway.worker_protocol import Broken, Lost, Parsed, place_of
from gateway.workers import CHUNK_ENTRIES, Outcome, Suspect, WorkerPool, chunks
from normalizer.message import INLINE_LIMIT, InlineBody, RawMessage

POLL = 1.0
"""Seconds: how often retries that have become due are looked for when nothing else happens."""
PAUSES = (0.5, 30.0)
"""Seconds: first and longest pause after a failure of ours; doubles."""
GAP = 0.004
"""Seconds without a new message after which filing takes its turn."""
PATIENCE = 1.0
"""Seconds: the longest time that filing gives way to messages that come in."""
SUSPECTS_WAITING = 64
"""Entries that must be alone and are claimed at once."""
LOST_RACES = 5
"""How often an entry whose thread was taken meanwhile is filed again at once."""
PUT_OFF = timedelta(seconds=1)
"""The pause of such an entry after that."""
TURN = 0.02
"""Seconds before another node, which is choosing entries, is asked to let us choose."""
LOOK = 0.25
"""Seconds between two looks at an entry that another node may be filing."""

log = get_logger(__name__)
level = logging.getLogger(__name__)
"""Asked before a line for each message is made: there are many, and nobody looks."""


class Pipeline:
    """The way in. One per database."""

    def __init__(
        self,
        *,
        db: Database,
        blobs: Blobs,
        pool: WorkerPool,
        ctx: Context,
        clock: Clock,
        metrics: Metrics | None = None,
        failpoint: FailPoint = nowhere,
        after: Callable[[], object] = lambda: None,
        owner: str | None = None,
        answering: Collection[int] = (),
    ) -> None:
        """`after` is called when something was filed: there may be notices and timers.

        `answering`: entries that others are filing at this moment, because somebody waits for the answer.
        `owner` claims entries in the name of this node, where several work at one database.
        """
        self._owner, self._answering = owner, answering
        self._db, self._blobs, self._pool, self.ctx, self._clock = db, blobs, pool, ctx, clock
        self._metrics = metrics or Metrics()
        self._failpoint = failpoint
        self._after = after
        self._wake = asyncio.Event()
        self._busy: dict[int, bool] = {}
        """Entries that are being worked on -> must be alone."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._ordinary = 0
        self._pause = 0.0
        self._paused_until = 0.0
        self._waiting: dict[int, list[asyncio.Future[str]]] = {}
        self._accepting = 0
        """Messages whose COMMIT is under way."""
        self._accepted_at = 0.0
        """Monotonic: when the last one was safe."""
        self._patience_ends: float | None = None
        """Monotonic: until when filing gives way; None while nothing waits to be filed."""

    # -- accept -----------------------------------------------------------------------------

    async def accept(self, raws: Sequence[RawMessage], cursor: Cursor | None = None, /) -> Sequence[Accepted]:
        """Make messages safe: blobs, then rows and cursor in one transaction with others that wait (rules 2 to 4).

        Returning is the promise. Raises Unavailable when nothing was (or may have been) committed.
        """
        started = time.monotonic()
        ready = raws if all(map(_small, raws)) else await self._prepared(raws)
        committed = self._recorded(ready, cursor, started)
        try:
            accepted = await committed
        finally:
            self._accepting -= 1
        self._safe(raws, accepted, started)
        return accepted

    def begin(self, raw: RawMessage, told: Callable[[BaseException | None], None]) -> None:
        """`accept` of one message of at most `INLINE_LIMIT` bytes, for whoever has no task to wait in.

        `told` is called once, in the loop: with None when the message is committed, else with what `accept` raises.
        """
        started = time.monotonic()
        committed = self._recorded([raw], None, started)

        def done(answered: asyncio.Future[Sequence[Accepted]]) -> None:
            self._accepting -= 1
            error = answered.exception()
            if error is None:
                self._safe([raw], answered.result(), started)
            told(error)

        committed.add_done_callback(done)

    def _recorded(
        self, ready: Sequence[RawMessage], cursor: Cursor | None, started: float
    ) -> asyncio.Future[Sequence[Accepted]]:
        """Hand them to the writer; whoever waits for the future takes one off `_accepting` after it."""
        self._patience_ends = self._patience_ends or started + PATIENCE
        self._accepting += 1
        wanted = journal.recording(ready, cursor, now=self._clock(), blobs=self._blobs)
        return self._db.begin(wanted, urgent=True)

    def _safe(self, raws: Sequence[RawMessage], accepted: Sequence[Accepted], started: float) -> None:
        """They are committed: count them, and let filing know."""
        self._accepted_at = time.monotonic()
        self._wake.set()
        seconds = self._accepted_at - started
        for raw, result in zip(raws, accepted, strict=True):
            self._metrics.accepted(raw.channel, raw.account, duplicate=result.duplicate, seconds=seconds)
        if level.isEnabledFor(logging.DEBUG):
            _tell(raws, accepted)

    async def _prepared(self, raws: Sequence[RawMessage]) -> Sequence[RawMessage]:
        try:
            return await asyncio.to_thread(journal.prepare, raws, self._blobs)
        except OSError as error:
            raise Unavailable(f"the disk refuses a body: {error.strerror or type(error).__name__}") from error

    @property
    def paused(self) -> bool:
        """Claiming waits because of trouble of ours."""
        return time.monotonic() < self._paused_until

    def wake(self) -> None:
        """There may be entries to file (a replay was asked for)."""
        self._wake.set()

    async def processed(self, entry_id: int, within: float) -> str | None:
        """The number of the ticket that an entry became; None when it has none, or not within so many seconds."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(entry_id, []).append(future)
        try:
            async with asyncio.timeout(within):
                while True:
                    state, outcome = await self._db.read(lambda conn: _state(conn, entry_id))
                    if state != "pending":
                        return (outcome or {}).get("ticket")
                    await asyncio.wait([future], timeout=None if self._owner is None else LOOK)
                    if future.done():
                        return future.result() or None
        except TimeoutError:
            return None
        finally:
            self._waiting[entry_id].remove(future)
            if not self._waiting[entry_id]:
                del self._waiting[entry_id]

    # -- run --------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """File what is pending until `stop`; then finish what is under way."""
        stopper = asyncio.create_task(self._wake_on(stop))
        try:
            while not stop.is_set():
                self._wake.clear()
                await self._give_way(stop)
                if not await self._claim_some():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), POLL)
        finally:
            stopper.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def _give_way(self, stop: asyncio.Event) -> None:
        """While messages come in without a pause, taking them in goes first: what waits is filed together then.

        Not longer than `PATIENCE`: from then on both take turns until filing has caught up. Nor while somebody waits
        for the number of a ticket.
        """
        while not (stop.is_set() or self._waiting or self._patience_ends is None):
            now = time.monotonic()
            if now >= self._patience_ends or not (self._accepting or now - self._accepted_at < GAP):
                return
            await asyncio.sleep(GAP)

    async def _wake_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _claim_some(self) -> bool:
        """Start work on what is pending, as far as there is room. False when there is nothing (more) to start now."""
        # One chunk more than processes: the next is ready when one is done.
        room = self._pool.width + 1 - self._ordinary
        if room <= 0 or self.paused:
            return False
        try:
            claimed = await self._choose(CHUNK_ENTRIES * room)
        except (Unavailable, OSError) as error:  # the database, or a blob that is to be fetched
            self._ours(str(error))
            return False
        if not (claimed or self._busy or self._accepting):
            self._patience_ends = None
        started = False
        for chunk in chunks(claimed, suspects=SUSPECTS_WAITING - sum(self._busy.values())):
            if self._ordinary > self._pool.width and not chunk[0].alone:
                break
            self._start(chunk)
            started = True
        return started and self._ordinary <= self._pool.width

    async def _choose(self, limit: int) -> list[Entry]:
        """Entries to work on: on one server what is pending, among several nodes what this one has claimed."""
        now, busy, owner = self._clock(), (*self._busy, *self._answering), self._owner
        if owner is None:
            return await self._db.read(
                lambda conn: journal.pending(conn, blobs=self._blobs, now=now, limit=limit, exclude=busy)
            )
        ids = await self._db.write(
            lambda conn: claims.claim_entries(conn, owner=owner, now=now, limit=limit, exclude=busy), alone=True
        )
        if ids is None:
            await asyncio.sleep(TURN)
            self._wake.set()
        return await self._db.read(lambda conn: journal.load(conn, ids, self._blobs)) if ids else []

    def _start(self, chunk: list[Entry]) -> None:
        alone = chunk[0].alone
        self._busy.update((entry.id, alone) for entry in chunk)
        self._ordinary += not alone
        task = asyncio.create_task(self._work(chunk, alone))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _with_account(self, entry: Entry) -> Entry:
        """The entry with what its account says about reading it: as of now, so that a replay after a fix sees it."""
        account = self.ctx.settings.account(entry.raw.channel, entry.raw.account)
        known = account.reading() if account is not None else {}
        return replace(entry, raw=replace(entry.raw, facts={**entry.raw.facts, **known})) if known else entry

    async def _work(self, chunk: list[Entry], alone: bool) -> None:
        try:
            outcomes = await self._pool.run([self._with_account(entry) for entry in chunk])
            self._failpoint("read-unfiled")
            done = await asyncio.gather(
                *(self._settle(entry, outcome) for entry, outcome in zip(chunk, outcomes, strict=True)),
                return_exceptions=True,
            )
            self._failpoint("filed-unreported")
            self._judge(done)
        except Exception as error:
            log.error("filing is in trouble", exc_info=error)
            self._ours(type(error).__name__)
        finally:
            self._ordinary -= not alone
            for entry in chunk:
                del self._busy[entry.id]
            self._wake.set()

    def _judge(self, done: Sequence[BaseException | None]) -> None:
        """Pause after trouble of ours, raise what nobody expected, else go on at full speed."""
        errors = [error for error in done if error is not None]
        for error in errors:
            if not isinstance(error, Unavailable):
                raise error
        if errors:
            self._ours(str(errors[0]))
        else:
            self._pause = 0.0
            self._after()

    def _ours(self, reason: str) -> None:
        """A failure of ours: nothing is counted, claiming pauses."""
        self._pause = min(max(self._pause * 2, PAUSES[0]), PAUSES[1])
        self._paused_until = time.monotonic() + self._pause
        log.warning("filing pauses", reason=reason, seconds=self._pause)

    # -- one entry --------------------------------------------------------------------------

    async def _settle(self, entry: Entry, outcome: Outcome) -> None:
        """Write down what became of one entry; one whose thread others hold is put off, and nothing else waits for it.

        Raises Unavailable for trouble of ours.
        """
        try:
            await self._write_down(entry, outcome)
        except Contended as error:
            log.info("an entry is put off", entry=entry.id, reason=str(error))
            until = self._clock() + PUT_OFF
            await self._db.write(lambda conn: journal.put_back(conn, entry.id, until), lane=_lane(entry))

    async def _write_down(self, entry: Entry, outcome: Outcome) -> None:
        match outcome:
            case Parsed():
                await self._file(entry, outcome)
            case Broken(reason=reason):
                await self._give_up(entry, reason)
            case Suspect():
                await self._db.write(lambda conn: journal.set_alone(conn, [entry.id]))
            case Lost(reason=reason):
                raise Unavailable(reason)
            case _ as never:
                assert_never(never)

    async def _file(self, entry: Entry, parsed: Parsed) -> None:
        now = self._clock()
        await self._publish(parsed)
        for _ in range(LOST_RACES):
            try:
                filed = await self._db.write(
                    lambda conn: file_entry(conn, self.ctx, entry, parsed, now), lane=_lane(entry)
                )
            except Conflict:
                continue
            except Unavailable:
                raise
            except Exception as error:
                # Whatever this message does to filing is counted and shown; it must not stop the others.
                log.error("filing failed", entry=entry.id, exc_info=error)
                await self._give_up(entry, f"filing: {type(error).__name__} at {place_of(error)}")
                return
            self._report(entry, filed, now)
            return
        raise Contended("others are faster with its thread again and again")

    async def _publish(self, parsed: Parsed) -> None:
        names = big_attachments(parsed.event)
        if names:
            try:
                await asyncio.to_thread(self._blobs.publish, names)
            except OSError as error:
                raise Unavailable("an attachment could not be stored") from error

    async def _give_up(self, entry: Entry, reason: str) -> None:
        now = self._clock()
        try:
            quarantined = await self._db.write(
                lambda conn: give_up(conn, self.ctx, entry, reason, now), lane=_lane(entry)
            )
        except Unavailable:
            raise
        except Exception as error:
            # Even without its placeholder it must not be tried for ever.
            log.error("no placeholder", entry=entry.id, exc_info=error)
            limit = self.ctx.settings.journal.attempts
            quarantined = await self._db.write(
                lambda conn: journal.failed(conn, entry.id, reason=reason, now=now, limit=limit)
            )
        self._metrics.failed(reason.partition(":")[0].partition(" at ")[0], quarantined=quarantined)
        log.warning("not readable", entry=entry.id, reason=reason, quarantined=quarantined)
        if quarantined:
            self._answer(entry.id, "")

    def _report(self, entry: Entry, filed: Filed, now: datetime) -> None:
        if filed.kind in ("later", "taken"):
            return
        self._metrics.processed(filed.kind, (now - entry.accepted_at).total_seconds())
        log.debug("filed", entry=entry.id, outcome=filed.kind, ticket=filed.ticket_id, message=filed.message_id)
        self._answer(entry.id, filed.number)

    def _answer(self, entry_id: int, number: str) -> None:
        for future in self._waiting.get(entry_id, ()):
            if not future.done():
                future.set_result(number)


def _small(raw: RawMessage) -> bool:
    """Has it no body that needs a file?"""
    return isinstance(raw.body, InlineBody) and len(raw.body.content) <= INLINE_LIMIT


def _tell(raws: Sequence[RawMessage], accepted: Sequence[Accepted]) -> None:
    for raw, one in zip(raws, accepted, strict=True):
        log.debug("accepted", entry=one.entry, channel=raw.channel, account=raw.account, duplicate=one.duplicate)


def _lane(entry: Entry) -> str:
    """What one person writes is filed in order."""
    return f"{entry.raw.channel} {entry.raw.peer}"


def _state(conn: Connection, entry_id: int) -> tuple[str, dict[str, Any] | None]:
    table = schema.entry
    row = conn.execute(select(table.c.state, table.c.outcome).where(table.c.id == entry_id)).one_or_none()
    return ("unknown", None) if row is None else (row.state, row.outcome)
