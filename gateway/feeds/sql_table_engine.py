"""Connections to a database that is not ours: bounded in time, strict about what is lost, and with locks of our own.

No statement here alters anything: sessions are told their limits, and locks are the kind that only we know of.

Facts: https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS,
https://mariadb.com/kb/en/get_lock/, https://mariadb.com/kb/en/sql-mode/, https://www.sqlite.org/lang_transaction.html
"""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from gateway.feeds.contract import FeedError
from gateway.store.dialect import clean_text

CONNECT = 10
"""Seconds for a connection."""
LOCK = 5
"""Seconds that a write waits for somebody else's."""
_DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
}


class Busy(Exception):
    """Another push of the same ticket goes on."""


def parsed(url: str) -> URL:
    """The URL with our driver. Raises FeedError; nothing of it is quoted, it may hold a password."""
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):
        found = None
    backend = found.get_backend_name() if found is not None else ""
    if found is None or backend not in _DRIVERS or "@" in (found.host or ""):
        raise FeedError(
            "url: write postgresql://user:password@host/name, mysql://… or sqlite:////path/to/file; in a password "
            "%40 for @, %3A for : and %2F for /",
            again=False,
        )
    return found.set(drivername=_DRIVERS[backend])


def make_engine(url: str, *, size: int, seconds: float) -> Engine:
    """An engine for so many threads, whose statements end after `seconds`. Connects to nothing. Raises FeedError."""
    found = parsed(url)
    make = {"sqlite": _sqlite, "postgresql": _postgresql, "mysql": _mysql}[found.get_backend_name()]
    # Every transaction here is ended by us, so nothing has to be rolled back when a connection returns.
    common = {"pool_size": size, "max_overflow": 0, "pool_timeout": seconds, "hide_parameters": True,
              "pool_reset_on_return": None}  # fmt: skip
    try:
        return make(found, common, seconds)
    except ModuleNotFoundError as error:
        raise FeedError(f"{error.name} is not installed: pip install 'intake-gateway[mariadb]'", again=False) from None


class Lines:
    """The connections of an engine, to be cut when nobody may wait for them any longer."""

    def __init__(self, engine: Engine) -> None:
        """From now on."""
        self._open: set[Any] = set()
        # First of all: what SQLAlchemy asks on a new connection may hang as well.
        event.listen(engine, "connect", lambda raw, _: self._open.add(raw), insert=True)
        event.listen(engine, "close", lambda raw, _: self._open.discard(raw))

    def cut(self) -> None:
        """Whoever waits on one hears at once that it is gone. From any thread."""
        for raw in list(self._open):
            # One that has just ended is nobody's any more.
            with suppress(OSError, AttributeError, ValueError, sqlite3.Error):
                _cut(raw)


def _cut(raw: Any) -> None:
    if isinstance(raw, sqlite3.Connection):
        raw.interrupt()
    elif (libpq := getattr(raw, "pgconn", None)) is not None:
        with socket.socket(fileno=os.dup(libpq.socket)) as wire:
            wire.shutdown(socket.SHUT_RDWR)
    else:  # PyMySQL; under TLS the socket itself, and not what goes over it
        socket.socket.shutdown(raw._sock, socket.SHUT_RDWR)


def _sqlite(url: URL, common: Mapping[str, Any], seconds: float) -> Engine:
    path = url.database
    if not path or path == ":memory:":
        raise FeedError("url: name a file, as in sqlite:////path/to/file", again=False)
    # mode=rw: an absent file is an error and not an empty database.
    place = url.set(database=f"file:{quote(str(Path(path).absolute()))}", query={"mode": "rw", "uri": "true"})
    engine = create_engine(
        place, connect_args={"timeout": min(LOCK, seconds), "check_same_thread": False}, **common, poolclass=None
    )

    @event.listens_for(engine, "connect")
    def _by_hand(raw: Any, _record: object) -> None:
        raw.isolation_level = None  # transactions are begun below, not by the driver

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        conn.exec_driver_sql("BEGIN IMMEDIATE" if conn.get_execution_options().get("writing") else "BEGIN")

    return engine


def _postgresql(url: URL, common: Mapping[str, Any], seconds: float) -> Engine:
    limits = {"statement_timeout": seconds, "lock_timeout": LOCK, "idle_in_transaction_session_timeout": seconds}
    options = " ".join(f"-c {name}={int(value * 1000)}" for name, value in limits.items())
    connect = {"connect_timeout": CONNECT, "options": options, "keepalives_idle": 10, "keepalives_interval": 5,
               "keepalives_count": 3, "application_name": "gateway"}  # fmt: skip
    return create_engine(url, connect_args=connect, use_native_hstore=False, **common)


def _mysql(url: URL, common: Mapping[str, Any], seconds: float) -> Engine:
    whole = max(1, int(seconds))
    connect = {"connect_timeout": min(CONNECT, whole), "read_timeout": whole, "write_timeout": whole}
    query = {**url.query, "charset": "utf8mb4"}
    engine = create_engine(url.set(query=query), connect_args=connect, **common)

    @event.listens_for(engine, "connect")
    def _strict(raw: Any, _record: object) -> None:
        # In our session alone: without it a server cuts texts and replaces characters without an error.
        with raw.cursor() as cursor:
            cursor.execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')")
            cursor.execute(f"SET SESSION innodb_lock_wait_timeout = {LOCK}")

    return engine


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


@contextmanager
def _advisory(conn: Connection, name: str) -> Iterator[None]:
    with conn.begin():
        conn.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _number(name)})
        yield


@contextmanager
def _named(conn: Connection, name: str) -> Iterator[None]:
    lock = {"name": "gateway:" + hashlib.sha256(name.encode()).hexdigest()[:32], "seconds": LOCK}
    try:
        with conn.begin():
            # Asks no table, so what the transaction sees is what there is once the lock is ours.
            if conn.scalar(text("SELECT GET_LOCK(:name, :seconds)"), lock) != 1:
                raise Busy
            yield
    finally:
        if not conn.invalidated:  # a connection that is gone has let go of it
            conn.execute(text("SELECT RELEASE_LOCK(:name)"), lock)
            conn.rollback()


@contextmanager
def _unlocked(conn: Connection, _name: str) -> Iterator[None]:
    with conn.begin():
        yield


@contextmanager
def _whole_file(conn: Connection, _name: str) -> Iterator[None]:
    with conn.execution_options(writing=True).begin():
        yield


_LOCKS: Mapping[str, Callable[[Connection, str], Any]] = {
    "postgresql": _advisory, "mysql": _named, "sqlite": _whole_file,
}  # fmt: skip


@contextmanager
def writing(engine: Engine, name: str, *, locked: bool = True) -> Iterator[Connection]:
    """One transaction that no other push with this `name` runs beside, in any process; without `locked` the caller
    relies on unique keys. Raises Busy and the errors of SQLAlchemy."""
    with engine.connect() as conn:
        lock = _LOCKS[conn.dialect.name] if locked or conn.dialect.name == "sqlite" else _unlocked
        with lock(conn, name):
            yield conn


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that sees one state."""
    with engine.connect() as conn:
        level = {"sqlite": None, "postgresql": "REPEATABLE READ", "mysql": None}[conn.dialect.name]
        with (conn if level is None else conn.execution_options(isolation_level=level)).begin():
            yield conn


def clean(value: object) -> object:
    """Texts as every database takes them."""
    return clean_text(value) if isinstance(value, str) else value
