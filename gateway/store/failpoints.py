"""Named places between two steps of a promise, where a kill test stops the process.

The composition root passes a `FailPoint` down; in production it is `nowhere`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

FailPoint: TypeAlias = Callable[[str], None]

NAMES = (
    "blob-before-sync",
    "blob-before-rename",
    "blob-before-folder-sync",
    "blob-done",
    "before-begin",
    "before-commit",
    "after-commit",
    "sending-committed",
    "sent-unsettled",
)
"""In the order in which accepting a big message passes them; then those of sending a notice."""


def nowhere(name: str) -> None:
    """Do nothing."""
