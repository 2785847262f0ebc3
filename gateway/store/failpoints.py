"""Named places between two steps of a promise, where a kill test stops the process.

The composition root passes a `FailPoint` down; in production it is `nowhere`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

FailPoint: TypeAlias = Callable[[str], None]

ACCEPTING = (
    "blob-before-sync",
    "blob-before-rename",
    "blob-before-folder-sync",
    "blob-done",
    "before-begin",
    "before-commit",
    "after-commit",
)
"""In the order in which accepting a big message passes them."""
FILING = ("read-unfiled", "filed-unreported")
"""Of filing: a worker has read the entries; their transaction is committed and nobody was told."""
SENDING = ("sending-committed", "sent-unsettled")
"""Of sending a notice."""
FETCHING = ("media-fetched", "media-adopted")
"""Of fetching a file: it is in the spool; it is a blob, and no row says so."""
CALLING = ("call-unanswered", "call-unsaid")
"""Of a telephone call: a request is accepted and not filed; it is filed and the caller has heard nothing."""
NAMES = ACCEPTING + FILING + SENDING


def nowhere(name: str) -> None:
    """Do nothing."""
