"""SQLite as we run it: WAL, every COMMIT on disk, transactions begun by us and never by the driver.

Facts of SQLite are from https://www.sqlite.org/wal.html and https://www.sqlite.org/pragma.html
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url

from gateway.store.dialect import UnsafeDatabase
from gateway.store.prepared import TransactionLost, json_text

Role: TypeAlias = Literal["writer", "reader", "checkpoint"]

NETWORK_FILE_SYSTEMS = frozenset(
    (
        *(
            "9p",
            "afs",
            "beegfs",
            "ceph",
            "cifs",
            "coda",
            "davfs",
            "gfs2",
            "glusterfs",
            "gpfs",
            "lustre",
            "ncpfs",
            "nfs",
        ),
        *("nfs4", "ocfs2", "pvfs2", "smb3", "smbfs", "fuse.ceph", "fuse.davfs", "fuse.glusterfs", "fuse.gvfsd-fuse"),
        *("fuse.rclone", "fuse.s3fs", "fuse.smbnetfs", "fuse.sshfs"),
    )
)
"""Types in /proc/self/mountinfo where the shared memory of a WAL does not work or fsync promises nothing."""
SAFE_SYNCHRONOUS = {"FULL": 2, "EXTRA": 3}
MOUNTS = Path("/proc/self/mountinfo")


def database_path(url: str) -> Path:
    """The file of a SQLite URL. Raises UnsafeDatabase for a database in memory or another kind of URL."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        raise UnsafeDatabase(f"database.url: a SQLite URL is needed here, not {parsed.get_backend_name()}")
    if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:"):
        raise UnsafeDatabase("database.url: name a file, as in sqlite:////var/lib/gateway/gateway.db")
    return Path(parsed.database)


def synchronous_of(url: str) -> str:
    """The `synchronous` of the URL's query, FULL without one. Raises UnsafeDatabase for OFF and NORMAL."""
    value = str(make_url(url).query.get("synchronous", "FULL")).upper()
    if value not in SAFE_SYNCHRONOUS:
        raise UnsafeDatabase(f"database.url: synchronous={value} loses acknowledged messages; leave it out or say FULL")
    return value


def file_system_of(path: Path, mounts: str) -> str:
    """Type of the file system that `path` is on, "" when unknown. `mounts` is the text of /proc/self/mountinfo."""
    best, kind = -1, ""
    resolved = path.resolve()
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:
            continue
        point = Path(fields[4].replace("\\040", " "))
        if resolved.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), right.split(" ")[0]
    return kind


def refuse_network_file_system(path: Path, mounts: str | None = None) -> None:
    """Raise UnsafeDatabase when the folder of the database is on a network file system."""
    if mounts is None:
        mounts = MOUNTS.read_text() if MOUNTS.exists() else ""
    kind = file_system_of(path.parent, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        raise UnsafeDatabase(
            f"{path.parent} is on a network file system ({kind}), where a SQLite WAL file is not safe: "
            "put the database on a local disk"
        )


def make_engine(url: str, role: Role, *, busy_timeout: float, pool_size: int = 1) -> Engine:
    """An engine whose transactions we begin: the writer's with BEGIN IMMEDIATE. `busy_timeout` is in seconds."""
    synchronous = synchronous_of(url)
    engine = create_engine(
        URL.create("sqlite", database=str(database_path(url))),
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,  # as for PostgreSQL
        json_serializer=json_text,
        connect_args={"isolation_level": None, "check_same_thread": False, "timeout": busy_timeout},
    )
    event.listen(engine, "connect", lambda raw, _record: _prepare(raw, role, synchronous))
    if role == "writer":
        event.listen(engine, "begin", lambda conn: _begin(conn, "BEGIN IMMEDIATE"))
        event.listen(engine, "before_cursor_execute", _refuse_outside_transaction)
    else:
        event.listen(engine, "begin", lambda conn: _begin(conn, "BEGIN"))
    return engine


def driver_connection(conn: Connection) -> sqlite3.Connection:
    """The sqlite3 connection below."""
    raw = conn.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def _prepare(raw: sqlite3.Connection, role: Role, synchronous: str) -> None:
    mode = raw.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise UnsafeDatabase(f"SQLite cannot use a WAL file here (journal_mode is {mode})")
    raw.execute(f"PRAGMA synchronous={synchronous}")
    if raw.execute("PRAGMA synchronous").fetchone()[0] < SAFE_SYNCHRONOUS["FULL"]:
        raise UnsafeDatabase("SQLite does not honour synchronous=FULL here")
    raw.execute("PRAGMA foreign_keys=ON")
    raw.execute("PRAGMA wal_autocheckpoint=0")  # a thread of its own does that
    raw.execute("PRAGMA temp_store=MEMORY")
    if role == "reader":
        raw.execute("PRAGMA query_only=ON")


def _begin(conn: Connection, statement: str) -> None:
    driver_connection(conn).execute(statement)


def _refuse_outside_transaction(conn: Connection, *_: Any) -> None:
    """SQLITE_FULL and some I/O errors roll back silently; what a job does after that must not commit alone."""
    if not driver_connection(conn).in_transaction:
        raise TransactionLost("the database rolled the transaction back")


class SQLiteBackend:
    """What the writer thread needs to know of SQLite."""

    def __init__(self, url: str, busy_timeout: float) -> None:
        """`busy_timeout` is in seconds."""
        self._url, self._busy_timeout = url, busy_timeout

    def connect(self) -> Engine:
        """An engine for one connection. Raises UnsafeDatabase, OperationalError."""
        return make_engine(self._url, "writer", busy_timeout=self._busy_timeout)

    def in_transaction(self, conn: Connection) -> bool:
        """False when SQLite rolled back by itself (SQLITE_FULL and some I/O errors)."""
        return bool(driver_connection(conn).in_transaction)

    def rolled_back(self, conn: Connection) -> bool:
        """Is no transaction open?"""
        return not driver_connection(conn).in_transaction

    def before_commit(self, conn: Connection) -> None:
        """Nothing is to be said to other nodes: there are none."""

    def probe(self, conn: Connection) -> None:
        """user_version is ours to use, stands in page 1 and takes part in the transaction."""
        version = int(conn.exec_driver_sql("PRAGMA user_version").scalar_one())
        conn.exec_driver_sql(f"PRAGMA user_version={(version + 1) % 1_000_000}")
