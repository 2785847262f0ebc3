"""A feed of a real Redmine, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from random import Random
from typing import Any

from gateway.feeds.contract import Heard, Ref, Ticket
from gateway.feeds.kind import Wiring
from gateway.feeds.redmine import RedmineFeed
from gateway.feeds.redmine_settings import RedmineSettings
from tests.feeds.servers_redmine import Redmine
from tests.feeds.writes import ticket

MAP = {
    "line": {"L1": "support", "L2": "engineers"}, "class": {"2": "server", "6": "question"}, "contract": {"alpha": "A"},
    "assignee": {"o.koval": "Olena Koval"},
}  # fmt: skip
_numbers = count(30000001)


def fresh(**over: Any) -> Ticket:
    """A ticket that no other test has."""
    return ticket(str(next(_numbers)), **over)


def settings(redmine: Redmine, user: str = "gateway", **over: Any) -> RedmineSettings:
    """Of a feed."""
    fields = {
        "key": redmine.field("GatewayKey"), "message": redmine.field("GatewayMessage"), "line": "project",
        "class": redmine.field("Class"), "contract": redmine.field("Contract"), "onsite": redmine.field("OnSite"),
    }  # fmt: skip
    said = {
        "kind": "redmine", "url": redmine.url, "api_key": redmine.key(user), "project": "support", "tracker": "Support",
        "fields": fields, "map": MAP,
    }  # fmt: skip
    return RedmineSettings.model_validate({**said, **over})


@asynccontextmanager
async def feed_of(redmine: Redmine, user: str = "gateway", **over: Any) -> AsyncIterator[RedmineFeed]:
    """A feed that is open."""
    wiring = Wiring(clock=lambda: datetime.now(UTC), random=Random(1), public_url="http://desk")
    made = RedmineFeed(settings(redmine, user, **over), wiring)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def news(feed: RedmineFeed, cursor: str, ref: Ref) -> tuple[list[Heard], str]:
    """Everything about this issue since the cursor, and the next one."""
    heard = list[Heard]()
    while True:
        page = await feed.changes(cursor)
        heard += [each for each in page.heard if each.ref == ref.id]
        cursor = page.cursor
        if not page.more:
            return heard, cursor
