"""`gateway feeds try`: one test ticket is written into a store, read back and closed, each step told as it is done."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.feeds.contract import (
    Alter,
    CannotTell,
    Changes,
    Feed,
    FeedError,
    File,
    Open,
    Outcome,
    Person,
    Pushed,
    Ref,
    Said,
    Say,
    Ticket,
    Write,
)
from gateway.feeds.settings import FeedSettings

PAGES = 50
"""Of changes that are read back: what others do meanwhile comes along."""
FILE = b"A file of the test ticket.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What was tried, and what it came to."""

    what: str
    good: bool
    detail: str = ""


class _Stop(Exception):
    """There is no use in going on."""


class Trial:
    """One test ticket. What was made is closed at the end, however far it came."""

    def __init__(self, feed: Feed, settings: FeedSettings, *, now: datetime, token: str, address: str) -> None:
        """`token` tells this try from any other; `address`: the test's requester, one that nobody reads."""
        self._feed, self._settings = feed, settings
        self.ref: Ref | None = None
        requester = Person(address=address, name="Intake gateway test")
        self._ticket = Ticket(
            key=f"try-{token}", number="0", subject=f"Test of the intake gateway {token}, please ignore",
            requester=requester, copies=(), status="new", class_=6, line="L1", onsite=False,
            contract=next(iter(settings.contracts), ""), assignee="", language="en", tags=(), result="",
            opened_at=now, updated_at=now, reaction_due=None, resolution_due=None, url="",
        )  # fmt: skip
        self._first = Said(
            key=f"try-{token}-1", author=requester, text="Written by `gateway feeds try`. Проверка. Перевірка.",
            at=now, public=True, inward=True,
        )  # fmt: skip

    async def run(self) -> AsyncIterator[Step]:
        """Every step as it is done; the first that stands in the way of all others is followed by the end alone."""
        cursor: str | None = None
        try:
            if self._settings.read:
                page = await self._heard(None)
                cursor = page.cursor if isinstance(page, Changes) else None
                yield _read("read where the changes stand", page)
            async for step in self._written():
                yield step
            if cursor is not None:
                yield await self._own_changes(cursor)
        except _Stop:
            return
        finally:
            # A generator that is closed early cannot yield, but it can clean up.
            closed = await self._closed()
        if closed is not None:
            yield closed

    async def _written(self) -> AsyncIterator[Step]:
        opened = Open(key=self._ticket.key, ticket=self._ticket, first=self._first)
        pushed = await self._feed.push(opened)
        self.ref = pushed.ref
        step = _pushed("open a ticket", pushed)
        if pushed.ref is None:
            yield replace(step, good=False)
            raise _Stop
        yield replace(step, detail="; ".join(part for part in (f"number {pushed.ref.number}", step.detail) if part))
        ref = pushed.ref
        yield await self._found("find it by its key", opened, ref)
        said = replace(self._first, key=f"{self._first.key[:-1]}2", text="A second message.", files=(_file(),))
        say = Say(key=said.key, ticket=self._ticket, ref=ref, said=said)
        yield _pushed("append a message with a file", await self._feed.push(say))
        yield await self._found("find the message by its key", say, ref)
        if self._settings.notes:
            note = replace(said, key=f"{self._first.key[:-1]}3", text="A note for staff.", public=False, inward=False,
                           files=())  # fmt: skip
            write = Say(key=note.key, ticket=self._ticket, ref=ref, said=note)
            yield _pushed("append a private note", await self._feed.push(write))
        self._ticket = replace(self._ticket, status="open")
        alter = Alter(key=f"{self._ticket.key}-4", ticket=self._ticket, ref=ref, fields=frozenset({"status"}))
        yield _pushed("change its status", await self._feed.push(alter))

    async def _found(self, what: str, write: Write, ref: Ref) -> Step:
        found = await self._feed.find(write)
        match found:
            case Ref(id=ref.id):
                return Step(what=what, good=True)
            case None:
                # A store that knows repeats by itself is not asked.
                return Step(what=what, good=True, detail="the store is not asked: it has to know repeats by our key")
            case CannotTell():
                return Step(what=what, good=False, detail=found.detail)
            case _:
                return Step(what=what, good=False, detail=f"found {found.number} instead of {ref.number}")

    async def _own_changes(self, cursor: str) -> Step:
        what = "know our own changes as ours"
        strange: list[str] = []
        for _ in range(PAGES):
            page = await self._heard(cursor)
            if isinstance(page, FeedError):
                return Step(what=what, good=False, detail=str(page))
            ref = self.ref.id if self.ref is not None else ""
            strange += [one.id for one in page.heard if one.ref == ref and not one.ours]
            if not page.more:
                break
            cursor = page.cursor
        if strange:
            detail = f"{len(strange)} of them look like somebody else's: they would come back as news"
            return Step(what=what, good=False, detail=detail)
        return Step(what=what, good=True)

    async def _heard(self, cursor: str | None) -> Changes | FeedError:
        try:
            return await self._feed.changes(cursor)
        except FeedError as error:
            return error

    async def _closed(self) -> Step | None:
        if self.ref is None:
            return None
        step = _pushed("close the test ticket", await self._feed.undo(self.ref))
        return step if step.good else replace(step, detail=f"{step.detail}: close {self.ref.number} by hand")


def _pushed(what: str, pushed: Pushed) -> Step:
    left = "; ".join(pushed.left_out)
    said = [pushed.detail] if pushed.detail else []
    if left:
        said.append(f"left out: {left}")
    return Step(what=what, good=pushed.outcome is Outcome.DONE, detail="; ".join(said))


def _read(what: str, page: Changes | FeedError) -> Step:
    return Step(what=what, good=isinstance(page, Changes), detail="" if isinstance(page, Changes) else str(page))


def _file() -> File:
    digest = hashlib.sha256(FILE).hexdigest()
    return File(filename="test.txt", content_type="text/plain", size=len(FILE), sha256=digest, read=lambda: FILE)
