"""Bring a database to the schema of this program, by Alembic, without an alembic.ini.

Alembic is loaded only when there is something to change: it and its scripts take 8 MB of a server that runs for months.
An empty database is made from `schema.metadata`, which a test keeps equal to what all scripts together make.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text
from sqlalchemy.schema import CreateIndex, CreateTable

from gateway.store.postgres_url import is_postgres_url
from gateway.store.sqlite import database_path, make_engine

if TYPE_CHECKING:
    from alembic.config import Config

LOCK_KEY = 0x67617465
"""Of the advisory lock under which the schema is changed."""
VERSION_TABLE = (
    "CREATE TABLE alembic_version (\n\tversion_num VARCHAR(32) NOT NULL, \n\t"
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)\n)"
)
"""As Alembic makes it (alembic.runtime.migration.MigrationContext)."""
SCRIPTS = Path(__file__).parent / "migrations"


class SchemaTooNew(Exception):
    """The database was written by a newer program; this one would not understand it."""


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    # Config interpolates: a per cent sign in a path must be doubled.
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    return config


def known_versions() -> list[str]:
    """The schema versions that this program knows, the oldest first: `versions/v<version>_<what>.py`."""
    return sorted(path.name[1:].partition("_")[0] for path in (SCRIPTS / "versions").glob("v*_*.py"))


def newest() -> str:
    """The schema version of this program."""
    return known_versions()[-1]


def migrate(url: str, *, backup_to: Path) -> str:
    """Make or upgrade the schema. Returns the version found before ("" for a fresh database).

    An older SQLite database is first copied to `<backup_to>/gateway-<version>.db`; of PostgreSQL the
    operator makes a dump. Each revision is one transaction; nodes that start together take turns.
    Raises SchemaTooNew when the database is newer than the program.
    """
    if is_postgres_url(url):
        return _migrate_postgres(url)
    path = database_path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)  # people's mail; SQLite gives its other files the mode of this one
    engine = make_engine(url, "checkpoint", busy_timeout=30.0)
    try:
        with engine.connect() as conn:
            found = version_of(conn)
            if found and found != newest():
                back_up(path, backup_to / f"gateway-{found}.db")
            _upgrade(conn, found)
            return found
    finally:
        engine.dispose()


def _migrate_postgres(url: str) -> str:
    from gateway.store import postgres  # loads the driver

    engine = postgres.make_engine(url, "migration")
    try:
        # The lock is held by a connection of its own, whose session ends with us however we end.
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as guard:
            guard.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
            other = postgres.make_engine(url, "migration")
            try:
                with other.connect() as conn:
                    found = version_of(conn)
                    _upgrade(conn, found)
                    return found
            finally:
                other.dispose()
    finally:
        engine.dispose()


def version_of(conn: Connection) -> str:
    """The schema version of a database, "" for a fresh one. Raises SchemaTooNew."""
    found = ""
    if inspect(conn).has_table("alembic_version"):
        found = conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none() or ""
    conn.rollback()
    if found and found not in known_versions():
        raise SchemaTooNew(
            f"the database has schema {found}, this program knows schemas up to {newest()}: "
            "start the newer program, or restore a backup"
        )
    return found


def _upgrade(conn: Connection, found: str) -> None:
    if found == newest():
        return
    tables = inspect(conn).get_table_names()
    conn.rollback()
    if not tables:
        _make(conn)
        return
    from alembic import command

    config = _config()
    config.attributes["connection"] = conn
    command.upgrade(config, "head")


def _make(conn: Connection) -> None:
    """All of an empty database at once, in one transaction; what the scripts would make, without loading them.

    Whoever is stopped in the midst of it finds an empty database again: both kinds take back a CREATE TABLE.
    """
    from gateway.store.schema import metadata

    with conn.begin():
        for table in metadata.sorted_tables:
            conn.execute(CreateTable(table))
            # In an order, which `create_all` has not: of two that cost the same PostgreSQL takes the older one.
            for index in sorted(table.indexes, key=lambda each: str(each.name)):
                conn.execute(CreateIndex(index))
        conn.execute(text(VERSION_TABLE))
        conn.execute(text("INSERT INTO alembic_version VALUES (:version)"), {"version": newest()})


def back_up(source: Path, target: Path) -> None:
    """A consistent copy of a SQLite database that may be in use; it is there completely or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".part")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    reader, writer = sqlite3.connect(source), sqlite3.connect(temporary)
    try:
        reader.backup(writer)
    finally:
        reader.close()
        writer.close()
    for path in (temporary, target.parent):
        if path == target.parent:
            temporary.replace(target)
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
