"""One thing done again and again: pauses that grow after failures, an end, and trouble for operators."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias, TypeVar

from channels.contract import Clock, Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")
LONGEST_WAIT = 3600.0
"""Seconds; a far side that asks for a longer pause is asked again after this."""
QUIET_TROUBLE = timedelta(minutes=5)
"""What has been broken for less is no news for operators."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Pauses in seconds."""

    first: float = 1.0
    """After the first failure; doubles."""
    longest: float = 60.0
    """Between tries after many."""
    hopeless: float = 300.0
    """After what only a person can mend: a token that is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setback:
    """What an exception of the far side's means."""

    why: str
    """For operators; without secrets."""
    urgent: bool = False
    """No waiting mends it: operators hear of it at once."""
    hopeless: bool = False
    """Asking soon again is of no use either."""
    retry_after: float | None = None
    """Seconds, when the far side says."""


Judge: TypeAlias = Callable[[Exception], Awaitable[Setback | None]]
"""What an exception means; None: it is none of the far side's. Raises nothing."""


class Stopped(Exception):
    """We stop; what was waited for is given up."""


class Rounds:
    """Repeats one round until it is stopped. May be started again."""

    def __init__(self, name: str, *, clock: Clock, chance: Callable[[], float], pace: Pace, judge: Judge) -> None:
        """`chance` gives numbers in [0, 1): it spreads the pauses."""
        self._name, self._clock, self._chance, self._pace, self._judge = name, clock, chance, pace, judge
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._since: datetime | None = None
        self._why, self._urgent = "", False

    def trouble(self) -> str:
        """Why it does not go on; "" when it does, or has not been broken for long."""
        if self._since is None or not (self._urgent or self._clock() - self._since >= QUIET_TROUBLE):
            return ""
        return f"{self._why} (since {self._since:%Y-%m-%d %H:%M} UTC)"

    def start(self, once: Callable[[], Awaitable[float]]) -> None:
        """Begin. `once` is a round; it gives the seconds to wait before the next, and may raise anything."""
        self._stop = asyncio.Event()
        self._forget()
        self._task = asyncio.create_task(self._run(once), name=self._name)

    async def stop(self) -> None:
        """No more rounds; what is not waited for by `or_stop` is finished first."""
        self._stop.set()
        if self._task is not None:
            await self._task
            self._task = None

    async def or_stop(self, work: Awaitable[T]) -> T:
        """The outcome of `work`. Raises Stopped, with `work` cancelled, when we stop before it is there."""
        task = asyncio.ensure_future(work)
        ends = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({task, ends}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise Stopped
        finally:
            ends.cancel()
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _run(self, once: Callable[[], Awaitable[float]]) -> None:
        with suppress(Stopped):
            while not self._stop.is_set():
                pause = await self._tried(once)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), pause)

    async def _tried(self, once: Callable[[], Awaitable[float]]) -> float:
        """One round; the seconds to wait after it. Raises Stopped."""
        try:
            pause = await once()
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, it must not end what messages come by
            return self._failed(await self._meaning(error))
        if self._since is not None:
            log.info("%s: it goes on again", self._name)
        self._forget()
        return pause

    async def _meaning(self, error: Exception) -> Setback:
        """Raises Stopped."""
        if isinstance(error, Unavailable):
            return Setback(why=str(error))
        setback = await self.or_stop(self._judge(error))
        if setback is None:
            log.error("%s: a round failed", self._name, exc_info=error)
            return Setback(why=f"an error of ours: {type(error).__name__}")
        return setback

    def _failed(self, setback: Setback) -> float:
        """Note it; the seconds to wait: they double, and are spread over half to one and a half of themselves."""
        self._failures += 1
        self._since = self._since or self._clock()
        self._why, self._urgent = setback.why, setback.urgent
        log.warning("%s: %s", self._name, setback.why)
        if setback.retry_after is not None:
            return min(setback.retry_after, LONGEST_WAIT) + self._chance()
        doubled = min(self._pace.first * 2.0 ** min(self._failures - 1, 20), self._pace.longest)
        return (self._pace.hopeless if setback.hopeless else doubled) * (0.5 + self._chance())

    def _forget(self) -> None:
        self._failures, self._since, self._why, self._urgent = 0, None, "", False
