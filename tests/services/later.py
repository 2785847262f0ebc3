"""Time limits that are over when a test says so, neither sooner nor after a wait: the loop's clock goes forward."""

from __future__ import annotations

import asyncio


def later(seconds: float) -> None:
    """The running loop's clock shows so many seconds more from now on: whatever was to come within them comes now.

    Limits of the test's own are among it. Of asyncio's own loops only: uvloop keeps its clock elsewhere.
    """
    loop = asyncio.get_running_loop()
    before = loop.time
    setattr(loop, "time", lambda: before() + seconds)  # noqa: B010 - mypy forbids the plain assignment
