"""The engine of feeds beside a store in this process: it keeps what it gets, and each call ends as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Literal, TypeAlias, TypeVar, cast

from sqlalchemy import Connection

from gateway import updates
from gateway.context import Context
from gateway.feeds import reached
from gateway.feeds.applying import Applied
from gateway.feeds.contract import (
    Alter,
    CannotTell,
    Change,
    Changes,
    Finding,
    Heard,
    Open,
    Outcome,
    Pushed,
    Ref,
    Say,
    Set,
    Write,
)
from gateway.feeds.kind import Kind, Wiring
from gateway.feeds.pushing import Pushing
from gateway.feeds.queueing import ticket_changed
from gateway.feeds.reading import Reading
from gateway.feeds.registry import FEEDS
from gateway.feeds.settings import FeedSettings
from gateway.leases import Leases
from gateway.metrics import Metrics
from gateway.store import feeds, tickets
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from tests.gateway.conftest import START, FrozenClock
from tests.gateway.outgoing import open_ticket
from tests.gateway.staffed import desk_context

T = TypeVar("T")
Fate: TypeAlias = Literal["done", "retry", "lost", "done lost", "killed before", "killed after", "refused", "gone"]
"""lost, done lost: no answer, with nothing or all of it done; killed: our process ends there."""
NAME = "memory"


class Killed(BaseException):
    """This process is no more."""


@dataclass
class MemoryStore:
    """Keeps tickets; a second POST makes a second one."""

    fates: list[Fate] = field(default_factory=list)
    """Of the next calls; then all is well."""
    tells: bool = True
    """It knows what it has."""
    tickets: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    page: list[Heard] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """A push waits for it."""
    finding: asyncio.Event | None = None
    """A look for what an earlier try did waits for it."""
    doubled: Mapping[str, Sequence[Ref]] | Exception | None = None
    """What a look for doubles finds; None: it never ends."""
    sweeps: int = 0
    swept: asyncio.Event = field(default_factory=asyncio.Event)
    dying: bool = False
    """The process ends before it hears what the store did."""

    def failpoint(self, name: str) -> None:
        """Of one life: killed before or after the store is called."""
        if name == "feed-sending-committed" and self.fates[:1] == ["killed before"]:
            self.fates.pop(0)
            raise Killed
        if name == "feed-pushed-unsettled" and self.dying:
            self.dying = False
            raise Killed

    def keys(self) -> list[str]:
        """Of every ticket and message."""
        return [key for one in self.tickets for key in (one["key"], *one["said"])]

    def texts(self, ticket: int = 0) -> list[str]:
        return [said["text"] for said in self.tickets[ticket]["said"].values()]

    def do(self, write: Write) -> Ref:
        """Take it."""
        match write:
            case Open():
                self.tickets.append({"key": write.key, "said": {}})
                place = len(self.tickets) - 1
            case Say() | Alter():
                place = int(write.ref.id)
        one = self.tickets[place]
        said = write.first if isinstance(write, Open) else write.said if isinstance(write, Say) else None
        if said is not None:
            assert said.key not in one["said"], "the same message twice"
            one["said"][said.key] = {"text": said.text, "public": said.public}
        if not isinstance(write, Say):
            names = write.fields if isinstance(write, Alter) else frozenset({"status", "line", "class"})
            present = {"status": write.ticket.status, "line": write.ticket.line, "class": write.ticket.class_}
            one |= {name: value for name, value in present.items() if name in names}
            if isinstance(write, Alter):
                self._tell_of(place, {name: str(value) for name, value in present.items() if name in names})
        return Ref(id=str(place), number=f"M{place}")

    def _tell_of(self, place: int, fields: Mapping[Any, str]) -> None:
        """What we change stands in the store's history, too, behind what staff had changed before."""
        for name, value in fields.items():
            change = Set(field=name, value=value, raw=value)
            heard = Heard(id=f"o{len(self.page)}", ref=str(place), at=START, actor="gateway", ours=True, change=change)
            self.page.append(heard)

    def find(self, write: Write) -> Ref | CannotTell | None:
        self.calls.append("find")
        if not self.tells:
            return CannotTell(detail="not now")
        for place, one in enumerate(self.tickets):
            if write.key == one["key"] or write.key in one["said"]:
                return Ref(id=str(place), number=f"M{place}")
        return None


