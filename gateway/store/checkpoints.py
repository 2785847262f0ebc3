"""The thread that copies the WAL back into the database file, so that no COMMIT has to.

A passive checkpoint keeps nobody out, but beside a busy writer it never reaches the end and the WAL
only grows; then one short one runs with the writer held back, after which the WAL starts again.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

INTERVAL = 0.5
"""Seconds between checkpoints while there are commits."""
LONG_WAL = 1000
"""Pages (4 KB) above which the writer is held back once: then the WAL is written over, cheaper than growing."""


class Gate:
    """Lets the writer pass unless a checkpoint has closed it; a busy writer cannot keep it open for ever."""

    def __init__(self) -> None:
        self._turnstile = threading.Lock()
        self._inside = threading.Lock()

    @contextmanager
    def passed(self) -> Iterator[None]:
        """The writer's transaction."""
        with self._turnstile:
            self._inside.acquire()
        try:
            yield
        finally:
            self._inside.release()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Wait for the end of a transaction and keep the next one out."""
        with self._turnstile, self._inside:
            yield


class Checkpoints:
    """Runs from `start` to `stop`."""

    def __init__(self, engine: Engine, *, interval: float = INTERVAL, long_wal: int = LONG_WAL) -> None:
        self._engine = engine
        self._interval = interval
        self._long_wal = long_wal
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.wanted = threading.Event()
        """Set after each COMMIT."""
        self.failures = 0

    def start(self, gate: Gate) -> None:
        """Begin; `gate` is the writer's."""
        self._thread = threading.Thread(target=self._run, args=(gate,), name="db-checkpoint", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Make a last checkpoint and end. Blocks."""
        self._stopping.set()
        self.wanted.set()
        if self._thread is not None:
            self._thread.join()
        self._engine.dispose()

    def _run(self, gate: Gate) -> None:
        while not self._stopping.is_set():
            self.wanted.wait()
            self._stopping.wait(self._interval)
            self.wanted.clear()
            try:
                if self._checkpoint("PASSIVE") > self._long_wal:
                    self._checkpoint("PASSIVE")  # what came meanwhile, so that the writer waits for little
                    with gate.closed():
                        self._checkpoint("RESTART")
            except (DBAPIError, sqlite3.Error):
                # A full or broken disk: the WAL stays as it is, the next round tries again.
                self.failures += 1

    def _checkpoint(self, mode: str) -> int:
        """Run one. Returns the pages in the WAL."""
        with self._engine.connect() as conn:
            raw = conn.connection.driver_connection
            assert raw is not None
            _busy, pages, _copied = raw.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return int(pages)
