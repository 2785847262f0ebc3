"""A feed to a table of tickets that the desk has already: SQLite, PostgreSQL, MariaDB or MySQL.

Drivers are synchronous, so the work is done in threads of the feed's own. The tables are read when the first call needs
them, and again after the database said that they are not as they were.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from channels.contract import Clock
from channels.credentials import reveal
from gateway.feeds import sql_inspect, sql_table_checking, sql_table_import
from gateway.feeds import sql_table_state as states
from gateway.feeds.contract import (
    Alter,
    CannotTell,
    Changes,
    FeedError,
    Finding,
    Open,
    Outcome,
    Page,
    Pushed,
    Ref,
    Say,
    Write,
)
from gateway.feeds.kind import Wiring
from gateway.feeds.settings import FeedSettings
from gateway.feeds.sql_table_engine import Busy, Lines, make_engine, reading, writing
from gateway.feeds.sql_table_errors import Kind, Trouble, trouble
from gateway.feeds.sql_table_many import open_all
from gateway.feeds.sql_table_messages import MessageReader
from gateway.feeds.sql_table_reading import TicketReader, page
from gateway.feeds.sql_table_settings import SqlSettings
from gateway.feeds.sql_table_shape import Mismapped, Shape, bind
from gateway.feeds.sql_table_together import Together
from gateway.feeds.sql_table_values import Unfit
from gateway.feeds.sql_table_writing import Writer, Wrote, closed, find_message, find_ticket, ref_of

T = TypeVar("T")
_REMEMBERED = 10_000
"""Tickets whose last write by this process is remembered."""
_ROUNDS = 4
"""How often a push begins again at once: somebody else made the same row, or took the same number, meanwhile."""
_LANES = 2
"""Transactions with several tickets at the same time: one that waits for a lock of the server's stops no other."""
_LETTING_GO = 2.0
"""Seconds that closing waits for threads, before and after it cuts their connections."""


class _Again(Exception):
    """One more try may do."""

    def __init__(self, found: Trouble) -> None:
        super().__init__(found.text)
        self.found = found


