"""A real PostgreSQL for tests: unprivileged, in a temporary folder, fsync on, stopped by its process id."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from gateway.store.database import migrate
from tests.services.ports import free_port

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/usr/pgsql-*/bin")
TEMPLATE = "gateway_template"
PATIENCE = 90.0
"""Seconds that a server may take to begin or to end: its disk may be slow, the machine may stand still."""
LEFT_BEHIND = (
    "PERFORM pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


def programs() -> Path | None:
    """The folder of the newest server here, None when there is none."""
    found = [folder for place in PLACES for folder in Path("/").glob(place.lstrip("/")) if (folder / "initdb").exists()]
    return (
        max(found, key=lambda folder: [int(part) for part in folder.parent.name.split(".") if part.isdigit()])
        if (found)
        else None
    )


def require() -> Path:
    """The folder of the server; without one the test is skipped, and fails in CI."""
    found = programs()
    if found is None and os.environ.get("CI"):
        pytest.fail("postgresql must be installed in CI (make services)")
    if found is None:
        pytest.skip("needs postgresql (make services)")
    return found


def unprivileged() -> list[str]:
    """The server refuses to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "env", "HOME=/tmp"]


class PortTaken(RuntimeError):
    """Somebody else listens there."""


@dataclass(slots=True)
class Server:
    """A running server."""

    bin: Path
    folder: Path
    port: int
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    emptying: dict[str, str] = field(default_factory=dict)
    """Name of a database -> the statement that empties it."""

    def url(self, database: str = "postgres") -> str:
        """As the gateway's settings take it."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """One statement outside a transaction; its rows."""
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname=database, autocommit=True
        ) as conn:
            cursor = conn.execute(statement.encode())
            return list(cursor.fetchall()) if cursor.description else []

    def begin(self) -> None:
        """The first start; by another port when somebody has taken this one since it was free."""
        for left in (2, 1, 0):
            try:
                self.start()
                break
            except PortTaken:
                if not left:
                    raise
                self.port = free_port()

    def start(self) -> None:
        """Start the process and wait until it answers."""
        command = [*unprivileged(), str(self.bin / "postgres"), "-D", str(self.folder / "data"), "-h", "127.0.0.1"]
        command += ["-p", str(self.port), "-k", str(self.folder)]
        # When it tidies up, and what it then knows of a table, would hang on the tests before.
        for option in ("fsync=on", "autovacuum=off", "shared_buffers=32MB", "max_connections=60", *self.options):
            command += ["-c", option]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                [(folder,)] = self.run("SHOW data_directory")
                if folder == str(self.folder / "data"):
                    return
                self.process.wait(PATIENCE)  # it cannot listen there, and ends by itself
                raise PortTaken(f"port {self.port} is another server's: {folder}")
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > end:
                    said = (self.folder / "log").read_text()
                    raise (PortTaken if "Address already in use" in said else RuntimeError)(said) from None
                time.sleep(0.05)  # the server tells nobody when it is ready

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: a fast shutdown; SIGQUIT: as if it crashed."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE)
            self.process = None

    def fresh(self, template: str = "template0") -> str:
        """The name of a new database."""
        name = f"t{next(self.numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def empty(self, name: str) -> None:
        """Make a database as it was before its first test: far quicker than another one."""
        if name not in self.emptying:
            tables = [row[0] for row in self.run("SELECT relname FROM pg_stat_user_tables", name)]
            deletes = " ".join(f'DELETE FROM "{table}";' for table in tables if table != "alembic_version")
            sequences = self.run("SELECT quote_ident(sequencename) FROM pg_sequences", name)
            restarts = " ".join(f"ALTER SEQUENCE {row[0]} RESTART;" for row in sequences)
            quick = "SET LOCAL session_replication_role = replica;"
            # Somebody who was left behind in a transaction must not stop the next test.
            self.emptying[name] = f"DO $$ BEGIN {LEFT_BEHIND}; {quick} {deletes} {restarts} END $$"
        self.run(self.emptying[name], name)


@contextmanager
def running(*options: str) -> Iterator[Server]:
    """A server of one's own, with further settings."""
    bin_folder = require()
    folder = Path(tempfile.mkdtemp(prefix="gateway-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody", "nogroup")
        initdb = [*unprivileged(), str(bin_folder / "initdb"), "-D", str(folder / "data"), "-U", "postgres"]
        initdb += ["-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder)
        server = Server(bin=bin_folder, folder=folder, port=free_port(), options=options)
        try:
            server.begin()
            yield server
        finally:
            server.stop(signal.SIGQUIT)  # nobody wants its files any more: no last checkpoint
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def with_template() -> Iterator[Server]:
    """A server with an empty migrated database to be copied."""
    with running() as server:
        server.run(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
        migrate(server.url(TEMPLATE), backup_to=server.folder)
        yield server
