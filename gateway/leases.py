"""The leases that this node holds, renewed while it lives. For everything that only one node at a time may do.

await leases.hold(f"mail:{account}", poll, stop)     # `poll` runs on one node; another takes over
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeAlias

from sqlalchemy import Connection

from channels.contract import Unavailable
from gateway.log import get_logger
from gateway.store import leases as store
from gateway.store.database import Database
from gateway.store.dialect import database_clock
from gateway.waiting import wait_for_any

Work: TypeAlias = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
"""Runs until the event is set."""

log = get_logger(__name__)


def unique(owner: str, random: Random) -> str:
    """A name that no other start of a server has."""
    return f"{owner[:48]}:{random.getrandbits(48):012x}"


async def _nothing_wrong() -> Mapping[str, str]:
    return {}


def _right(_now: datetime, _within: timedelta) -> Mapping[str, str]:
    return {}


class Leases:
    """A node's own leases. They are counted from before they were asked for, so ours end before the database's do."""

    def __init__(
        self, db: Database, owner: str, length: timedelta, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`owner` names this node and this start of it: never used twice. `length` of a lease; renewed at a third."""
        self.trouble: Callable[[], Awaitable[Mapping[str, str]]] = _nothing_wrong
        """What is wrong with this node alone, name -> reason: told to all with each renewal."""
        self.compare: Callable[[datetime, timedelta], Mapping[str, str]] = _right
        """Hears the database's time at each renewal, and how long the asking took, in a thread; what is wrong with our
        clock is told as well."""
        self._db, self.owner, self.length, self._monotonic = db, owner, length, monotonic
        self._said: Mapping[str, str] = {}
        """What was wrong when it was last found out."""
        self._lives = 0
        """How often this node was dead to the others before its lease was renewed after all."""
        self._until: dict[str, float] = {}
        self._lost: dict[str, asyncio.Event] = {}

    @property
    def node(self) -> str:
        """The lease that says that this node lives: what it has claimed is its own as long."""
        return store.NODE + self.owner

    @property
    def pause(self) -> float:
        """Seconds between renewals."""
        return self.length.total_seconds() / 3

    def holds(self, name: str) -> bool:
        """Is the lease surely ours at this moment? Asks no database."""
        return self._monotonic() < self._until.get(name, 0.0)

    def alive(self) -> bool:
        """Is what this node has claimed surely still its own?"""
        return self.holds(self.node)

    def claiming(self) -> Callable[[], bool]:
        """Before something is claimed: the check whether it is still surely ours, to be asked later. A node that stood
        still and came back to life has its lease again, but not what it had claimed before."""
        life = self._lives
        return lambda: self._lives == life and self.alive()

    async def take(self, name: str) -> bool:
        """Try to get a lease, which is then renewed until it is dropped or lost. Raises Unavailable."""
        before = self._monotonic()
        if not await self._db.write(lambda conn: store.take(conn, name, self.owner, self.length)):
            return False
        self._until[name] = before + self.length.total_seconds()
        return True

    async def drop(self, *names: str) -> None:
        """Give leases back. Raises Unavailable: then they run out by themselves."""
        for name in names:
            self._until.pop(name, None)
        await self._db.write(lambda conn: store.release(conn, names, self.owner))

    async def start(self) -> None:
        """Take the node's own lease. Raises Unavailable."""
        if not await self.take(self.node):
            raise Unavailable(f"another node calls itself {self.owner}")

    async def run(self, stop: asyncio.Event) -> None:
        """Renew until `stop`. What could not be renewed in time is lost."""
        while not stop.is_set():
            try:
                await self.renew()
            except Unavailable:
                log.warning("leases could not be renewed", owner=self.owner)
            await wait_for_any(stop, seconds=self.pause)

    async def renew(self) -> None:
        """Renew everything once. A lease that somebody else has now is lost. Raises Unavailable."""
        trouble = await self._trouble_soon()
        before, names = self._monotonic(), sorted(self._until)

        def job(conn: Connection) -> tuple[frozenset[str], bool]:
            store.tell(conn, self.node, {**trouble, **self.compare_clocks(conn)})
            dead = store.ran_out(conn, self.node)
            return store.renew(conn, names, self.owner, self.length), dead

        mine, dead = await self._db.write(job)
        # By our own clock, too: the end may have come while this was being committed, or before a COMMIT that nobody
        # told us of.
        self._lives += dead or not self.alive()
        for name in names:
            if name in mine and name in self._until:
                self._until[name] = before + self.length.total_seconds()
            elif name == self.node:
                await self.start()  # its row was forgotten; what it had claimed is others' by now
            else:
                self._lose(name)

    def compare_clocks(self, conn: Connection) -> Mapping[str, str]:
        """What is wrong with our clock, by the database's."""
        asked = self._monotonic()
        told = database_clock(conn)
        return self.compare(told, timedelta(seconds=self._monotonic() - asked))

    async def _trouble_soon(self) -> Mapping[str, str]:
        """What is wrong; what was said last when that cannot be found out in time: a slow disk must cost no lease."""
        try:
            async with asyncio.timeout(self.pause / 2):
                self._said = await self.trouble()
        except TimeoutError:
            log.warning("what is wrong with this node cannot be found out in time", owner=self.owner)
        return self._said

    def _lose(self, name: str) -> None:
        self._until.pop(name, None)
        if name in self._lost:
            self._lost[name].set()

    async def close(self) -> None:
        """Give everything back. Trouble with the database only means that the others have to wait."""
        try:
            await self.drop(*self._until)
        except Unavailable:
            log.warning("leases could not be given back", owner=self.owner)

    async def hold(self, name: str, work: Work, stop: asyncio.Event) -> None:
        """Run `work(over)` whenever this node has the lease, until `stop`.

        `over` is set at `stop` and when the lease is lost. After a loss `work` has to return soon: it is cancelled
        when it has not returned after another renewal. What `work` raises is raised.
        """
        while not stop.is_set():
            try:
                mine = await self.take(name)
            except Unavailable:
                mine = False
            if mine:
                await self._held(name, work, stop)
            else:
                await wait_for_any(stop, seconds=self.pause)

    async def _held(self, name: str, work: Work, stop: asyncio.Event) -> None:
        over, lost = asyncio.Event(), self._lost.setdefault(name, asyncio.Event())
        task = asyncio.ensure_future(work(over))
        try:
            await self._while_held(name, task, lost, stop)
            over.set()
            # At a stop the lease is still renewed, so the work may take its time.
            await self._while_held(name, task, lost)
            await asyncio.wait_for(task, self.pause)
        except TimeoutError:
            log.warning("work went on after its lease and was cancelled", lease=name)
        finally:
            task.cancel()
            self._lost.pop(name, None)
            if name in self._until:
                await self._give_back(name)

    async def _while_held(self, name: str, task: asyncio.Future[None], *ends: asyncio.Event) -> None:
        """Wait until the task is done, the lease is over, or one of `ends` is set."""
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(end.wait()) for end in ends]
        try:
            while self.holds(name) and not task.done() and not any(end.is_set() for end in ends):
                left = max(self._until.get(name, 0.0) - self._monotonic(), 0.0)
                await asyncio.wait([task, *waits], timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _give_back(self, name: str) -> None:
        try:
            await self.drop(name)
        except Unavailable:
            log.warning("a lease could not be given back", lease=name)
