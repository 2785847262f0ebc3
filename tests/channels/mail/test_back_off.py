"""How long a mailbox waits after a connection that broke."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from channels.mail.imap_listener import LONGEST_PAUSE, SHORTEST_PAUSE, back_off

SECOND = timedelta(seconds=1)


def test_it_doubles_up_to_five_minutes() -> None:
    pauses = [back_off(SECOND, failures, 0.5) for failures in range(1, 12)]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert back_off(SECOND, 10_000, 0.5) == LONGEST_PAUSE, "and no number of failures is too many"


def test_many_mailboxes_come_back_one_after_the_other() -> None:
    chances = [number / 100 for number in range(100)]
    pauses = [back_off(SECOND, 5, chance) for chance in chances]
    assert len(set(pauses)) == 100
    assert (min(pauses), max(pauses)) == (8.0, 23.84), "half to one and a half of 16 seconds"


@given(
    first=st.integers(0, 600), failures=st.integers(1, 2000), chance=st.floats(0, 1, exclude_max=True, allow_nan=False)
)
def test_it_is_never_nothing_and_never_for_ever(first: int, failures: int, chance: float) -> None:
    pause = back_off(timedelta(seconds=first), failures, chance)
    assert SHORTEST_PAUSE <= pause <= LONGEST_PAUSE * 1.5
    assert pause == SHORTEST_PAUSE or pause >= back_off(timedelta(seconds=first), failures, 0.0)
