"""The database as the rest of the gateway sees it: `write` and `read` a function of a Connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import TypeVar
from zlib import crc32

from sqlalchemy import Connection, Engine

from channels.contract import Unavailable
from gateway.store.checkpoints import Checkpoints
from gateway.store.dialect import UnsafeDatabase
from gateway.store.failpoints import FailPoint, nowhere
from gateway.store.migrate import SchemaTooNew, migrate
from gateway.store.postgres_url import is_postgres_url
from gateway.store.sqlite import SQLiteBackend, database_path, make_engine, refuse_network_file_system
from gateway.store.writer import Job, Limits, Writer, WriterStats, as_unavailable

__all__ = ["Database", "Limits", "SchemaTooNew", "UnsafeDatabase", "WriterStats", "migrate", "open_database"]

T = TypeVar("T")


class Database:
    """Threads that write and group commits (one on SQLite, a few on PostgreSQL), and a few that read.

    Made by `open_database`. Jobs are ordinary functions of a SQLAlchemy Connection with portable SQL.
    """

    def __init__(
        self, url: str, writers: Sequence[Writer], readers: Engine, threads: int, closing: Callable[[], None]
    ) -> None:
        """`closing` is called after the writers have ended."""
        self.url = url
        self._writers = writers
        self._readers = readers
        self._closing = closing
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="db-reader")
        self._closed = False
        self._turns: dict[asyncio.AbstractEventLoop, list[Job]] = {}
        """Loop -> urgent jobs of its present turn, which are handed over together at the turn's end."""

    @property
    def shared(self) -> bool:
        """May other nodes work on this database at the same time?"""
        return self._readers.dialect.name == "postgresql"

    @property
    def healthy(self) -> bool:
        """False after a failed BEGIN or COMMIT until a probe has committed."""
        return all(writer.healthy for writer in self._writers) and not self._closed

    @property
    def stats(self) -> WriterStats:
        """Commits and jobs of the writers so far."""
        return _total([writer.stats for writer in self._writers])

    async def write(
        self, job: Callable[[Connection], T], *, urgent: bool = False, lane: str = "", alone: bool = False
    ) -> T:
        """Run `job` in a transaction that it may share with others; return its result after the COMMIT.

        The job may be run twice (a batch that failed is run again one by one; a lost race is run
        again), so it touches nothing but the connection. Jobs of one `lane` run in the order in
        which they are given; `alone` shares its transaction with nobody. Its own exception undoes
        its work and reaches only this caller.
        Raises Unavailable when the database is locked, full, broken or its COMMIT failed: then
        nothing, or after a failed COMMIT perhaps everything, was written.
        """
        return await self.begin(job, urgent=urgent, lane=lane, alone=alone)

    def begin(
        self, job: Callable[[Connection], T], *, urgent: bool = False, lane: str = "", alone: bool = False
    ) -> asyncio.Future[T]:
        """`write`, for whoever has no task to wait in: its result, or what it raises, is the future's."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        made = Job(run=job, urgent=urgent, loop=loop, future=future, alone=alone)
        if urgent:
            self._with_its_turn(made)
        else:
            self._writer(lane).submit([made])
        return future

    def _with_its_turn(self, job: Job) -> None:
        """Hand over what a loop accepts in one turn at once: waiting for the thread's lock costs as much as a row."""
        turn = self._turns.get(job.loop)
        if turn is None:
            turn = self._turns[job.loop] = []
            job.loop.call_soon(self._hand_over, job.loop)
        turn.append(job)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        # Accepts have a thread of their own where there are several: together they make the fewest commits.
        if jobs := self._turns.pop(loop, None):
            self._writers[0].submit(jobs)

    def _writer(self, lane: str) -> Writer:
        """Of a job that is not urgent."""
        first, *others = self._writers
        if not others:
            return first
        if lane:
            return others[crc32(lane.encode("utf-8", "replace")) % len(others)]
        return min(others, key=lambda writer: writer.waiting)

    async def read(self, job: Callable[[Connection], T]) -> T:
        """Run `job` in a short read transaction in a thread. Raises Unavailable for the database's own trouble."""
        if self._closed:
            raise Unavailable("the database is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, job)

    def _read(self, job: Callable[[Connection], T]) -> T:
        try:
            with self._readers.connect() as conn:
                return job(conn)
        except Exception as error:
            raised = as_unavailable(error)
            if raised is error:
                raise
            raise raised from error

    async def close(self) -> None:
        """Finish the writes that wait, then close everything. Repeating it is harmless."""
        if not self._closed:
            self._closed = True
            self._hand_over(asyncio.get_running_loop())
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        # All are told before one is waited for.
        with ThreadPoolExecutor(len(self._writers)) as stopping:
            list(stopping.map(Writer.stop, self._writers))
        self._pool.shutdown()
        self._readers.dispose()
        self._closing()


def _total(stats: Sequence[WriterStats]) -> WriterStats:
    values = {field.name: [getattr(each, field.name) for each in stats] for field in fields(WriterStats)}
    return WriterStats(**{name: (max if name == "longest_hold" else sum)(found) for name, found in values.items()})


def open_database(
    url: str,
    *,
    readers: int = 4,
    writers: int = 3,
    busy_timeout: float = 5.0,
    limits: Limits | None = None,
    failpoint: FailPoint = nowhere,
    monotonic: Callable[[], float] = time.monotonic,
) -> Database:
    """Open the database at a SQLAlchemy URL (`sqlite:////path/to/file`, `postgresql://user@host/name`).

    Its schema must be there: see `migrate`. `writers` (2 or more: one for accepts) counts on
    PostgreSQL only. `busy_timeout`, in seconds, bounds the wait for a lock. Raises UnsafeDatabase
    when it could lose what was acknowledged (synchronous=OFF, fsync=off, a network file system),
    sqlalchemy.exc.OperationalError when it cannot be opened.
    """
    limits = limits or Limits()
    if is_postgres_url(url):
        from gateway.store import postgres  # loads the driver

        backend = postgres.PostgresBackend(url, busy_timeout)
        made: list[Writer] = []
        try:
            for _ in range(max(writers, 2)):
                made.append(
                    Writer(backend, limits=limits, failpoint=failpoint, monotonic=monotonic, committed=_nothing)
                )
        except Exception:
            for writer in made:
                writer.stop()
            raise
        return Database(url, made, postgres.make_engine(url, "reader", pool_size=readers), readers, _nothing)
    path = database_path(url)
    refuse_network_file_system(path)
    checkpoints = Checkpoints(make_engine(url, "checkpoint", busy_timeout=0.0))
    only = Writer(
        SQLiteBackend(url, busy_timeout),
        limits=limits,
        failpoint=failpoint,
        monotonic=monotonic,
        committed=checkpoints.wanted.set,
    )
    checkpoints.start(only.gate)
    reading = make_engine(url, "reader", busy_timeout=busy_timeout, pool_size=readers)
    return Database(url, [only], reading, readers, checkpoints.stop)


def _nothing() -> None:
    return None
