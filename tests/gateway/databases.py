"""Plain engines for both kinds of database, where a test works without the writer's threads."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from gateway.store import postgres, sqlite
from gateway.store.blobs import Blobs
from gateway.store.failpoints import FailPoint, nowhere
from gateway.store.postgres_url import is_postgres_url
from gateway.store.shared_blobs import SharedBlobs


def writer_engine(url: str) -> Engine:
    """An engine for one connection, set up as the writer's."""
    if is_postgres_url(url):
        return postgres.make_engine(url, "writer")
    return sqlite.make_engine(url, "writer", busy_timeout=1.0)


def migration_engine(url: str) -> Engine:
    """An engine for one connection, set up as that of `migrate`."""
    if is_postgres_url(url):
        return postgres.make_engine(url, "migration")
    return sqlite.make_engine(url, "checkpoint", busy_timeout=1.0)


def blobs_of(url: str, folder: Path, failpoint: FailPoint = nowhere) -> Blobs:
    """Where a server at this database keeps big bodies."""
    if is_postgres_url(url):
        return SharedBlobs(folder, url, failpoint=failpoint)
    return Blobs(folder, failpoint=failpoint)
