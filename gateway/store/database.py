"""The database as the rest of the gateway sees it: `write` and `read` a function of a Connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine

from channels.contract import Unavailable
from gateway.store.checkpoints import Checkpoints
from gateway.store.failpoints import FailPoint, nowhere
from gateway.store.migrate import SchemaTooNew, migrate
from gateway.store.sqlite import UnsafeDatabase, database_path, make_engine, refuse_network_file_system
from gateway.store.writer import Job, Limits, Writer, WriterStats, as_unavailable

__all__ = ["Database", "Limits", "SchemaTooNew", "UnsafeDatabase", "WriterStats", "migrate", "open_database"]

T = TypeVar("T")


class Database:
    """SQLite with one writer thread that groups commits, and a few threads that read.

    Made by `open_database`. Jobs are ordinary functions of a SQLAlchemy Connection with portable SQL.
    """

    def __init__(self, writer: Writer, readers: Engine, checkpoints: Checkpoints, threads: int) -> None:
        self._writer = writer
        self._readers = readers
        self._checkpoints = checkpoints
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="db-reader")
        self._closed = False

    @property
    def healthy(self) -> bool:
        """False after a failed BEGIN or COMMIT until a probe has committed."""
        return self._writer.healthy and not self._closed

    @property
    def stats(self) -> WriterStats:
        """Commits and jobs of the writer so far."""
        return self._writer.stats

    async def write(self, job: Callable[[Connection], T], *, urgent: bool = False) -> T:
        """Run `job` in a transaction that it may share with others; return its result after the COMMIT.

        The job may be run twice (a batch that failed is run again one by one), so it touches nothing
        but the connection. Its own exception undoes its work and reaches only this caller.
        Raises Unavailable when the database is locked, full, broken or its COMMIT failed: then
        nothing, or after a failed COMMIT perhaps everything, was written.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._writer.submit(Job(run=job, urgent=urgent, loop=loop, future=future))
        return await future

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
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.stop()
        self._pool.shutdown()
        self._readers.dispose()
        self._checkpoints.stop()


def open_database(
    url: str,
    *,
    readers: int = 4,
    busy_timeout: float = 5.0,
    limits: Limits | None = None,
    failpoint: FailPoint = nowhere,
    monotonic: Callable[[], float] = time.monotonic,
) -> Database:
    """Open the database at a SQLAlchemy URL (`sqlite:////path/to/file`). Its schema must be there: see `migrate`.

    `busy_timeout` is in seconds. Raises UnsafeDatabase when it could lose what was acknowledged
    (synchronous=OFF, a network file system), sqlalchemy.exc.OperationalError when it cannot be opened.
    """
    path = database_path(url)
    refuse_network_file_system(path)
    checkpoints = Checkpoints(make_engine(url, "checkpoint", busy_timeout=0.0))
    writer = Writer(
        lambda: make_engine(url, "writer", busy_timeout=busy_timeout),
        limits=limits or Limits(),
        failpoint=failpoint,
        monotonic=monotonic,
        committed=checkpoints.wanted.set,
    )
    checkpoints.start(writer.gate)
    return Database(
        writer, make_engine(url, "reader", busy_timeout=busy_timeout, pool_size=readers), checkpoints, readers
    )
