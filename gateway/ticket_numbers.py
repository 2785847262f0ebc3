"""Ticket numbers that can be typed on a telephone: the last digit is a Luhn check digit (ISO/IEC 7812-1 annex B)."""

from __future__ import annotations

DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
"""Twice the digit, its digits added."""
SHORTEST = 7


def check_digit(digits: str) -> str:
    """The digit that makes `digits` + digit pass the Luhn check. `digits` is ASCII digits only."""
    total = sum(DOUBLED[int(digit)] if place % 2 == 0 else int(digit) for place, digit in enumerate(reversed(digits)))
    return str(-total % 10)


def number_for(ticket_id: int, *, first_digit: int = 1, width: int = 8) -> str:
    """The number of the ticket with this row id: first digit, id padded with zeros, check digit.

    When the ids outgrow `width` the numbers grow by a digit, so they stay unique.
    Raises ValueError for an id below 1, a first digit outside 1-9 or a width below 7.
    """
    if ticket_id < 1 or not 1 <= first_digit <= 9 or width < SHORTEST:
        raise ValueError(f"no number for id {ticket_id}, first digit {first_digit}, width {width}")
    digits = f"{first_digit}{ticket_id:0{width - 2}d}"
    return digits + check_digit(digits)


def is_number(text: str) -> bool:
    """Can `text` be a ticket number: seven ASCII digits or more that pass the Luhn check."""
    if len(text) < SHORTEST or not (text.isascii() and text.isdigit()) or text[0] == "0":
        return False
    return check_digit(text[:-1]) == text[-1]
