"""Ticket numbers: typed on a telephone, so a slip must be noticed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ticket_numbers import is_number, number_for

ids = st.integers(1, 10**9)


@given(ids, st.integers(1, 9), st.integers(7, 12))
def test_a_number_has_the_width_and_the_first_digit_and_passes_its_check(row: int, first: int, width: int) -> None:
    number = number_for(row, first_digit=first, width=width)
    assert is_number(number)
    assert number[0] == str(first)
    assert len(number) == max(width, len(str(row)) + 2)


@given(ids, st.integers(0, 7), st.integers(1, 9))
def test_one_wrong_digit_is_noticed(row: int, place: int, by: int) -> None:
    number = number_for(row)
    wrong = str((int(number[place]) + by) % 10)
    assert not is_number(number[:place] + wrong + number[place + 1 :])


@given(ids, ids)
def test_two_tickets_never_share_a_number(one: int, other: int) -> None:
    assert (number_for(one) == number_for(other)) == (one == other)


def test_a_known_number() -> None:
    assert number_for(27398, first_digit=7, width=8)[:-1] == "7027398"
    assert is_number("79927398713")  # the example of ISO/IEC 7812-1 annex B


@pytest.mark.parametrize("text", ["", "1", "100004", "1000042", "0000000", "１００００００８", "1000 0008", "-1000008"])
def test_what_is_no_number(text: str) -> None:
    assert not is_number(text)


@pytest.mark.parametrize(("row", "first", "width"), [(0, 1, 8), (1, 0, 8), (1, 10, 8), (1, 1, 6)])
def test_numbers_that_cannot_be_made(row: int, first: int, width: int) -> None:
    with pytest.raises(ValueError, match="no number"):
        number_for(row, first_digit=first, width=width)
