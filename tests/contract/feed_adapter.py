"""What the contract suite needs to drive a feed against its real store. A new kind of store writes one of these."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Literal, Protocol, TypeAlias

import pytest

from gateway.feeds.contract import Changes, Feed, Heard, Open, Ref, Said, Say, Ticket
from gateway.feeds.kind import Wiring
from gateway.feeds.registry import FEEDS
from gateway.feeds.settings import FeedSettings
from tests.feeds.writes import file, said, ticket

Mark: TypeAlias = Literal["asks", "finds", "lost", "late", "secret", "files", "check", "wire"]
"""What a kind has: `asks`: it reads what changed by asking (else the store calls); `finds`: it asks for keys (else the
store knows repeats itself); `lost`, `late`: an answer can be lost on the way, or never come; `secret`: credentials;
`files`: a place for attachments; `check`: an online check; `wire`: a far side that may answer with nonsense."""
STAFF = "staff"
_numbers = count(70_000_001)


@dataclass(frozen=True, slots=True)
class Shown:
    """A ticket as the store has it."""

    status: str
    """In our words; `new` and `open` may be one word there."""
    said: Sequence[tuple[str, bool]]
    """(text, public) of each message."""
    files: Sequence[str] = ()


class FeedStore(Protocol):
    """A running store, the people who work in it, and a network that can be broken."""

    def feed(self, **over: Any) -> AbstractAsyncContextManager[Feed]:
        """A feed of it that is open; `over`: settings that are otherwise."""
        ...

    def away(self) -> AbstractAsyncContextManager[Feed]:
        """One whose store is not there."""
        ...

    def stranger(self) -> tuple[AbstractAsyncContextManager[Feed], str]:
        """One with wrong credentials, and the secret that nobody may read."""
        ...

    def odd(self, url: str) -> AbstractAsyncContextManager[Feed]:
        """One whose store is at this address of a web server that is something else."""
        ...

    def lose(self, what: Literal["open", "say"]) -> None:
        """The next of these is done there, and its answer is lost."""
        ...

    def hang(self, what: Literal["open", "say"]) -> None:
        """The next of these is never answered."""
        ...

    async def keys(self, key: str) -> int:
        """How many tickets have this key of ours."""
        ...

    async def shown(self, ref: Ref) -> Shown: ...

    async def write(self, ref: Ref, text: str, *, public: bool) -> None:
        """Staff write."""
        ...

    async def resolve(self, ref: Ref) -> None:
        """Staff are done."""
        ...

    async def changes(self, feed: Feed, cursor: str | None) -> Changes:
        """What changed, by the feed's own way of hearing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedAdapter:
    """One row of the suite."""

    kind: str
    """As in `FEEDS`, or the tests' own."""
    has: frozenset[Mark]
    store: Callable[[pytest.FixtureRequest, Path], AbstractAsyncContextManager[FeedStore]]
    marks: Sequence[pytest.MarkDecorator] = ()


def fresh(**fields: Any) -> Ticket:
    """A ticket that no other test has."""
    return ticket(str(next(_numbers)), **fields)


def opening(one: Ticket | None = None, *, name: str = "") -> Open:
    """The write that makes a ticket, with keys as the engine makes them."""
    one = one or fresh()
    files = [file(name)] if name else []
    return Open(key=one.key, ticket=one, first=said(f"{one.key}-1", files=files))


def saying(write: Open, ref: Ref, message: int, text: str, **fields: Any) -> Say:
    """The write that appends a message."""
    made: Said = said(f"{write.key}-{message}", text, **fields)
    return Say(key=made.key, ticket=write.ticket, ref=ref, said=made)


@asynccontextmanager
async def built(kind: str, settings: FeedSettings) -> AsyncIterator[Feed]:
    """A feed as the gateway makes it, open, and closed at the end."""
    wiring = Wiring(clock=lambda: datetime.now(UTC), random=Random(1), public_url="https://desk.example")
    feed = FEEDS[kind].build("desk", settings, wiring)
    await feed.open()
    try:
        yield feed
    finally:
        await feed.close()


async def news(store: FeedStore, feed: Feed, cursor: str, ref: Ref) -> tuple[list[Heard], str]:
    """All that is new of this ticket, and the next cursor."""
    heard, more = list[Heard](), True
    while more:
        page = await store.changes(feed, cursor)
        heard += [each for each in page.heard if each.ref == ref.id]
        cursor, more = page.cursor, page.more
    return heard, cursor
