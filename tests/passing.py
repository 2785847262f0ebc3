"""Time that passes when the test says so: a limit of time is reached without waiting for it.

A limit short enough to be waited for is also reached when the machine stands still for a moment, where none was meant.
With this a test gives everybody patience, waits for what shows that nobody answers, and lets the time be over.
"""

from __future__ import annotations

import asyncio


def time_passes(seconds: float) -> None:
    """Every timer of the running loop that is due within so many seconds fires next; clocks of the wall do not move.

    It moves the loop's own clock, which counts for what is started later as well: a limit of the test's own that is
    running already passes, too. For loops of the standard library only.
    """
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]
