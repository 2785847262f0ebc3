"""Tickets to push into tables, and a feed to push them with."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from ruamel.yaml import YAML

from gateway.feeds.contract import Alter, Changes, File, Heard, Open, Outcome, Person, Ref, Said, Say, Ticket
from gateway.feeds.kind import Wiring
from gateway.feeds.registry import FEEDS
from gateway.feeds.sql_table import SqlFeed
from gateway.feeds.sql_table_settings import SqlSettings

NOW = datetime(2026, 11, 20, 9, 30, 15, tzinfo=UTC)
INSTALLATION = "0badcafe"
LOCK = "gateway.feeds.sql_table_engine.LOCK"
"""Where it stands how many seconds a write waits for somebody else's. Tests in which two writes meet, and both are to
be done, have no end of it, as a pause of the machine must not end such a wait; those that wait for its end have a
short one."""
ENDLESS, SHORT = 600, 1


@dataclass(slots=True)
class Clock:
    """The time of a test."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **by: float) -> None:
        """So much."""
        self.now += timedelta(**by)


def ticket(number: int = 1000005, **changed: Any) -> Ticket:
    """A ticket of somebody's."""
    given: dict[str, Any] = {
        "key": f"{INSTALLATION}-{number}", "number": str(number), "subject": "Не працює пошта",
        "requester": Person(address="olena@client.example", name="Олена"), "copies": (), "status": "new",
        "class_": 2,
        "line": "L1", "onsite": False, "contract": "acme", "assignee": "", "language": "uk", "tags": (), "result": "",
        "opened_at": NOW, "updated_at": NOW, "reaction_due": NOW + timedelta(hours=1), "resolution_due": None,
        "url": "",
    }  # fmt: skip
    return Ticket(**{**given, **changed})


def said(number: int = 1000005, message: int = 1, text: str = "Сервер не відповідає", **changed: Any) -> Said:
    """A message of that ticket."""
    given: dict[str, Any] = {
        "key": f"{INSTALLATION}-{number}-{message}", "author": Person(address="olena@client.example", name="Олена"),
        "text": text, "at": NOW, "public": True, "inward": True, "message_id": f"{number}.{message}@client.example",
    }  # fmt: skip
    return Said(**{**given, **changed})


def file(name: str = "log.txt", content: bytes = b"error 502\n", content_type: str = "text/plain") -> File:
    """An attachment."""
    return File(
        filename=name, content_type=content_type, size=len(content), sha256=hashlib.sha256(content).hexdigest(),
        read=lambda: content,
    )  # fmt: skip


def opening(number: int = 1000005, *, first: Said | None = None, **changed: Any) -> Open:
    """The write that makes a ticket."""
    made = ticket(number, **changed)
    return Open(key=made.key, ticket=made, first=first if first is not None else said(number))


def saying(ref: Ref, message: Said, number: int = 1000005, **changed: Any) -> Say:
    """The write that appends a message."""
    return Say(key=message.key, ticket=ticket(number, **changed), ref=ref, said=message)


def altering(ref: Ref, *fields: str, number: int = 1000005, **changed: Any) -> Alter:
    """The write that changes fields."""
    names: Any = frozenset(fields)
    return Alter(key=f"{INSTALLATION}-{number}-a", ticket=ticket(number, **changed), ref=ref, fields=names)


@dataclass(slots=True)
class Desk:
    """A feed, and what it heard."""

    feed: SqlFeed
    clock: Clock
    cursor: str | None = None
    odd: list[str] = field(default_factory=list)

    async def opened(self, number: int = 1000005, **changed: Any) -> Ref:
        """A ticket that was pushed."""
        pushed = await self.feed.push(opening(number, **changed))
        assert pushed.outcome is Outcome.DONE and pushed.ref is not None, pushed
        return pushed.ref

    async def begins(self) -> None:
        """The first look."""
        assert not (await self.look()).heard

    async def look(self) -> Changes:
        """One look."""
        found = await self.feed.changes(self.cursor)
        self.cursor = found.cursor
        self.odd += found.odd
        return found

    async def news(self) -> Sequence[Heard]:
        """What is new, without our own writes."""
        found, more = [], True
        while more:
            page = await self.look()
            found += [each for each in page.heard if not each.ours]
            more = page.more
        return found

    async def changes(self) -> list[Any]:
        """(what, value) of all that is new."""
        return [each.change for each in await self.news()]


def settings(text: str, **more: Any) -> SqlSettings:
    """The settings of a feed, as they stand in a file."""
    return SqlSettings.model_validate({**YAML(typ="safe").load(text), **more})


@asynccontextmanager
async def desk(given: SqlSettings, clock: Clock | None = None) -> AsyncIterator[Desk]:
    """A feed that is open."""
    clock = clock if clock is not None else Clock()
    feed = FEEDS["sql"].build("desk", given, Wiring(clock=clock, random=Random(1), public_url="https://help.example"))
    assert isinstance(feed, SqlFeed)
    await feed.open()
    try:
        yield Desk(feed=feed, clock=clock)
    finally:
        await feed.close()
