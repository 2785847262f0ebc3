"""What a number says of itself."""

from __future__ import annotations

import pytest

from normalizer.phone import kind


@pytest.mark.parametrize(
    ("number", "found"),
    [
        ("+380670000001", "mobile"),
        ("+380440000001", "fixed"),
        ("+380800500000", "fixed"),
        ("+442079460000", "fixed"),
        ("+79160000001", "mobile"),
        ("+12025550123", "unknown"),
        ("+999123456789", "unknown"),
        ("380670000001", "unknown"),
        ("12345", "unknown"),
        ("BANK", "unknown"),
        ("hidden:SM1", "unknown"),
        ("", "unknown"),
        ("+" * 300, "unknown"),
        ("+380" + "6" * 5000, "unknown"),
    ],
)
def test_the_kind_of_a_number(number: str, found: str) -> None:
    assert kind(number) == found
