"""What feeds of ticket systems that are spoken to by HTTP have in common: writes are dispatched, failed calls told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from channels.contract import CannotTell
from gateway.feeds import plain
from gateway.feeds.contract import Alter, Changes, Open, Outcome, Pushed, Ref, Say, Write
from gateway.feeds.wire import Unanswered, Unsent


class TicketWriting(ABC):
    """One try of a write, by its kind. Whatever goes wrong with a call is raised as `plain.Calls` does."""

    async def push(self, write: Write) -> Pushed:
        """One try. Raises NotGood, Unsent, Unanswered, FileGone."""
        match write:
            case Open():
                return await self._open(write)
            case Say():
                return await self._say(write)
            case Alter():
                return await self._alter(write)

    @abstractmethod
    async def _open(self, write: Open) -> Pushed: ...

    @abstractmethod
    async def _say(self, write: Say) -> Pushed: ...

    @abstractmethod
    async def _alter(self, write: Alter) -> Pushed: ...

    @abstractmethod
    async def find(self, write: Write) -> Ref | None:
        """What this write made, by its key. Raises NotGood, Unsent, Unanswered."""

    @abstractmethod
    async def shut(self, ref: Ref) -> str | None:
        """Close a ticket; in words why it stays open, if it does. Raises NotGood, Unsent, Unanswered."""


class Listens(Protocol):
    """Reads what moved there."""

    async def changes(self, cursor: str | None) -> Changes:
        """As `Feed.changes`."""


class TicketSystem:
    """The part of `Feed` that is the same for each; what the store calls things is the parts' to know."""

    def __init__(self, calls: plain.Calls, writing: TicketWriting, listening: Listens) -> None:
        self._calls, self._writes, self._listens = calls, writing, listening

    async def open(self) -> None:
        """Nothing to make: connections come with the first call."""

    async def close(self) -> None:
        """Close the connections."""
        await self._calls.close()

    async def push(self, write: Write) -> Pushed:
        """One try."""
        try:
            return await self._writes.push(write)
        except (plain.NotGood, Unsent, Unanswered, plain.FileGone) as error:
            return plain.failed(error)

    async def find(self, write: Write) -> Ref | CannotTell | None:
        """By its key, in a place of the store's that no search index stands before."""
        try:
            return await self._writes.find(write)
        except (plain.NotGood, Unsent, Unanswered) as error:
            return CannotTell(str(error))

    async def changes(self, cursor: str | None) -> Changes:
        """What moved there since `cursor`. Raises FeedError."""
        return await self._listens.changes(cursor)

    async def undo(self, ref: Ref) -> Pushed:
        """Close it."""
        try:
            left = await self._writes.shut(ref)
        except (plain.NotGood, Unsent, Unanswered) as error:
            return plain.failed(error)
        return Pushed(outcome=Outcome.DONE, ref=ref, left_out=[left] if left else [])
