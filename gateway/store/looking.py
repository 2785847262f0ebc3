"""For commands that only read, with the server running or not: an engine and the blobs of either kind of database."""

from __future__ import annotations

import shutil
import weakref
from collections import deque
from pathlib import Path
from tempfile import mkdtemp

from sqlalchemy import Engine

from gateway.store import sqlite
from gateway.store.blobs import Blobs
from gateway.store.postgres_url import is_postgres_url
from gateway.store.shared_blobs import SharedBlobs

FETCHED_MOST = 64
"""Fetched blobs that a reading command keeps at a time: more than it loads at once."""


def reading_engine(url: str, *, busy_timeout: float = 30.0) -> Engine:
    """An engine whose connections only read, each transaction from one moment.

    Raises UnsafeDatabase, and FileNotFoundError where there is no SQLite file.
    """
    if is_postgres_url(url):
        from gateway.store import postgres  # loads the driver

        return postgres.make_engine(url, "reader")
    path = sqlite.database_path(url)
    if not path.is_file():
        raise FileNotFoundError(2, f"there is no database {path}; say where the data is: --var DIR", str(path))
    return sqlite.make_engine(url, "reader", busy_timeout=busy_timeout)


def blobs_of(url: str, folder: Path) -> Blobs:
    """The blobs that belong to the database, for reading; `folder` has them, or some of them. Raises OSError."""
    return _Borrowed(folder, url) if is_postgres_url(url) else Blobs(folder)


class _Borrowed(SharedBlobs):
    """A node's blobs as another process reads them, which may be another user's: nothing is left in the node's folder.

    What the node does not have is fetched to a folder of our own, where the last `FETCHED_MOST` are kept.
    """

    def __init__(self, theirs: Path, url: str) -> None:
        own = Path(mkdtemp(prefix="gateway-"))
        weakref.finalize(self, shutil.rmtree, own, ignore_errors=True)
        self._theirs = theirs
        self._fetched: deque[Path] = deque()
        super().__init__(own / "blobs", url)

    def local(self, name: str) -> Path:
        """As the node itself finds it. Raises OSError."""
        there = self._theirs / name[:2] / name
        if there.is_file():
            return there
        found = super().local(name)
        if found not in self._fetched:
            self._fetched.append(found)
        while len(self._fetched) > FETCHED_MOST:
            self._fetched.popleft().unlink(missing_ok=True)
        return found