class SqlFeed:
    """`contract.Feed` with `Sweeps`, `Imports` and `Inspects`."""

    def __init__(self, settings: SqlSettings, url: str, *, clock: Clock) -> None:
        self._settings, self._url, self._clock = settings, url, clock
        self._threads: ThreadPoolExecutor | None = None
        self._engine: Engine | None = None
        self._lines: Lines | None = None
        self._closing = False
        self._shape: Shape | None = None
        self._first = threading.Lock()
        # One file has one writer: in a queue of our own nobody is left waiting for ever, as SQLite's has no order.
        self._alone = url.startswith("sqlite")
        self._writers = threading.Semaphore(1 if self._alone else settings.concurrency + 1)
        self._together: Together | None = None
        self._wrote: OrderedDict[str, Mapping[str, str]] = OrderedDict()
        self._looked: tuple[str, Mapping[str, Mapping[str, str]]] | None = None

    # -- life

    async def open(self) -> None:
        """Make the threads."""
        self._closing = False
        self._threads = ThreadPoolExecutor(self._settings.concurrency + 1, thread_name_prefix="sql-feed")
        self._together = Together(self._threads, self._push_all, lanes=1 if self._alone else _LANES)

    async def close(self) -> None:
        """End the threads and the connections: those that a thread still waits on are cut."""
        threads, self._threads, self._closing = self._threads, None, True
        together, self._together = self._together, None
        if together is not None:
            together.close()
        if threads is not None:
            ended = asyncio.get_running_loop().run_in_executor(None, lambda: threads.shutdown(cancel_futures=True))
            await asyncio.wait([ended], timeout=_LETTING_GO)
            if not ended.done() and self._lines is not None:
                self._lines.cut()
                await asyncio.wait([ended], timeout=_LETTING_GO)
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        assert self._threads is not None, "open() comes first"
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _connected(self) -> Engine:
        """Raises FeedError."""
        with self._first:
            if self._closing:
                raise FeedError("the gateway stops")
            if self._engine is None:
                seconds = self._settings.timeout.total_seconds()
                self._engine = make_engine(self._url, size=self._settings.concurrency + 1, seconds=seconds)
                self._lines = Lines(self._engine)
            return self._engine

    def _bound(self) -> Shape:
        """The tables. Raises FeedError, Mismapped and SQLAlchemy's errors."""
        engine = self._connected()
        with self._first:
            if self._shape is None:
                with reading(engine) as conn:
                    self._shape = bind(conn, self._settings)
            return self._shape

    def _read_again(self, found: Trouble) -> None:
        if found.kind is Kind.SHAPE:
            self._shape = None

    # -- writing

    async def push(self, write: Write) -> Pushed:
        """As the contract says. New tickets that wait at the same time are made in one transaction where the tables
        allow it; what troubles one of them has each of them tried in one of its own."""
        shape = self._shape
        if shape is not None and shape.gathers and isinstance(write, Open) and not write.first.files:
            assert self._together is not None, "open() comes first"
            if (pushed := await self._together.push(write)) is not None:
                return pushed
        return await self._in_thread(lambda: self._push(write))

    def _push_all(self, writes: Sequence[Open]) -> Sequence[Pushed] | None:
        """None: nothing was done, as one of them is in trouble. Raises what speaks against all or one of them."""
        shape, begun, committing = self._bound(), False, False
        if not shape.gathers:
            return None
        try:
            with self._writers, writing(self._connected(), "", locked=False) as conn:
                begun = True
                wrote = open_all(conn, shape, self._settings, self._clock(), writes)
                committing = True
        except SQLAlchemyError as error:
            pushed = trouble(error).pushed(committing=committing)
            # A file that is locked is every ticket's trouble, and so is a COMMIT of which nobody knows.
            of_all = pushed.uncertain or (not begun and pushed.outcome is Outcome.RETRY)
            return [pushed] * len(writes) if of_all else None
        for each in wrote:
            self._remember(each)
        return [each.pushed for each in wrote]

    def _push(self, write: Write) -> Pushed:
        for attempt in range(_ROUNDS):
            try:
                pushed = self._once(write, again=attempt > 0)
            except _Again as error:
                found = error.found
                continue
            if attempt > 0 or pushed.outcome is not Outcome.REFUSED or not self._blind(write):
                return pushed
        made = found.pushed(committing=False)
        if self._shape is not None and self._shape.tickets.next is not None:
            # The desk took each number before us: nothing is wrong with the ticket.
            return replace(made, outcome=Outcome.RETRY, of_ticket=True)
        return made

    def _blind(self, write: Write) -> bool:
        """Does its first round not look whether it is there? Then what is refused may be a row that nobody needs."""
        return isinstance(write, Open) and self._shape is not None and not self._shape.looks

    def _once(self, write: Write, *, again: bool) -> Pushed:
        """Raises _Again for what a second try may get done at once: somebody else made the same row meanwhile, or a
        connection of the pool was stale."""
        committing = False
        try:
            shape = self._bound()
            committing = not shape.rolls_back
            with self._writers, writing(self._connected(), write.ticket.key, locked=shape.locks) as conn:
                # A unique key tells what is there already; then the second round looks.
                looks = again or shape.looks
                wrote = Writer(conn, shape, self._settings, self._clock(), looks=looks).write(write)
                committing = True
        except (SQLAlchemyError, Busy) as error:
            found = trouble(error)
            self._read_again(found)
            if found.kind is Kind.UNIQUE or (found.kind is Kind.GONE and not committing):
                raise _Again(found) from None
            return found.pushed(committing=committing)
        except (Mismapped, FeedError) as error:
            return Pushed(outcome=Outcome.RETRY, detail=str(error)[:500])
        except Unfit as error:
            return Pushed(outcome=Outcome.REFUSED, detail=str(error)[:500])
        except OSError as error:
            what = f"an attachment cannot be read or written: {error.strerror or type(error).__name__}"
            return Pushed(outcome=Outcome.RETRY, detail=what, of_ticket=True)
        self._remember(wrote)
        return wrote.pushed

    def _remember(self, wrote: Wrote) -> None:
        if wrote.pushed.ref is None or not wrote.told:
            return
        with self._first:
            name = wrote.pushed.ref.id
            self._wrote[name] = {**self._wrote.pop(name, {}), **wrote.told}
            while len(self._wrote) > _REMEMBERED:
                self._wrote.popitem(last=False)

    async def find(self, write: Write) -> Ref | CannotTell | None:
        """As the contract says: in the tables themselves, by the columns with our keys."""
        try:
            return await self._in_thread(lambda: self._find(write))
        except (SQLAlchemyError, Mismapped, FeedError) as error:
            return CannotTell(detail=self._readable(error).args[0])

    def _find(self, write: Write) -> Ref | None:
        shape = self._bound()
        with reading(self._connected()) as conn:
            if isinstance(write, Alter):
                return write.ref
            said = write.first if isinstance(write, Open) else write.said
            ids = find_ticket(conn, shape, write.ticket.key) if isinstance(write, Open) else shape.ids(write.ref.id)
            if ids is None:
                return None
            if shape.messages is not None and find_message(conn, shape.messages, said.key) is None:
                return None
            if isinstance(write, Say):
                return write.ref if shape.messages is not None else None
            return ref_of(conn, shape, self._settings, ids)

    async def undo(self, ref: Ref) -> Pushed:
        """Close the ticket: nothing is deleted."""
        return await self._in_thread(lambda: self._undo(ref))

    def _undo(self, ref: Ref) -> Pushed:
        try:
            shape = self._bound()
            with self._writers, writing(self._connected(), ref.id) as conn:
                return closed(conn, shape, self._settings, ref, self._clock())
        except (SQLAlchemyError, Busy) as error:
            return trouble(error).pushed(committing=True)
        except (Mismapped, FeedError) as error:
            return Pushed(outcome=Outcome.RETRY, detail=str(error)[:500])

    # -- reading

    def _readable(self, error: Exception) -> FeedError:
        if isinstance(error, FeedError):
            return error
        if isinstance(error, Mismapped):
            return FeedError(str(error), again=False)
        found = trouble(error)
        self._read_again(found)
        return found.error()

    async def _asked(self, work: Callable[[], T]) -> T:
        """Raises FeedError."""
        try:
            return await self._in_thread(work)
        except (SQLAlchemyError, Mismapped) as error:
            raise self._readable(error) from None

    async def changes(self, cursor: str | None) -> Changes:
        """As the contract says."""
        return await self._asked(lambda: self._changes(cursor))

    def _changes(self, cursor: str | None) -> Changes:
        shape, engine, now = self._bound(), self._connected(), self._clock()
        with self._first:
            if self._looked is not None and self._looked[0] == cursor:  # what the last look said is applied
                self._forget(self._looked[1])
            wrote = dict(self._wrote)
        before = states.read(cursor) if cursor is not None else states.State()
        state = states.read(cursor) if cursor is not None else states.State()
        with reading(engine) as conn:
            tickets = TicketReader(conn, shape, self._settings, now, wrote)
            messages = MessageReader(conn, engine, shape, self._settings, now)
            if cursor is None:
                tickets.begin(state)
                messages.begin(state)
                return page((), state, before, more=False, odd=(*tickets.odd, *messages.odd))
            said, more_said = messages.look(state)
            heard, more = tickets.look(state)
        odd = (*tickets.odd, *messages.odd)
        found = page((*said, *heard), state, before, more=more or more_said, odd=odd)
        self._looked = found.cursor, {name: wrote[name] for name in tickets.handled if name in wrote}
        return found

    def _forget(self, seen: Mapping[str, Mapping[str, str]]) -> None:
        for name, digests in seen.items():
            if self._wrote.get(name) is digests:
                del self._wrote[name]

    async def check(self) -> Sequence[Finding]:
        """As the contract says."""
        return await self._in_thread(self._check)

    def _check(self) -> Sequence[Finding]:
        try:
            engine = self._connected()
        except FeedError as error:
            return [Finding(good=False, what=str(error))]
        return sql_table_checking.check(engine, self._settings)

    async def doubles(self) -> Mapping[str, Sequence[Ref]]:
        """As the contract says."""

        def work() -> Mapping[str, Sequence[Ref]]:
            shape = self._bound()
            with reading(self._connected()) as conn:
                return sql_table_import.doubles(conn, shape, self._settings)

        return await self._asked(work)

    async def existing(self, cursor: str | None) -> Page:
        """As the contract says."""

        def work() -> Page:
            shape = self._bound()
            with reading(self._connected()) as conn:
                return sql_table_import.existing(conn, shape, self._settings, cursor, self._clock())

        return await self._asked(work)

    async def propose(self) -> str:
        """As the contract says."""

        def work() -> str:
            with reading(self._connected()) as conn:
                return sql_inspect.propose(conn, self._settings)

        return await self._asked(work)


def build(name: str, settings: FeedSettings, wiring: Wiring) -> SqlFeed:
    """For the registry."""
    if not isinstance(settings, SqlSettings):
        raise TypeError(f"feed {name} is no table")
    return SqlFeed(settings, reveal(settings.url), clock=wiring.clock)
