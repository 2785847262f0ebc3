"""Pushes that wait at the same moment go to a thread together.

Nobody waits for company: a push begins at once where a lane is free, with those that came in the same turn of the loop;
while all lanes are busy the next ones gather.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TypeAlias

from gateway.feeds.contract import Open, Pushed

MOST = 32
"""Tickets in one transaction."""
LONGEST = 256 * 1024
"""Characters of their texts, so that no statement grows beyond what servers take; a longer one goes alone."""
Work: TypeAlias = Callable[[Sequence[Open]], Sequence[Pushed] | None]


class Together:
    """A queue of pushes, and so many lanes to threads."""

    def __init__(self, threads: Executor, work: Work, *, lanes: int) -> None:
        """`work` is called in a thread; None, or an exception: nothing was done, or nothing is sure but what a unique
        key will tell, so each has to go alone."""
        self._threads, self._work, self._free = threads, work, lanes
        self._waiting: deque[tuple[Open, asyncio.Future[Pushed | None]]] = deque()
        self._called = False

    async def push(self, write: Open) -> Pushed | None:
        """What it came to; None: it has to go alone."""
        made: asyncio.Future[Pushed | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((write, made))
        self._call()
        return await made

    def close(self) -> None:
        """Let go of those that wait."""
        while self._waiting:
            self._waiting.popleft()[1].cancel()

    def _call(self) -> None:
        if self._free and self._waiting and not self._called:
            self._called = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._called = False
        taken = self._taken()
        if not taken:
            return
        self._free -= 1
        writes = [write for write, _ in taken]
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._work, writes)
        work.add_done_callback(lambda done: self._ended(done, [made for _, made in taken]))
        self._call()

    def _taken(self) -> list[tuple[Open, asyncio.Future[Pushed | None]]]:
        taken: list[tuple[Open, asyncio.Future[Pushed | None]]] = []
        length = 0
        while self._waiting and len(taken) < MOST:
            write, made = self._waiting[0]
            length += len(write.first.text)
            if taken and length > LONGEST:
                break
            self._waiting.popleft()
            if not made.done():  # nobody waits for it any more
                taken.append((write, made))
        return taken

    def _ended(
        self, work: asyncio.Future[Sequence[Pushed] | None], waiting: Sequence[asyncio.Future[Pushed | None]]
    ) -> None:
        self._free += 1
        self._call()
        if work.cancelled():
            for made in waiting:
                made.cancel()
            return
        found = work.result() if work.exception() is None else None
        for made, pushed in zip(waiting, found if found is not None else [None] * len(waiting), strict=True):
            if not made.done():
                made.set_result(pushed)
