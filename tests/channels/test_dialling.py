"""Countries of telephone numbers."""

from __future__ import annotations

import pytest

from channels.dialling import allowed, calling_code


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("+380441234567", "+380"), ("+79161234567", "+7"), ("+14155550100", "+1"), ("+48601112233", "+48"),
        ("+4930123456", "+49"), ("+375291234567", "+375"), ("+37129123456", "+371"), ("+995591234567", "+995"),
        ("4422", ""), ("BANK", ""), ("", ""), ("+", ""), ("+٣٨٠", ""), ("hidden:SM1", ""),
    ],
)  # fmt: skip
def test_the_country_of_a_number(number: str, code: str) -> None:
    assert calling_code(number) == code


@pytest.mark.parametrize(
    ("number", "prefixes", "own", "written_to"),
    [
        ("+380671112233", (), ("+380441234567",), True),
        ("+48601112233", (), ("+380441234567",), False),
        ("+48601112233", (), ("4422", "+48221112233"), True),
        ("+48601112233", ("+48",), ("+380441234567",), True),
        ("+380671112233", ("+48",), ("+380441234567",), False),
        ("+380671112233", (), ("4422",), False),
        ("BANK", ("+380",), ("+380441234567",), False),
    ],
)
def test_only_named_countries_are_written_to(
    number: str, prefixes: tuple[str, ...], own: tuple[str, ...], written_to: bool
) -> None:
    assert allowed(number, prefixes, own) == written_to
