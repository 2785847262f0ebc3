"""How many pushes go to a thread together, and what becomes of those that wait when it is over."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.feeds.contract import Open, Outcome, Pushed
from gateway.feeds.sql_table_together import LONGEST, MOST, Together
from tests.feeds.sql_desk import opening, said

LONG = 90
"""Seconds for anything that happens at once."""


class Slow:
    """Notes how many come together; the first ones wait until they may go on."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.begun, self.go = threading.Event(), threading.Event()

    def work(self, writes: Sequence[Open]) -> Sequence[Pushed]:
        self.counts.append(len(writes))
        self.begun.set()
        assert self.go.wait(LONG)
        return [Pushed(outcome=Outcome.DONE, detail=each.key) for each in writes]


def _write(number: int, text: str = "x") -> Open:
    return opening(number, first=said(number, text=text))


@pytest.mark.parametrize(("count", "text", "wanted"), [(MOST + 8, "x", [MOST, 8]), (3, "x" * (LONGEST // 2), [2, 1])])
async def test_what_gathers_while_all_lanes_are_busy_goes_in_portions(count: int, text: str, wanted: list[int]) -> None:
    slow = Slow()
    with ThreadPoolExecutor(1) as threads:
        together = Together(threads, slow.work, lanes=1)
        first = asyncio.create_task(together.push(_write(1)))
        assert await asyncio.to_thread(slow.begun.wait, LONG)
        writes = [_write(number, text) for number in range(2, 2 + count)]
        others = [asyncio.create_task(together.push(each)) for each in writes]
        await asyncio.sleep(0)
        slow.go.set()
        done = await asyncio.wait_for(asyncio.gather(first, *others), LONG)
    assert slow.counts == [1, *wanted]
    assert [each.detail for each in done if each is not None] == [_write(1).key, *(each.key for each in writes)]


async def test_at_the_end_nobody_waits_for_ever() -> None:
    slow = Slow()
    with ThreadPoolExecutor(1) as threads:
        together = Together(threads, slow.work, lanes=1)
        begun = asyncio.create_task(together.push(_write(1)))
        assert await asyncio.to_thread(slow.begun.wait, LONG)
        waiting = asyncio.create_task(together.push(_write(2)))
        await asyncio.sleep(0)
        together.close()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, LONG)
        slow.go.set()
        pushed = await asyncio.wait_for(begun, LONG)
        assert pushed is not None and pushed.outcome is Outcome.DONE
    assert slow.counts == [1]
