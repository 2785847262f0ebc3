"""Where a backup comes from: SQLite and a folder of blobs, or PostgreSQL. The backup itself is the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from gateway.store import schema
from gateway.store.copying import CannotCopy, copy_out
from gateway.store.looking import blobs_of, reading_engine
from gateway.store.migrate import back_up
from gateway.store.postgres_url import is_postgres_url
from gateway.store.sqlite import database_path


class BackupError(Exception):
    """The backup was not made or is not good; the text says what to do."""


class Source(Protocol):
    """A live desk."""

    def snapshot(self, copy: Path) -> None:
        """Write the database as of one moment to the new SQLite file `copy`. Raises BackupError, OSError."""
        ...

    def blob(self, name: str) -> Path:
        """The file of a blob; it may be that there is none. Raises OSError."""
        ...

    def named(self) -> frozenset[str]:
        """Blobs that the live database names now. Raises BackupError."""
        ...


def named(conn: sqlite3.Connection) -> Iterator[str]:
    """Every blob that a SQLite database names."""
    query = "SELECT blob FROM entry WHERE blob IS NOT NULL UNION SELECT blob FROM attachment WHERE blob IS NOT NULL"
    for (name,) in conn.execute(query):
        yield str(name)


class SqliteSource:
    """The database by SQLite's online backup: the server may write meanwhile."""

    def __init__(self, database: Path, blobs: Path) -> None:
        self._database, self._blobs = database, blobs

    def snapshot(self, copy: Path) -> None:
        """Page by page; begun again by SQLite where the server changes one."""
        if not self._database.is_file():
            raise BackupError(f"there is no database {self._database}; say where the data is: --var DIR")
        back_up(self._database, copy)

    def blob(self, name: str) -> Path:
        """In the folder."""
        return self._blobs / name[:2] / name

    def named(self) -> frozenset[str]:
        """By the live file."""
        with closing(sqlite3.connect(self._database)) as conn:
            return frozenset(named(conn))


class PostgresSource:
    """The tables, read in one transaction, as a SQLite file: `gateway db copy` brings it back to PostgreSQL."""

    def __init__(self, url: str, blobs: Path) -> None:
        """`blobs` is the node's own folder: what it has need not be fetched."""
        self._url = url
        self._blobs = blobs_of(url, blobs)

    def snapshot(self, copy: Path) -> None:
        """Row by row, as of one moment."""
        try:
            copy_out(self._url, copy)
        except CannotCopy as error:
            raise BackupError(str(error)) from error
        except SQLAlchemyError as error:
            raise BackupError(f"the database could not be read: {error}") from error

    def blob(self, name: str) -> Path:
        """Fetched when this machine does not have it."""
        return self._blobs.local(name)

    def named(self) -> frozenset[str]:
        """By the live database."""
        engine = reading_engine(self._url)
        columns = (schema.entry.c.blob, schema.attachment.c.blob)
        try:
            with engine.connect() as conn:
                found = [set(conn.scalars(select(column).where(column.is_not(None)))) for column in columns]
        except SQLAlchemyError as error:
            raise BackupError(f"the database could not be read: {error}") from error
        finally:
            engine.dispose()
        return frozenset().union(*found)


def source_of(url: str, blobs: Path) -> Source:
    """The live desk at a database URL. Raises UnsafeDatabase, OSError."""
    if is_postgres_url(url):
        return PostgresSource(url, blobs)
    return SqliteSource(database_path(url), blobs)
