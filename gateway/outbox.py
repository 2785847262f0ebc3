"""The delivery engine: claims due notices, has them sent, writes down what each try came to.

A notice is SENDING in a committed row before its first byte goes out (rule 12). The order within a
lane is the claim's business; how many go out at once, and which accounts pause, is decided here.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain, zip_longest
from random import Random

from sqlalchemy import Connection

from channels.contract import Clock, Prober, Sender, Unavailable
from gateway import updates
from gateway.context import Context
from gateway.despatch import Account, Despatch, Render, Wires
from gateway.leases import Leases, unique
from gateway.log import get_logger
from gateway.metrics import Metrics
from gateway.outbox_results import Compose, apply
from gateway.store import claims, outbox
from gateway.store.database import Database
from gateway.store.failpoints import FailPoint, nowhere
from gateway.store.outbox import Row, Settlement
from gateway.waiting import wait_for_any

SHORTEST, LONGEST = 1.0, 60.0
"""Seconds between two looks at the table, unless something wakes the loop."""
MARGIN = 1.0
"""Seconds beyond the time limit of a send after which a dead node's notices are taken over."""
FINISH = 10.0
"""Seconds beyond two time limits of a send that stopping waits for results to be written."""

log = get_logger(__name__)


def _always() -> bool:
    return True


