"""Waiting for whichever comes first: a stop, a wake-up, or the end of a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
STOPPING = 10.0
"""Seconds that work under way at a stop has to come to its end, before it is broken off: a far side that hangs must not
keep the gateway from ending before whoever stops it loses patience."""


async def wait_for_any(*events: asyncio.Event, seconds: float) -> None:
    """Return when one of `events` is set, or after `seconds`."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def gathered(wake: Callable[[], object], seconds: float) -> Callable[[], None]:
    """A wake-up that comes at most once in so many seconds, that much later: for loops whose look costs more than the
    wait. Called within the running loop."""
    waiting = False

    def now() -> None:
        nonlocal waiting
        waiting = False
        wake()

    def soon() -> None:
        nonlocal waiting
        if not waiting:
            waiting = True
            asyncio.get_running_loop().call_later(seconds, now)

    return soon


async def until_stopped(work: Coroutine[Any, Any, T], stop: asyncio.Event, *, grace: float | None = None) -> T | None:
    """The result of work that may be broken off anywhere; None where it did not end within `grace` of the stop.

    `grace` in seconds; None: `STOPPING`. Raises what the work raises.
    """
    task, over = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await asyncio.wait({task}, timeout=STOPPING if grace is None else grace)
        if task.done():
            return task.result()
    finally:
        over.cancel()
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return None
