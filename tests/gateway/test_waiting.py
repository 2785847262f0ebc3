"""Wake-ups that are gathered."""

from __future__ import annotations

import asyncio

from gateway.waiting import gathered


async def test_many_wake_ups_are_one_and_none_is_forgotten() -> None:
    woken, times = asyncio.Event(), 0

    def wake() -> None:
        nonlocal times
        times += 1
        woken.set()

    soon = gathered(wake, 0.01)
    for expected in (1, 2):
        for _ in range(100):
            soon()
        assert times == expected - 1, "at once, although it is in no hurry"
        await asyncio.wait_for(woken.wait(), 20)
        assert times == expected
        woken.clear()