class MemoryFeed:
    """One life of a feed at the store."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    async def open(self) -> None:
        """Nothing to make."""

    async def close(self) -> None:
        """Nothing to end."""

    async def push(self, write: Write) -> Pushed:
        store = self.store
        store.calls.append(type(write).__name__.lower())
        if store.gate is not None:
            await store.gate.wait()
        fate = store.fates.pop(0) if store.fates else "done"
        if fate == "retry":
            return Pushed(outcome=Outcome.RETRY, detail="busy")
        if fate == "lost":
            return Pushed(outcome=Outcome.RETRY, detail="no answer", uncertain=True)
        if fate == "refused":
            return Pushed(outcome=Outcome.REFUSED, detail="no such queue")
        if fate == "gone":
            return Pushed(outcome=Outcome.VANISHED)
        ref = store.do(write)
        if fate == "done lost":
            return Pushed(outcome=Outcome.RETRY, detail="no answer", uncertain=True)
        store.dying = fate == "killed after"
        return Pushed(outcome=Outcome.DONE, ref=ref)

    async def find(self, write: Write) -> Ref | CannotTell | None:
        if self.store.finding is not None:
            await self.store.finding.wait()
        return self.store.find(write)

    async def changes(self, cursor: str | None) -> Changes:
        page, start = self.store.page, int(cursor or 0)
        return Changes(heard=tuple(page[start:]), cursor=str(len(page)))

    async def doubles(self) -> Mapping[str, Sequence[Ref]]:
        self.store.sweeps += 1
        self.store.swept.set()
        if isinstance(self.store.doubled, Exception):
            raise self.store.doubled
        if self.store.doubled is None:
            await asyncio.Event().wait()
        return self.store.doubled or {}

    async def check(self) -> Sequence[Finding]:
        return ()

    async def undo(self, ref: Ref) -> Pushed:
        return Pushed(outcome=Outcome.DONE, ref=ref)


@contextmanager
def _registered() -> Iterator[None]:
    """The kind is known: settings are read by it."""

    def build(_name: str, _settings: FeedSettings, _wiring: Wiring) -> MemoryFeed:
        return MemoryFeed(MemoryStore())

    kinds = cast("dict[str, Kind]", FEEDS)
    kinds[NAME] = Kind(settings=FeedSettings, build=build)
    try:
        yield
    finally:
        del kinds[NAME]


def feeds_context(**feed: Any) -> Context:
    """A desk with one store."""
    rules = {"backoff": "30s", "backoff_limit": "1h", "debounce": "0s"}
    known = {"kind": NAME, "timeout": "1m", "doubt": "1m", **feed}
    with _registered():
        return desk_context(outbox=rules, feeds={"store": known})


@dataclass
class Rig:
    """One or several lives of an engine at one database."""

    db: Database
    clock: FrozenClock
    folder: Path
    ctx: Context
    store: MemoryStore = field(default_factory=MemoryStore)
    lives: int = 0
    listened: bool = True
    """The store was read before."""

    def pushing(self, leases: Leases | None = None) -> Pushing:
        """A new start of the gateway."""
        self.lives += 1
        return Pushing(
            self.db, self.ctx, feeds={"store": MemoryFeed(self.store)}, blobs=Blobs(self.folder), clock=self.clock,
            random=Random(self.lives), owner="host:1", metrics=Metrics(), after=lambda: None, leases=leases,
            failpoint=self.store.failpoint,
        )  # fmt: skip

    def reading(self) -> Reading:
        return Reading(
            self.db, self.ctx, feeds={"store": MemoryFeed(self.store)}, blobs=Blobs(self.folder), clock=self.clock,
            metrics=Metrics(), after=lambda: None,
        )  # fmt: skip

    async def write(self, job: Callable[[Connection], T]) -> T:
        def listened(conn: Connection) -> T:
            if self.listened and reached.get(conn, "store") is None:
                reached.put(conn, "store", "0")
            return job(conn)

        return await self.db.write(listened)

    async def open(self, text: str = "It is broken", **columns: Any) -> int:
        """A ticket with its first message, queued."""

        def job(conn: Connection) -> int:
            ticket = open_ticket(conn, self.clock(), **columns)
            self._said(conn, ticket, text)
            ticket_changed(conn, self.ctx, ticket, self.clock())
            return ticket

        return await self.write(job)

    def _said(self, conn: Connection, ticket: int, text: str, **columns: Any) -> int:
        return tickets.add_message(
            conn, ticket, direction=columns.pop("direction", "in"), kind="message", author="ann@client.example",
            text=text, at=self.clock(), **columns,
        )  # fmt: skip

    async def say(self, ticket: int, text: str, **columns: Any) -> int:
        """One more message, queued."""

        def job(conn: Connection) -> int:
            message = self._said(conn, ticket, text, **columns)
            ticket_changed(conn, self.ctx, ticket, self.clock())
            return message

        return await self.db.write(job)

    async def reopen(self, ticket: int) -> None:
        """The requester answers a resolved ticket."""

        def job(conn: Connection) -> None:
            before, now = tickets.get(conn, ticket).status, self.clock()
            data = {"status": [before, "open"], "message": self._said(conn, ticket, "It is back")}
            event = tickets.add_event(conn, ticket, at=now, actor="requester", kind="reopened", data=data)
            tickets.update(conn, ticket, status="open", updated_at=now)
            change = updates.Change(ticket_id=ticket, event_id=event, kind="reopened", actor="requester", data=data)
            updates.compose(conn, self.ctx, change, now)

        await self.db.write(job)

    async def act(self, act: Callable[..., Any], ticket: int, **more: Any) -> Any:
        """Staff do something by our own ways in."""
        actor = more.pop("actor", "agent:olena")
        return await self.db.write(lambda conn: act(conn, self.ctx, ticket, actor=actor, now=self.clock(), **more))

    async def push(self, pushing: Pushing) -> int:
        """Carry out what is due now, one wave after another. Returns how many tries there were."""
        tried = 0
        while True:
            count = await pushing.claim()
            if not count:
                return tried
            tried += count
            await asyncio.gather(*pushing._tasks, return_exceptions=True)

    async def hear(self, *changes: Change, ref: str = "0", actor: str = "olga", at: datetime | None = None) -> Applied:
        """News of the store, by poll."""
        for change in changes:
            self.store.page.append(self.heard(change, ref=ref, actor=actor, at=at))
        reading = self.reading()
        began = self.clock()
        cursor = await self.db.read(lambda conn: _cursor(conn))
        page = await MemoryFeed(self.store).changes(cursor)
        return await reading.take("store", page, since=began, cursor=page.cursor)

    def heard(self, change: Change, *, ref: str = "0", actor: str = "olga", at: datetime | None = None) -> Heard:
        number = len(self.store.page)
        return Heard(
            id=f"t{number}", ref=ref, at=at or self.clock(), actor=actor, ours=actor == "gateway", change=change
        )

    async def rows(self) -> list[feeds.Row]:
        def job(conn: Connection) -> list[feeds.Row]:
            found = [feeds.link_of(conn, ticket) for ticket in range(1, 20)]
            return [row for link in found if link is not None for row in feeds.of_ticket(conn, link)]

        return await self.db.read(job)

    async def states(self) -> list[tuple[str, str]]:
        return [(row.kind, row.state) for row in await self.rows()]

    async def ticket(self, ticket: int) -> Any:
        return await self.db.read(lambda conn: tickets.get(conn, ticket))

    async def link(self, ticket: int) -> feeds.Link:
        found = await self.db.read(lambda conn: feeds.link_of(conn, ticket))
        assert found is not None
        return found

    async def events(self, ticket: int, kind: str = "feed") -> list[Mapping[str, Any]]:
        history = await self.db.read(lambda conn: tickets.history(conn, ticket))
        return [event.data for event in history if event.kind == kind]


def _cursor(conn: Connection) -> str | None:
    from gateway.store import cursors

    return cursors.get(conn, "feed", "store", "changes")
