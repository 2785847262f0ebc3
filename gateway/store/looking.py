"""For commands that only read, with the server running or not: an engine and the blobs of either kind of database."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from gateway.store import sqlite
from gateway.store.blobs import Blobs
from gateway.store.postgres_url import is_postgres_url
from gateway.store.shared_blobs import SharedBlobs


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
    """The blobs that belong to the database; `folder` holds them, or is where fetched ones are kept. Raises OSError."""
    if is_postgres_url(url):
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return SharedBlobs(folder, url)
    return Blobs(folder)
