"""Countries of telephone numbers, as far as the question goes whether we write there."""

from __future__ import annotations

from collections.abc import Sequence

_ONE_DIGIT = frozenset("17")
_TWO_DIGITS = frozenset(
    ("20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48", "49", "51",
     "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81", "82", "84", "86", "90",
     "91", "92", "93", "94", "95", "98")
)  # fmt: skip
"""List of ITU-T Recommendation E.164 assigned country codes; all others have three digits."""


def calling_code(number: str) -> str:
    """ "+380441234567" -> "+380"; "" for what is no number with a country."""
    digits = number.removeprefix("+")
    if not number.startswith("+") or not digits.isdigit() or not digits.isascii():
        return ""
    length = 1 if digits[0] in _ONE_DIGIT else 2 if digits[:2] in _TWO_DIGITS else 3
    return f"+{digits[:length]}"


def allowed(number: str, prefixes: Sequence[str], own: Sequence[str]) -> bool:
    """Whether we write to this number: it begins with one of `prefixes`; without any, with a country of `own`."""
    countries = prefixes or [code for one in own if (code := calling_code(one))]
    return any(number.startswith(each) for each in countries)
