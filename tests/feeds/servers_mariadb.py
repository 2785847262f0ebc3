"""A real MariaDB for tests: unprivileged, in a temporary folder, on a free port, stopped by its process id.

Made with `mariadbd --bootstrap`, so that the package mariadb-server-core is enough.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pymysql

from tests.postgres import unprivileged
from tests.services.ports import free_port

PATIENCE = 180.0
"""Seconds for anything it does: on a slow disk it takes its time."""
SHARE = Path("/usr/share/mysql")
FIRST = """create database mysql;
use mysql;
SET @auth_root_socket=NULL;
SET @skip_auth_anonymous=1;
SET @current_hostname='localhost';
"""
SCRIPTS = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")


@dataclass(slots=True)
class MariaServer:
    """A running server; `root` has no password."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def url(self, database: str, user: str = "root", password: str = "") -> str:
        """As settings take it."""
        return f"mysql://{user}{':' + password if password else ''}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str | None = None, user: str = "root", password: str = "") -> Any:
        """A connection that commits each statement."""
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user=user, password=password, database=database, autocommit=True,
            charset="utf8mb4", connect_timeout=60, read_timeout=PATIENCE,
        )  # fmt: skip

    def run(
        self, statements: str | Sequence[str], database: str | None = None, args: Any = None
    ) -> list[tuple[Any, ...]]:
        """The rows of the last statement."""
        conn = self.connect(database)
        try:
            with conn.cursor() as cursor:
                for each in [statements] if isinstance(statements, str) else statements:
                    cursor.execute(each, args)
                return list(cursor.fetchall())
        finally:
            conn.close()

    def fresh(self) -> str:
        """The name of a new database."""
        name = f"t{next(self.numbers)}"
        self.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return name

    def start(self) -> None:
        """Start the process and wait until it answers."""
        command = [*unprivileged(), *_server(self.folder), f"--port={self.port}", f"--socket={self.folder / 'socket'}"]
        command += [f"--pid-file={self.folder / 'pid'}", "--bind-address=127.0.0.1", "--skip-name-resolve"]
        command += ["--performance-schema=OFF", "--max-connections=60"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.connect().close()
                return
            except pymysql.err.OperationalError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.05)  # the server tells nobody when it is ready

    def kill(self) -> None:
        """As if the machine lost its power."""
        self.stop(signal.SIGKILL)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """SIGKILL: as if it crashed."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE)
            self.process = None


def _server(folder: Path) -> list[str]:
    return [
        "mariadbd", "--no-defaults", "--basedir=/usr", f"--datadir={folder / 'data'}", f"--lc-messages-dir={SHARE}",
        "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M", "--skip-log-bin", f"--tmpdir={folder}",
    ]  # fmt: skip


@contextmanager
def running() -> Iterator[MariaServer]:
    """A server of one's own."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-maria-"))
    try:
        (folder / "data").mkdir()
        if os.geteuid() == 0:
            for each in (folder, folder / "data"):
                shutil.chown(each, "nobody", "nogroup")
        statements = FIRST + "".join((SHARE / each).read_text() for each in SCRIPTS)
        command = [*unprivileged(), *_server(folder), "--bootstrap", "--innodb-flush-method=nosync"]
        subprocess.run(
            command, input=statements.encode(), check=True, capture_output=True, cwd=folder, timeout=PATIENCE
        )
        server = MariaServer(folder=folder, port=free_port())
        try:
            server.start()
            yield server
        finally:
            server.stop(signal.SIGKILL)  # nobody wants its files any more
    finally:
        shutil.rmtree(folder, ignore_errors=True)
