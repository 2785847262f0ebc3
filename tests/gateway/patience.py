"""Waiting for what nobody announces: rows of a database, a file of another process, a list of a far side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 90.0
"""Seconds: far longer than anything takes. The machine may stand still for a while, more than once."""
PAUSE = 0.01


async def eventually(look: Callable[[], Awaitable[T]], holds: Callable[[T], object] = bool, what: str = "") -> T:
    """What the first look that `holds` has seen. Raises AssertionError with what was there instead."""
    end = time.monotonic() + PATIENCE
    while not holds(found := await look()):
        assert time.monotonic() < end, f"{what or 'what is waited for'} did not come within {PATIENCE} s: {found!r}"
        await asyncio.sleep(PAUSE)
    return found


async def seen(look: Callable[[], T], holds: Callable[[T], object] = bool, what: str = "") -> T:
    """As `eventually`, by a look that waits for nothing itself."""

    async def looked() -> T:
        return look()

    return await eventually(looked, holds, what)
