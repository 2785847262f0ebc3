"""A feed of a real Request Tracker, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from random import Random
from typing import Any

from gateway.feeds.contract import Heard, Ref, Ticket
from gateway.feeds.kind import Wiring
from gateway.feeds.rt import RtFeed
from gateway.feeds.rt_settings import RtSettings
from tests.feeds.servers_rt import Rt
from tests.feeds.writes import ticket

MAP = {
    "line": {"L1": "General", "L2": "Engineers"},
    "class": {"2": "server", "6": "question"},
    "contract": {"alpha": "A"},
}
FIELDS = {"class": "SupportClass", "line": "SupportLine", "contract": "Contract", "onsite": "OnSite"}
_numbers = count(10000001)


def fresh(**over: Any) -> Ticket:
    """A ticket that no other test has."""
    return ticket(str(next(_numbers)), **over)


def settings(rt: Rt, user: str = "gateway", **over: Any) -> RtSettings:
    """Of a feed."""
    said = {"kind": "rt", "url": rt.url, "token": rt.token(user), "user": user, "map": MAP, "fields": FIELDS}
    return RtSettings.model_validate({**said, **over})


@asynccontextmanager
async def feed_of(rt: Rt, user: str = "gateway", **over: Any) -> AsyncIterator[RtFeed]:
    """A feed that is open."""
    made = RtFeed(
        settings(rt, user, **over), Wiring(clock=lambda: datetime.now(UTC), random=Random(1), public_url="http://desk")
    )
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def news(feed: RtFeed, cursor: str, ref: Ref) -> tuple[list[Heard], str]:
    """Everything about this ticket since the cursor, and the next one."""
    heard = list[Heard]()
    while True:
        page = await feed.changes(cursor)
        heard += [each for each in page.heard if each.ref == ref.id]
        cursor = page.cursor
        if not page.more:
            return heard, cursor


def field(shown: Any, name: str) -> list[str]:
    """Values of a custom field in what RT shows of a ticket."""
    return next((list(each["values"]) for each in shown["CustomFields"] if each["name"] == name), [])
