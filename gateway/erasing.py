"""Deletes files at the far side that are here, where an account wants that.

A row is put in the transaction that says the file is here, so nothing is deleted before it is committed. Deleting twice
does no harm, and what is not there is deleted: so there is no claim, and a kill costs a second request at most. Nobody
gives up: what cannot be deleted is somebody's words that lie where they should not, and operators hear of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias

from sqlalchemy import Row

from channels.contract import Clock, Erases, Fetcher, FetchFailed, Unavailable
from gateway.log import get_logger
from gateway.store import erasures, hold
from gateway.store.database import Database
from gateway.waiting import until_stopped, wait_for_any

Account: TypeAlias = tuple[str, str]
"""(channel, account)."""
AT_ONCE = 20
SHORTEST, LONGEST = 1.0, 60.0
"""Seconds between two looks at the table, unless something wakes the loop."""
FIRST, LAST = timedelta(minutes=1), timedelta(hours=6)
"""Pauses after the first and after many failed tries."""
WORTH_TELLING = 6
"""Failed tries, half an hour of them, after which operators hear of it."""
LETTING_GO = 1.0
"""Seconds that a request under way at the stop has; it is repeated after the next start."""

log = get_logger(__name__)


class Erasing:
    """Deletes what is due until it is stopped."""

    def __init__(self, db: Database, *, fetchers: Callable[[], Mapping[Account, Fetcher]], clock: Clock) -> None:
        """`fetchers`: those of the present configuration."""
        self._db, self._fetchers, self._clock = db, fetchers, clock
        self._woken = asyncio.Event()
        self._trouble = ""

    def wake(self) -> None:
        """A file is here. To be called in the event loop, after the commit."""
        self._woken.set()

    async def troubles(self) -> dict[str, str]:
        """For operators: what has not been deleted for long."""
        return {"erasing": self._trouble} if self._trouble else {}

    async def run(self, stop: asyncio.Event) -> None:
        """Delete until `stop` is set."""
        while not stop.is_set():
            self._woken.clear()
            pause = LONGEST
            try:
                await until_stopped(self.once(), stop, grace=LETTING_GO)
                pause = await self._until_next()
            except Unavailable as error:
                log.warning("deleting is put off", error=type(error).__name__)
            await wait_for_any(stop, self._woken, seconds=pause)

    async def once(self) -> int:
        """Do what is due now, unless everything outbound is held. Returns how many are deleted; raises Unavailable."""
        if await self._db.read(hold.get) is not None:
            return 0  # a restored copy may be a second one, and what it lacks may be had again from there alone
        now, gone = self._clock(), 0
        for (channel, account), fetcher in self._fetchers().items():
            if not isinstance(fetcher, Erases) or fetcher.erase_after is None:
                continue
            due = partial(erasures.due, channel=channel, account=account, now=now, limit=AT_ONCE)
            for row in await self._db.read(due):
                gone += await self._erased(fetcher, row)
        failing = await self._db.read(partial(erasures.failing, attempts=WORTH_TELLING))
        self._trouble = "; ".join(
            f"{count} recordings cannot be deleted at the provider of {channel}/{account}"
            for channel, account, count in failing
        )
        return gone

    async def _erased(self, fetcher: Erases, row: Row[Any]) -> bool:
        try:
            await fetcher.erase(row.source)
        except FetchFailed as error:
            pause = min(FIRST * 2.0 ** min(row.attempts, 20), LAST)
            due_at, reason = self._clock() + pause, str(error)
            await self._db.write(lambda conn: erasures.put_off(conn, row.id, due_at, reason))
            log.warning("a file is not deleted", channel=row.channel, account=row.account, reason=reason)
            return False
        await self._db.write(lambda conn: erasures.done(conn, row.id))
        log.info("a file is deleted at the far side", channel=row.channel, account=row.account)
        return True

    async def _until_next(self) -> float:
        due_at = await self._db.read(erasures.next_due)
        left = LONGEST if due_at is None else (due_at - self._clock()).total_seconds()
        return min(max(left, SHORTEST), LONGEST)
