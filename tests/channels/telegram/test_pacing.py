"""How fast a bot talks, by a clock of the test."""

from __future__ import annotations

import asyncio
import time

from channels.telegram.pacing import GROUP_SPAN, OVER_ALL, PER_GROUP, REMEMBERED, Pacing

ANNA, GROUP = (5, ""), (-100, "")


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_chat_gets_one_message_a_second_and_others_do_not_wait_for_it() -> None:
    clock = Clock()
    pacing = Pacing(clock)
    await pacing.turn(ANNA)
    assert pacing.wait(ANNA) == 1.0
    assert pacing.wait((6, "")) == 0.0
    assert pacing.wait(None) == 0.0
    clock.now += 0.75
    assert pacing.wait(ANNA) == 0.25
    clock.now += 0.25
    assert pacing.wait(ANNA) == 0.0


async def test_a_group_gets_twenty_a_minute() -> None:
    clock = Clock()
    pacing = Pacing(clock)
    for _ in range(PER_GROUP):
        assert pacing.wait(GROUP) == 0.0
        await pacing.turn(GROUP)
        clock.now += 1.0
    assert pacing.wait(GROUP) == GROUP_SPAN - PER_GROUP
    assert pacing.wait((-101, "")) == 0.0
    clock.now += GROUP_SPAN - PER_GROUP
    assert pacing.wait(GROUP) == 0.0


async def test_a_pause_ends_by_itself() -> None:
    clock = Clock()
    pacing = Pacing(clock)
    pacing.told_to_wait(ANNA, 30.0)
    assert (pacing.wait(ANNA), pacing.wait((6, "")), pacing.wait(None)) == (30.0, 0.0, 0.0)
    clock.now += 30.0
    assert pacing.wait(ANNA) == 0.0
    # The answers to buttons pause by themselves.
    pacing.told_to_wait(None, 4.0)
    assert (pacing.wait(ANNA), pacing.wait(None)) == (0.0, 4.0)
    clock.now += 4.0
    assert pacing.wait(None) == 0.0


async def test_the_limit_over_all_chats_is_waited_for() -> None:
    pacing = Pacing(time.monotonic)
    began = time.monotonic()
    await asyncio.gather(*(pacing.turn((chat, "")) for chat in range(1, OVER_ALL + 2)))
    assert time.monotonic() - began >= 0.99, "one more than the limit takes the next second"


async def test_chats_of_long_ago_take_no_memory() -> None:
    clock = Clock()
    pacing = Pacing(clock)
    for chat in range(1, REMEMBERED + 10):
        clock.now += 1.0
        await pacing.turn((chat, ""))
    assert len(pacing._sent) == REMEMBERED