class Outbox:
    """Sends what is due until it is stopped."""

    def __init__(
        self,
        db: Database,
        ctx: Context,
        *,
        senders: Mapping[Account, Sender],
        capture: Sender,
        render: Render,
        clock: Clock,
        random: Random,
        owner: str,
        metrics: Metrics,
        probers: Mapping[Account, Prober] | None = None,
        compose: Compose = updates.compose,
        failpoint: FailPoint = nowhere,
        leases: Leases | None = None,
    ) -> None:
        """`capture` sends for accounts with `outbound: capture`; `render` makes a notice in a read transaction.

        `owner` names this server. A random part is added, because a process id comes again after a restart
        and our claims must not be taken for a dead server's. With `leases` there are several nodes: the owner is
        theirs, nothing is sent that is not surely ours, and what a dead node left is taken over while we run.
        """
        self._leases = leases
        self._db, self._compose, self._clock, self._metrics = db, compose, clock, metrics
        self._owner = leases.owner if leases is not None else unique(owner, random)
        self._wires = Wires(senders=senders, capture=capture, probers=probers or {})
        self._despatch = Despatch(
            db, ctx, self._wires, render=render, clock=clock, random=random, failpoint=failpoint
        )  # fmt: skip
        self._woken = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending: dict[int, Account] = {}
        self._doubtful_claim = False

    @property
    def ctx(self) -> Context:
        """Settings, policy and key; may be replaced at any time."""
        return self._despatch.ctx

    @ctx.setter
    def ctx(self, ctx: Context) -> None:
        self._despatch.ctx = ctx

    def rewire(self, senders: Mapping[Account, Sender], probers: Mapping[Account, Prober]) -> None:
        """Send by these from the next notice on; what is on its way keeps its sender."""
        self._wires = replace(self._wires, senders=senders, probers=probers)
        self._despatch.wires = self._wires

    @property
    def senders(self) -> Mapping[Account, Sender]:
        """What notices go out by now."""
        return self._wires.senders

    @property
    def under_way(self) -> frozenset[int]:
        """Rows that are being sent or settled."""
        return frozenset(self._sending)

    @property
    def paused(self) -> frozenset[Account]:
        """Accounts whose far side is down."""
        return frozenset(account for account in self._accounts() if self._despatch.circuit(account).reopens_at)

    def wake(self) -> None:
        """Something was put. To be called in the event loop, after the commit."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Recover, then send until `stop` is set; what is being sent then is finished and settled."""
        loop, look_at = asyncio.get_running_loop(), 0.0
        while not stop.is_set():
            self._woken.clear()
            try:
                if loop.time() >= look_at:
                    await self.recover()
                    look_at = loop.time() + (math.inf if self._leases is None else self._leases.pause)
                pause = 0.0 if await self.claim() else min(await self.until_next(), max(look_at - loop.time(), 0.01))
            except Unavailable:
                pause = SHORTEST
            if pause:
                await wait_for_any(stop, self._woken, seconds=pause)
        await self.finish(self.ctx.settings.outbox.send_timeout.total_seconds() * 2 + FINISH)

    async def finish(self, seconds: float) -> None:
        """Wait for everything under way; what takes longer stays SENDING and is recovered at the next start."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(set(self._tasks), timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def recover(self) -> int:
        """Begin to settle what a dead server left SENDING. Returns how many; raises Unavailable."""
        if self._leases is None:
            rows = await self._db.read(lambda conn: outbox.abandoned(conn, self._owner))
        else:
            patience = self.ctx.settings.outbox.send_timeout + timedelta(seconds=MARGIN)
            rows = await self._db.write(lambda conn: claims.take_over(conn, self._owner, patience))
        for row in rows:
            self._start(row, self._despatch.recover(row))
        return len(rows)

    async def claim(self) -> int:
        """Claim what may go out now and begin to send it. Returns how many; raises Unavailable."""
        if self._leases is not None and not self._leases.alive():
            return 0
        still_ours = _always if self._leases is None else self._leases.claiming()
        await self._drop_doubtful_claims()
        now = self._clock()
        free, rooms = self._rooms(now)
        if not rooms:
            return 0
        found = await self._db.read(lambda conn: [outbox.due(conn, *account, now, n) for account, n in rooms.items()])
        # One of each account in turn, so that a long queue takes no place from the others.
        ids = [row_id for row_id in chain.from_iterable(zip_longest(*found)) if row_id is not None][:free]
        if not ids:
            return 0
        try:
            rows = await self._db.write(lambda conn: outbox.claim(conn, ids, self._owner, now))
        except Unavailable:
            self._doubtful_claim = True  # the COMMIT may have happened all the same
            raise
        for row in rows:
            self._start(row, self._despatch.send(row, still_ours))
        return len(rows)

    async def _drop_doubtful_claims(self) -> None:
        """Rows that are SENDING in our name but were never handed to us go back: nothing was sent."""
        if self._doubtful_claim:
            ours = list(self._sending)
            await self._db.write(lambda conn: outbox.release(conn, self._owner, ours))
            self._doubtful_claim = False

    def _rooms(self, now: datetime) -> tuple[int, dict[Account, int]]:
        """How many more may be claimed, in all and by account."""
        rules, sending, despatch = self.ctx.settings.outbox, Counter(self._sending.values()), self._despatch
        ahead = {account: despatch.ahead(account) for account in self._accounts()}
        free = max(rules.concurrency * max(ahead.values(), default=1) - len(self._sending), 0)
        rooms = {
            account: min(free, despatch.circuit(account).room(now, sending[account], rules.per_account * times))
            for account, times in ahead.items()
        }
        return free, {account: room for account, room in rooms.items() if room > 0}

    def _accounts(self) -> list[Account]:
        """Accounts that can get rid of a notice: with a sender, or not to send at all."""
        return [
            (channel, name)
            for channel, accounts in self.ctx.settings.channels.items()
            for name, account in accounts.items()
            if account.outbound != "on" or (channel, name) in self._wires.senders
        ]

    async def until_next(self) -> float:
        """Seconds until something becomes due or a paused account is tried again."""
        now = self._clock()
        reopens = {account: self._despatch.circuit(account).reopens_at or now for account in self._accounts()}
        running = [account for account, at in reopens.items() if at <= now]
        due_at = await self._db.read(lambda conn: outbox.next_due(conn, running, now))
        times = [at for at in (due_at, *reopens.values()) if at is not None and at > now]
        left = min(((at - now).total_seconds() for at in times), default=LONGEST)
        return min(max(left, SHORTEST), LONGEST)

    # -- one notice -----------------------------------------------------------------------

    def _start(self, row: Row, work: Coroutine[None, None, Settlement]) -> None:
        self._sending[row.id] = (row.channel, row.account)
        task = asyncio.create_task(self._carry_out(row, work))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a delivery broke off; its row stays as it is until the next start", error=type(error).__name__)

    async def _carry_out(self, row: Row, work: Coroutine[None, None, Settlement]) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            settlement = await work
            self._metrics.settled(row.channel, settlement.state, loop.time() - begun)
            await self._settle(row, settlement)
        finally:
            del self._sending[row.id]
            self._woken.set()

    async def _settle(self, row: Row, settlement: Settlement) -> None:
        """Write it down, and on the ticket what went wrong. The row stays SENDING until that is committed."""

        def told(conn: Connection) -> bool:
            return apply(conn, self.ctx, self._compose, row, settlement, self._clock())

        def only(conn: Connection) -> bool:
            return outbox.settle(conn, settlement, self._clock())

        try:
            ours = await self._written(told)
        except Exception as error:  # noqa: BLE001  trouble with telling staff must not make it be sent again
            log.error("result could not be told", outbox=row.id, error=type(error).__name__)
            ours = await self._written(only)
        # What went out as it should is counted, and stands in its row; a line for each would cost more than sending it.
        say = log.debug if ours and settlement.state in ("sent", "captured") else log.info
        say("settled" if ours else "settled by another", outbox=row.id, state=settlement.state)

    async def _written(self, job: Callable[[Connection], bool]) -> bool:
        """The job's answer, however long the database is away."""
        while True:
            try:
                return await self._db.write(job)
            except Unavailable:
                await asyncio.sleep(SHORTEST)
