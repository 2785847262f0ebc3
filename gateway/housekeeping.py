"""Hourly: forget raw bytes and records past their time, sweep blobs and what a dead upload left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from channels.contract import Clock, Unavailable
from gateway.call_ends import give_up
from gateway.context import Context
from gateway.filing_case import Conflict
from gateway.log import get_logger
from gateway.store import calls, journal, leases, retention
from gateway.store.blob_sweep import sweep
from gateway.store.blobs import Blobs, sweep_folder
from gateway.store.database import Database
from gateway.waiting import wait_for_any

EVERY = timedelta(hours=1)
LONGEST_CALL = timedelta(hours=6)
"""Twilio ends a call after four: https://www.twilio.com/docs/voice/api/call-resource"""
LAST_WORD = timedelta(days=2)
"""After the end of a call nothing is told of it any more: recordings and transcripts come within minutes."""
AFTER_TROUBLE = timedelta(minutes=5)

log = get_logger(__name__)


class Housekeeping:
    """The loop. Nothing in it is urgent; trouble puts it off and is logged."""

    def __init__(self, db: Database, ctx: Context, blobs: Blobs, spool: Path, clock: Clock) -> None:
        self._db, self.ctx, self._blobs, self._spool, self._clock = db, ctx, blobs, spool, clock

    async def run(self, stop: asyncio.Event) -> None:
        """Tidy at the start and every hour until `stop` is set."""
        while not stop.is_set():
            pause = EVERY
            try:
                log.info("tidied", **await self.tidy())
            except (Unavailable, Conflict, OSError) as error:
                log.warning("tidying is put off", error=type(error).__name__)
                pause = AFTER_TROUBLE
            await wait_for_any(stop, seconds=pause.total_seconds())

    async def tidy(self) -> dict[str, int]:
        """Do it once. Returns how many of each kind went. Raises Unavailable, Conflict, OSError."""
        now = self._clock()
        before = now - self.ctx.settings.journal.keep_raw
        forgotten = 0
        while dropped := await self._db.write(partial(journal.drop_raw, before=before)):
            forgotten += dropped
        kept = self.ctx.settings.retention
        attachments = await self._in_chunks(retention.drop_attachments, kept.attachments, now)
        records = await self._in_chunks(retention.drop_records, kept.log, now)
        swept = await sweep(self._db, self._blobs, now=now)
        await self._db.write(leases.forget)
        endless = await self._without_end(now)
        # What may be replayed must find its call; the last word of one may be a day younger than its end.
        old_calls = max(kept.calls, self.ctx.settings.journal.keep_raw + LAST_WORD) if kept.calls else kept.calls
        called = await self._in_chunks(calls.drop, old_calls, now)
        leftovers = await asyncio.to_thread(sweep_folder, self._spool, now)
        return {
            "raw_forgotten": forgotten,
            "attachments_forgotten": attachments,
            "records_forgotten": records,
            "blobs_swept": swept,
            "calls_without_end": endless,
            "calls_forgotten": called,
            "spool_leftovers": leftovers,
        }

    async def _without_end(self, now: datetime) -> int:
        """Calls are over of which nobody told us so, each in a transaction of its own. Returns how many."""
        done = 0
        while found := await self._db.read(partial(calls.without_end, before=now - LONGEST_CALL)):
            for call in found:
                await self._db.write(partial(give_up, ctx=self.ctx, blobs=self._blobs, call_id=call, now=now))
            done += len(found)
        return done

    async def _in_chunks(self, drop: Callable[..., int], keep: timedelta, now: datetime) -> int:
        """Drop what is older than `keep` (zero: nothing), a transaction at a time. Returns how many."""
        total = 0
        while keep and (dropped := await self._db.write(partial(drop, before=now - keep))):
            total += dropped
        return total
