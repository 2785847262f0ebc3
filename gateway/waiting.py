"""Waiting for whichever comes first: a stop, a wake-up, or the end of a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


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
