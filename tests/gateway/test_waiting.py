"""Wake-ups that are gathered."""

from __future__ import annotations

import asyncio

import pytest

from gateway import waiting
from gateway.waiting import gathered, until_stopped
from tests.gateway.patience import PATIENCE


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
        await asyncio.wait_for(woken.wait(), PATIENCE)
        assert times == expected
        woken.clear()


async def test_work_that_hangs_at_a_stop_is_broken_off_and_what_ends_in_time_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "STOPPING", 0.05)
    stop, broken = asyncio.Event(), asyncio.Event()

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            broken.set()

    async def ends() -> int:
        await stop.wait()
        return 7

    async def fails() -> None:
        raise ValueError("so")

    with pytest.raises(ValueError, match="so"):
        await until_stopped(fails(), stop)
    one, other = asyncio.create_task(until_stopped(hangs(), stop)), asyncio.create_task(until_stopped(ends(), stop))
    stop.set()
    assert await asyncio.wait_for(other, PATIENCE) == 7
    assert await asyncio.wait_for(one, PATIENCE) is None
    assert broken.is_set()
