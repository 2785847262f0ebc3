"""Fires timers: each check runs in the transaction that marks its timer as fired (rule 14).

A check reads its condition again, acts or not, and returns the outcome in a few words. Being killed
between the check and the mark is impossible: they are one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeAlias

from sqlalchemy import Connection

from channels.contract import Clock, Unavailable
from gateway.context import Context
from gateway.log import get_logger
from gateway.store import timers
from gateway.store.database import Database
from gateway.store.timers import Timer, put
from gateway.waiting import wait_for_any

__all__ = ["Check", "Timer", "Timers", "put"]

Check: TypeAlias = Callable[[Connection, Context, Timer, datetime], str | datetime]
"""Reads the condition again, acts in this transaction or not, and says what it found, or when to look again."""

BATCH = 100
SHORTEST, LONGEST = 1.0, 60.0
"""Seconds between two looks at the table, unless something wakes the loop."""
FAILURES = 5
"""A check that raises this often is given up; its timer says why."""

log = get_logger(__name__)


class Timers:
    """The loop that fires timers. `checks` is one visible table: kind -> check."""

    def __init__(
        self, db: Database, ctx: Context, checks: Mapping[str, Check], clock: Clock, *, after: Callable[[], None]
    ) -> None:
        """`after` is called when checks have run: they may have put notices into the outbox."""
        self._db, self.ctx, self._checks, self._clock, self._after = db, ctx, checks, clock, after
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """A timer was put that may be due sooner than the next look."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Fire what is due until `stop` is set. Trouble with the database pauses it, and it goes on by itself."""
        while not stop.is_set():
            self._woken.clear()
            try:
                pause = 0.0 if await self.fire() == BATCH else await self._until_next()
            except Unavailable:
                pause = SHORTEST * 5
            await wait_for_any(stop, self._woken, seconds=pause)

    async def fire(self) -> int:
        """Fire at most a batch of due timers, each by itself. Returns how many were due; raises Unavailable."""
        ids = await self._db.read(lambda conn: timers.due(conn, self._clock(), BATCH))
        # Begun in order, and so written in order; together they share commits.
        ends = await asyncio.gather(*(self._fire(timer_id) for timer_id in ids), return_exceptions=True)
        if ids:
            self._after()
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        return len(ids)

    async def _fire(self, timer_id: int) -> None:
        now = self._clock()
        try:
            outcome = await self._db.write(lambda conn: self._check(conn, timer_id, now), lane="timers")
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001  one broken check must not hold back the others
            reason = f"{type(error).__name__}: {error}"
            log.error("timer check failed", timer=timer_id, error=type(error).__name__)
            await self._db.write(lambda conn: _put_off(conn, timer_id, reason, now))
        else:
            log.info("timer fired", timer=timer_id, outcome=outcome)

    def _check(self, conn: Connection, timer_id: int, now: datetime) -> str:
        timer = timers.taken(conn, timer_id)
        if timer is None:
            return "fired before"
        outcome = self._checks[timer.kind](conn, self.ctx, timer, now)
        if isinstance(outcome, datetime):
            timers.postpone(conn, timer, outcome, {})
            return f"put off until {outcome.isoformat()}"
        timers.fired(conn, timer.id, outcome, now)
        return outcome

    async def _until_next(self) -> float:
        due_at = await self._db.read(timers.next_due)
        left = LONGEST if due_at is None else (due_at - self._clock()).total_seconds()
        return min(max(left, SHORTEST), LONGEST)


def _put_off(conn: Connection, timer_id: int, reason: str, now: datetime) -> None:
    timer = timers.taken(conn, timer_id)
    if timer is None:
        return
    failures = int(timer.data.get("failures", 0)) + 1
    if failures >= FAILURES:
        timers.fired(conn, timer.id, f"given up: {reason}"[:500], now)
    else:
        timers.postpone(conn, timer, now + timedelta(minutes=failures), {"failures": failures})
