"""Fetches files that messages only name, after the messages are filed; nothing in the pipeline waits for it (rule 10).

A file is streamed into the spool, becomes a blob, and only then its row and the ticket's history say so, in one
transaction. Being killed anywhere before leaves a claim, which is a lease: the file is fetched again. A file with
spoken words goes on to the transcription program where there is one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import TypeAlias

from sqlalchemy import Connection

from channels.contract import Clock, Erases, Fetched, Fetcher, FetchFailed, Unavailable
from gateway import fetched, health
from gateway.circuit import Circuit
from gateway.context import Context
from gateway.log import get_logger
from gateway.store import media
from gateway.store.blobs import Blobs, SpoolDamaged
from gateway.store.database import Database
from gateway.store.failpoints import FailPoint, nowhere
from gateway.transcription import NoTranscript, transcribe
from gateway.waiting import wait_for_any
from router.route import route

Account: TypeAlias = tuple[str, str]
"""(channel, account)."""
SHORTEST, LONGEST = 1.0, 60.0
"""Seconds between two looks at the table, unless something wakes the loop."""
LISTENING = 5.0
"""The same while nothing may be fetched: spoken words that are here are still written down."""
GIVEN_UP_AT_ONCE = 20
SPOKEN = "audio/ogg"
"""The type of voice messages everywhere; songs have others."""

log = get_logger(__name__)


class Fetching:
    """Fetches what is due until it is stopped."""

    def __init__(
        self,
        db: Database,
        ctx: Context,
        *,
        fetchers: Mapping[Account, Fetcher],
        blobs: Blobs,
        spool: Path,
        clock: Clock,
        random: Random,
        owner: str,
        after: Callable[[], None],
        failpoint: FailPoint = nowhere,
        held: Callable[[], bool] = lambda: False,
    ) -> None:
        """`spool` is on the file system of the blobs; `after` is called when notices may have been put.

        While `held` says so nothing is fetched or given up: a restored copy leaves far sides alone."""
        self.ctx = ctx
        self.fetchers = fetchers
        self._db, self._blobs, self._spool, self._clock, self._random = db, blobs, spool, clock, random
        self._owner = f"{owner[:48]}:{random.getrandbits(48):012x}"
        self._after, self._failpoint, self.held = after, failpoint, held
        self._circuits: dict[Account, Circuit] = {}
        self._busy: dict[int, tuple[Account, media.Step]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self.fetched: Callable[[], object] = lambda: None
        """Called when a file is here."""

    def wake(self) -> None:
        """A message was filed. To be called in the event loop, after the commit."""
        self._woken.set()

    def trouble(self) -> health.Check:
        """For operators: accounts whose files cannot be fetched."""
        return health.Check(name="media", trouble=self._trouble)

    def _trouble(self) -> str:
        names = sorted(f"{channel}/{name}" for (channel, name), one in self._circuits.items() if one.reopens_at)
        return f"files cannot be fetched by {', '.join(names)}" if names else ""

    # -- the loop ---------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Fetch until `stop` is set; what is under way then is dropped and fetched after the next start."""
        released = False
        while not stop.is_set():
            self._woken.clear()
            try:
                if not released and not self._db.shared:
                    await self._db.write(lambda conn: media.release(conn, self._owner))
                released = True
                pause = 0.0 if await self.claim() else await self._until_next()
            except Unavailable:
                pause = SHORTEST * 5
            if pause:
                await wait_for_any(stop, self._woken, seconds=pause)
        await self.drop()

    async def drop(self) -> None:
        """End what is under way; it is free for others at once where the database is there."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self._db.write(lambda conn: media.put_back(conn, self._owner))
        except Unavailable:
            log.warning("what was being fetched is free when its lease ends")

    async def claim(self) -> int:
        """Begin with what may be begun now. Returns how many; raises Unavailable."""
        now = self._clock()
        await self._give_up_old(now)
        ids = await self._db.read(lambda conn: self._due(conn, now))
        if not ids:
            return 0
        until = now + fetched.lease(self.ctx)
        rows = await self._db.write(lambda conn: media.claim(conn, ids, self._owner, now, until))
        for row in rows:
            self._busy[row.id] = ((row.channel, row.account), row.step)
            task = asyncio.create_task(self._work(row))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(rows)

    def _due(self, conn: Connection, now: datetime) -> list[int]:
        rules, running = self.ctx.settings.media, Counter(self._busy.values())
        free = rules.concurrency - sum(count for (_, step), count in running.items() if step == "fetch")
        listening = sum(count for (_, step), count in running.items() if step == "transcribe")
        ears = self.ctx.settings.transcription.concurrency - listening
        ids: list[int] = []
        for account in self.fetchers:
            room = self._circuit(account).room(now, running[account, "fetch"], rules.per_account)
            room = 0 if self.held() else room
            found = media.due(conn, *account, now, min(room, free), "fetch") if min(room, free) > 0 else []
            spoken = media.due(conn, *account, now, ears, "transcribe") if ears > 0 else []
            free, ears = free - len(found), ears - len(spoken)
            ids += [*found, *spoken]
        return ids

    async def _until_next(self) -> float:
        if self.held():
            return LISTENING  # what waits to be fetched is due all the time
        now = self._clock()
        circuits = {account: self._circuit(account).reopens_at or now for account in self.fetchers}
        running = [account for account, at in circuits.items() if at <= now]
        due_at = await self._db.read(lambda conn: media.next_due(conn, running))
        times = [at for at in (due_at, *circuits.values()) if at is not None and at > now]
        left = min(((at - now).total_seconds() for at in times), default=LONGEST)
        return min(max(left, SHORTEST), LONGEST)

    def _circuit(self, account: Account) -> Circuit:
        return self._circuits.setdefault(account, Circuit())

    async def _give_up_old(self, now: datetime) -> None:
        """Files that nobody could fetch in time, those of accounts that are gone included."""
        before = now - self.ctx.settings.media.max_age
        if self.held() or not await self._db.read(lambda conn: media.has_outlived(conn, before)):
            return

        def give_up(conn: Connection) -> int:
            rows = media.outlived(conn, before, GIVEN_UP_AT_ONCE)
            for row in rows:
                if row.step == "fetch":
                    fetched.will_not_come(conn, self.ctx, row, "it could not be fetched in time", now, too_big=False)
                else:
                    fetched.not_heard(conn, row, "it was not transcribed in time", now)
            return len(rows)

        if await self._db.write(give_up):
            self._after()

    # -- one file ---------------------------------------------------------------------------

    async def _work(self, row: media.Row) -> None:
        try:
            await (self._fetch(row) if row.step == "fetch" else self._listen(row))
        except Unavailable:
            log.warning("what became of a file could not be written; its lease ends by itself", media=row.id)
        except Exception as error:  # noqa: BLE001  one file must not end the loop; its lease ends by itself
            log.error("fetching broke", media=row.id, error=type(error).__name__)
        finally:
            # A clock that jumps may end the lease of what goes on: then it is here twice.
            self._busy.pop(row.id, None)
            self._woken.set()

    async def _fetch(self, row: media.Row) -> None:
        account = (row.channel, row.account)
        fetcher = self.fetchers[account]
        try:
            file = await self._fetched(row, fetcher)
            self._failpoint("media-fetched")
            await asyncio.to_thread(self._adopt, file)
            self._failpoint("media-adopted")
        except FetchFailed as error:
            await self._failed(row, error)
            return
        except OSError as error:
            why = f"our disk: {error.strerror or type(error).__name__}"
            await self._failed(row, FetchFailed(why, permanent=False))
            return
        self._circuit(account).answered()
        spoken = file.spoken or SPOKEN in (row.content_type, file.content_type)
        listen = spoken and bool(self.ctx.settings.transcription.command)
        came = partial(fetched.came, erase_after=fetcher.erase_after if isinstance(fetcher, Erases) else None)
        ours = await self._db.write(lambda conn: came(conn, row, file, self._clock(), listen=listen))
        self.fetched()
        log.info("file is here" if ours else "file was settled by another", media=row.id, size=file.size)

    async def _fetched(self, row: media.Row, fetcher: Fetcher) -> Fetched:
        rules = self.ctx.settings.media
        if not row.source:
            # Nothing but a name came over the wire, mostly because it is over what the far side passes on.
            raise FetchFailed("the far side passes on no such file", permanent=True, too_big=row.size > rules.limit)
        try:
            async with asyncio.timeout(rules.timeout.total_seconds()):
                return await fetcher.fetch(row.source, rules.limit, self._spool)
        except TimeoutError:
            raise FetchFailed("it did not come within the time limit", permanent=False) from None

    def _adopt(self, file: Fetched) -> None:
        try:
            self._blobs.adopt(file.path, file.sha256, file.size)
        except SpoolDamaged as error:
            file.path.unlink(missing_ok=True)
            raise FetchFailed("it was damaged on our disk", permanent=False) from error

    async def _failed(self, row: media.Row, error: FetchFailed) -> None:
        """Put off, or given up."""
        rules, now, circuit = self.ctx.settings.media, self._clock(), self._circuit((row.channel, row.account))
        if error.permanent or error.absent:
            circuit.answered()
        elif circuit.failed(now):
            log.warning("account pauses", channel=row.channel, account=row.account)
        last = row.attempts >= rules.attempts or now - row.created_at >= rules.max_age
        if error.permanent or last:
            give_up = partial(fetched.will_not_come, too_big=error.too_big)
            await self._db.write(lambda conn: give_up(conn, self.ctx, row, str(error), now))
            self._after()
        else:
            due_at = now + self._pause(row.attempts, error.retry_after)
            await self._db.write(lambda conn: fetched.put_off(conn, row, due_at, str(error), now))
        log.info("file was not fetched", media=row.id, attempt=row.attempts, given_up=error.permanent or last)

    def _pause(self, attempts: int, retry_after: float | None = None) -> timedelta:
        rules = self.ctx.settings.media
        limit = rules.backoff_limit.total_seconds()
        if retry_after is not None:
            return timedelta(seconds=min(max(retry_after, SHORTEST), limit))
        full = min(rules.backoff.total_seconds() * 2.0 ** min(attempts - 1, 30), limit)
        return timedelta(seconds=max(full * self._random.uniform(0.5, 1.0), SHORTEST))

    # -- spoken words -----------------------------------------------------------------------

    async def _listen(self, row: media.Row) -> None:
        rules = self.ctx.settings.transcription
        if not rules.command or row.blob is None:
            await self._db.write(lambda conn: fetched.not_heard(conn, row, "", self._clock()))
            return
        try:
            path = await asyncio.to_thread(self._blobs.local, row.blob)
            text = await transcribe(
                rules.command, path, row.filename, languages=rules.languages,
                seconds=rules.timeout.total_seconds(), work=self._spool,
            )  # fmt: skip
        except (NoTranscript, OSError) as error:
            reason = str(error) if isinstance(error, NoTranscript) else f"our disk: {error.strerror}"
            await self._not_heard(row, reason)
            return
        await self._heard(row, text)

    async def _not_heard(self, row: media.Row, reason: str) -> None:
        now, last = self._clock(), row.attempts >= self.ctx.settings.transcription.attempts
        log.warning("no transcript", media=row.id, attempt=row.attempts, reason=reason)
        if last:
            await self._db.write(lambda conn: fetched.not_heard(conn, row, reason, now))
        else:
            due_at = now + self._pause(row.attempts)
            await self._db.write(lambda conn: fetched.put_off(conn, row, due_at, reason, now))

    async def _heard(self, row: media.Row, text: str) -> None:
        if not text:
            await self._db.write(lambda conn: fetched.not_heard(conn, row, "nothing is said in it", self._clock()))
            return
        assignment = None
        found = await self._db.read(lambda conn: fetched.reading(conn, fetched.words_of(row), text))
        if found is not None:
            assignment = await asyncio.to_thread(
                route, found.message, self.ctx.policy, found.opened_at,
                channel=row.channel, account=row.account, contract=found.contract,
            )  # fmt: skip
        await self._db.write(lambda conn: fetched.heard(conn, self.ctx, row, text, assignment, self._clock()))
        self._after()
        log.info("transcribed", media=row.id, rerouted=assignment is not None)
