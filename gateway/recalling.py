"""Asks the provider what became of calls of which nobody told us: it does not repeat a request that found us down.

What it remembers goes through the intake as the request that did not come would have, so it is journalled, filed once
whoever tells it first, and can be replayed. A call is marked behind the commit: a kill between the two costs a second
question. Bounded as fetching is (rule 10): so many at a time, and a pause while the account's far side is in trouble.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias

from channels.contract import Clock, Fetcher, FetchFailed, Intake, Recalls, Unavailable
from gateway.circuit import Circuit
from gateway.log import get_logger
from gateway.store import calls
from gateway.store.database import Database
from gateway.store.failpoints import FailPoint, nowhere
from gateway.waiting import until_stopped, wait_for_any

Account: TypeAlias = tuple[str, str]
"""(channel, account)."""
EVERY = 60.0
"""Seconds between two looks."""
AT_ONCE = 50
"""Calls of one account that one look asks about."""
QUIET = timedelta(minutes=10)
"""A younger call may still go on, or be told of."""
BACK = timedelta(days=7)
"""Older ones are left as they are."""
FIRST, LAST = timedelta(minutes=5), timedelta(hours=2)
"""Pauses after the first and after many questions about one call that goes on, or could not be asked about."""
LETTING_GO = 1.0
"""Seconds that a question under way at the stop has; what it would have told is asked for after the next start."""

log = get_logger(__name__)


class Recalling:
    """Asks until it is stopped."""

    def __init__(
        self,
        db: Database,
        *,
        fetchers: Callable[[], Mapping[Account, Fetcher]],
        intake: Intake,
        clock: Clock,
        held: Callable[[], bool] = lambda: False,
        failpoint: FailPoint = nowhere,
    ) -> None:
        """`fetchers`: those of the present configuration. While `held` says so nobody is asked."""
        self._db, self._fetchers, self._intake, self._clock = db, fetchers, intake, clock
        self._held, self._failpoint = held, failpoint
        self._circuits: dict[Account, Circuit] = {}
        self._later: dict[int, tuple[int, datetime]] = {}
        """Call -> how often it was asked about in vain, and when it is again."""

    async def run(self, stop: asyncio.Event) -> None:
        """Ask until `stop` is set."""
        while not stop.is_set():
            try:
                await until_stopped(self.once(), stop, grace=LETTING_GO)
            except Unavailable as error:
                log.warning("asking what became of calls is put off", error=type(error).__name__)
            await wait_for_any(stop, seconds=EVERY)

    async def once(self) -> int:
        """Ask about what nobody told. Returns how many calls that settled; raises Unavailable."""
        if self._held():
            return 0
        now, done = self._clock(), 0
        self._later = {call: then for call, then in self._later.items() if then[1] > now - BACK}
        for account, fetcher in self._fetchers().items():
            if not isinstance(fetcher, Recalls):
                continue
            find = partial(calls.untold, after=now - BACK, before=now - QUIET, limit=AT_ONCE + len(self._later))
            rows = await self._db.read(lambda conn, account=account, find=find: find(conn, *account))  # type: ignore[misc]
            due = [one for one in rows if one[0] not in self._later or self._later[one[0]][1] <= now]
            done += await self._asked(account, fetcher, due[:AT_ONCE])
        return done

    async def _asked(self, account: Account, fetcher: Recalls, due: Sequence[tuple[int, str]]) -> int:
        circuit, done = self._circuits.setdefault(account, Circuit()), 0
        for call_id, sid in due:
            if not circuit.room(self._clock(), 0, 1):
                break
            done += await self._settled(account, fetcher, call_id, sid, circuit)
        return done

    async def _settled(self, account: Account, fetcher: Recalls, call_id: int, sid: str, circuit: Circuit) -> bool:
        """One call. False: it is asked about again. Raises Unavailable."""
        try:
            return await self._recalled(account, fetcher, call_id, sid, circuit)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001  one call must not end the loop, and the gateway with it
            self._put_off(call_id, None)
            log.error("asking what became of a call broke", call=call_id, error=type(error).__name__)
            return False

    async def _recalled(self, account: Account, fetcher: Recalls, call_id: int, sid: str, circuit: Circuit) -> bool:
        channel, name = account
        try:
            raws = await fetcher.recall(sid)
        except FetchFailed as error:
            if error.permanent or error.absent:
                circuit.answered()
            else:
                circuit.failed(self._clock())
            if not error.permanent:
                self._put_off(call_id, error.retry_after)
                log.info("what became of a call is not known yet", call=call_id, why=str(error))
                return False
            raws = ()
        else:
            circuit.answered()
        accepted = await self._intake(raws) if raws else ()
        self._failpoint("call-recalled")
        await self._db.write(lambda conn: calls.recalled(conn, call_id, self._clock()))
        self._later.pop(call_id, None)
        new = sum(not one.duplicate for one in accepted)
        log.info("the provider told what became of a call", channel=channel, account=name, call=call_id, new=new)
        return True

    def _put_off(self, call_id: int, retry_after: float | None) -> None:
        count = self._later.get(call_id, (0, self._clock()))[0]
        pause = min(FIRST * 2.0 ** min(count, 10), LAST)
        if retry_after is not None:
            pause = max(pause, timedelta(seconds=min(retry_after, LAST.total_seconds())))
        self._later[call_id] = (count + 1, self._clock() + pause)
