"""PostgreSQL as we run it: every COMMIT on disk, nothing held for ever by a node that hangs.

Facts are from https://www.postgresql.org/docs/current/runtime-config-wal.html and
https://www.postgresql.org/docs/current/runtime-config-client.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.types.string import StrDumperUnknown
from sqlalchemy import Connection, Engine, create_engine, event, text

from gateway.store.dialect import WAKE, UnsafeDatabase, clean_text, upsert
from gateway.store.postgres_url import driver_url
from gateway.store.schema import EPOCH, lease

Role: TypeAlias = Literal["writer", "reader", "migration"]

CHANNEL = "gateway_wake"
"""Of LISTEN and NOTIFY; the payload is the topic."""
OLDEST = 130_000
"""The oldest server that is supported, as in `server_version_num`."""
TIMEOUTS = ("lock_timeout", "idle_in_transaction_session_timeout", "statement_timeout")
LOCK_TIMEOUT, IDLE_TIMEOUT, STATEMENT_TIMEOUT = 5_000, 10_000, 60_000
"""Milliseconds. A node that is stopped inside a transaction is cut off after IDLE_TIMEOUT: its locks must not stop
the others."""
SAFE = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "local", "remote_write", "remote_apply"),
    "server_encoding": ("UTF8",),
}
"""What the server must say of itself."""
_CONNECT = {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""Seconds; a far side that is gone is noticed in half a minute."""


class _CleanText(StrDumperUnknown):
    """See `clean_text`."""

    def dump(self, obj: str) -> bytes | bytearray | memoryview | None:
        """The text as bytes of UTF-8."""
        return super().dump(clean_text(obj))


def make_engine(url: str, role: Role, *, pool_size: int = 1, lock_timeout: int = LOCK_TIMEOUT) -> Engine:
    """An engine whose connections are checked when they are made. `lock_timeout` is in milliseconds."""
    engine = create_engine(
        driver_url(url),
        pool_size=pool_size,
        max_overflow=0,
        isolation_level="REPEATABLE READ" if role == "reader" else "READ COMMITTED",
        connect_args=_CONNECT,
        hide_parameters=True,  # people's words and sealed tokens; an error's text reaches terminals and logs
        use_native_hstore=False,  # one question less for each engine
    )
    event.listen(engine, "connect", lambda raw, _record: _prepare(raw, role, lock_timeout))
    return engine


def _prepare(raw: psycopg.Connection[Any], role: Role, lock_timeout: int) -> None:
    raw.adapters.register_dumper(str, _CleanText)
    limits = (0, 0, 0) if role == "migration" else (lock_timeout, IDLE_TIMEOUT, STATEMENT_TIMEOUT)
    check(raw, dict(zip(TIMEOUTS, limits, strict=True)))
    raw.commit()
    if role == "reader":
        raw.read_only = True


def check(raw: psycopg.Connection[Any], timeouts: Mapping[str, int]) -> None:
    """Set the timeouts, in milliseconds, and look at what matters, in one question.

    Raises UnsafeDatabase when this server could lose what it has committed, or is too old.
    """
    if raw.info.server_version < OLDEST:
        raise UnsafeDatabase(f"PostgreSQL {OLDEST // 10_000} or newer is needed, this is {raw.info.server_version}")
    asked = [sql.SQL("current_setting({})").format(name) for name in SAFE]
    given = [sql.SQL("set_config({}, {}, false)").format(name, str(value)) for name, value in timeouts.items()]
    row = raw.execute(sql.SQL("SELECT {}").format(sql.SQL(", ").join([*asked, *given]))).fetchone() or ()
    found = dict(zip(SAFE, row, strict=False))
    for name, safe in SAFE.items():
        if found.get(name) not in safe:
            raise UnsafeDatabase(
                f"PostgreSQL says {name}={found.get(name)}: acknowledged messages could be lost or not be kept; "
                f"it must be {' or '.join(safe)}"
            )


def driver_connection(conn: Connection) -> psycopg.Connection[Any]:
    """The psycopg connection below."""
    raw = conn.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw


class PostgresBackend:
    """What a writer thread needs to know of PostgreSQL."""

    def __init__(self, url: str, lock_timeout: float) -> None:
        """`lock_timeout` is in seconds."""
        self._url, self._lock_timeout = url, int(lock_timeout * 1000)

    def connect(self) -> Engine:
        """An engine for one connection. Raises UnsafeDatabase, OperationalError."""
        return make_engine(self._url, "writer", lock_timeout=self._lock_timeout)

    def in_transaction(self, conn: Connection) -> bool:
        """False after a failed statement that the job kept to itself: COMMIT would then roll back without a word."""
        # IDLE: no statement yet, so there is nothing that could be lost.
        return self._status(conn) in (TransactionStatus.INTRANS, TransactionStatus.IDLE)

    def rolled_back(self, conn: Connection) -> bool:
        """Is the connection alive and outside a transaction?"""
        conn.info.pop(WAKE, None)
        return self._status(conn) is TransactionStatus.IDLE

    def _status(self, conn: Connection) -> TransactionStatus:
        if conn.invalidated or conn.closed:
            return TransactionStatus.UNKNOWN
        return driver_connection(conn).info.transaction_status

    def before_commit(self, conn: Connection) -> None:
        """Tell the other nodes what there is to do; they hear of it when this is committed."""
        for topic in sorted(conn.info.pop(WAKE, ())):
            conn.execute(text("SELECT pg_notify(:channel, :topic)"), {"channel": CHANNEL, "topic": topic})

    def probe(self, conn: Connection) -> None:
        """One row, so that there is something to flush."""
        upsert(conn, lease, {"name": "probe", "owner": "", "until": EPOCH}, keys=("name",))
