"""Named places between two steps where a test may kill the process. In production nothing happens there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Failpoints: TypeAlias = Callable[[str], None]


def nothing(name: str) -> None:
    """What a fail point does outside tests."""


POINTS = (
    "before-rename",
    "after-rename",
    "before-commit",
    "after-commit",
)
"""Every name that is passed to a Failpoints callable; `tests/chaos` kills at each."""
