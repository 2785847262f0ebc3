"""A feed while it is open, and what it hears of one ticket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import TypeVar

from gateway.feeds.contract import Feed, Heard, Ref
from gateway.feeds.kind import Wiring

F = TypeVar("F", bound=Feed)


def wiring() -> Wiring:
    """By the clock of the machine, as the servers have no other."""
    return Wiring(clock=lambda: datetime.now(UTC), random=Random(1), public_url="http://desk")


@asynccontextmanager
async def opened(feed: F) -> AsyncIterator[F]:
    """Opened, and closed at the end."""
    await feed.open()
    try:
        yield feed
    finally:
        await feed.close()


async def news(feed: Feed, cursor: str, ref: Ref) -> tuple[list[Heard], str]:
    """Everything about this ticket since the cursor, and the next one."""
    heard = list[Heard]()
    while True:
        page = await feed.changes(cursor)
        heard += [each for each in page.heard if each.ref == ref.id]
        cursor = page.cursor
        if not page.more:
            return heard, cursor
