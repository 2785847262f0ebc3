"""What is fetched from a far side after the commit, by reference: files, and what it remembers of calls.

A part of the contract of a channel (`channels.contract`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol, runtime_checkable

from normalizer.message import RawMessage


class FetchFailed(Exception):
    """Media cannot be had. The text is safe to show to staff."""

    def __init__(
        self, reason: str, *, permanent: bool, too_big: bool = False, absent: bool = False,
        retry_after: float | None = None,
    ) -> None:  # fmt: skip
        """`permanent`: no repeat will help. `too_big`: the person is asked for a link instead. `absent`: the far side
        works and has not this one file, yet or any more; it says nothing about the others."""
        super().__init__(reason)
        self.permanent, self.too_big, self.absent, self.retry_after = permanent, too_big, absent, retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Media that was fetched into a file."""

    path: Path
    content_type: str
    """"" when the far side does not say."""
    size: int
    sha256: str
    spoken: bool = False
    """Somebody's spoken words, for transcription: a voice message, not a song."""


class Fetcher(Protocol):
    """Add-on: media by reference, bounded, after the commit (rule 10)."""

    async def fetch(self, source: str, limit: int, into: Path) -> Fetched:
        """Fetch at most `limit` bytes to a file in `into`, within a time limit of its own.

        Raises `FetchFailed` for what the far side says, OSError for our disk.
        """
        ...


@runtime_checkable
class Erases(Protocol):
    """Add-on of a fetcher: what it has fetched may be deleted at the far side, once it is committed here."""

    @property
    def erase_after(self) -> timedelta | None:
        """How long after that; None: it stays there."""
        ...

    async def erase(self, source: str) -> None:
        """Delete it, within a time limit of its own; what is not there is deleted. Raises `FetchFailed`."""
        ...


@runtime_checkable
class Recalls(Protocol):
    """Add-on of a fetcher: the far side remembers calls, and can be asked for what its requests should have told us."""

    async def recall(self, call: str) -> Sequence[RawMessage]:
        """What would have been told of a call that is over, in the order in which it is to be filed; nothing where
        there is nothing to tell. Each has the same external id as the request that did not come.

        Within a time limit of its own. Raises `FetchFailed`: `absent` while the call goes on, `permanent` for one that
        the far side does not know.
        """
        ...
