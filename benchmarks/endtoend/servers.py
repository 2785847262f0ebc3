"""The two servers that are compared, each a process of its own: `gateway serve`, and a bare stock aiosmtpd sink."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

START_SECONDS = 60.0
POLL = 0.01
ROOT = Path(__file__).parent.parent.parent
SETTINGS = (
    "smtp.port=0", "http.port=0",
    # Brakes on automatic mail: here every ticket shall be answered, and thousands come in a minute.
    "caps.per_account_minute=100000000", "caps.per_address_minute=100000000", "caps.per_address_day=100000000",
)  # fmt: skip
HOLD_BACK = ("outbox.acknowledgement_delay=1h",)
"""Acknowledgements are queued and not yet sent: the figures are those of the way in."""


class Server:
    """A running server process."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._log = log.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=self._log, cwd=ROOT, text=True
        )
        self.pid = self._process.pid
        self.port = 0

    def line(self) -> str:
        """The next line that it prints. Raises RuntimeError when it ended instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a server did not start, see {self._log.name}")
        return line

    def stop(self) -> None:
        """End it and wait."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()


class Sink(Server):
    """Stock aiosmtpd that answers 250 and drops."""

    def __init__(self, folder: Path) -> None:
        super().__init__([str(Path(__file__))], folder / "sink.log")
        self.port = int(self.line())


class Gateway(Server):
    """`gateway serve` on a folder of its own. `profile` is a file for the profile of its threads."""

    def __init__(self, folder: Path, settings: Sequence[str] = (), profile: Path | None = None) -> None:
        began = time.perf_counter()
        self.var = folder / "var"
        launch = ["-m", "gateway"] if profile is None else [str(Path(__file__).parent / "profiled.py"), str(profile)]
        options = [word for setting in (*SETTINGS, *settings) for word in ("--set", setting)]
        super().__init__(
            [*launch, "serve", "--config", str(ROOT / "config"), "--var", str(self.var), *options],
            folder / "gateway.log",
        )
        self.line()
        self.start_seconds = time.perf_counter() - began
        listening = json.loads((self.var / "listening.json").read_text())
        self.port = int(listening["smtp"].rpartition(":")[2])
        self._db = sqlite3.connect(f"file:{self.var / 'gateway.db'}?mode=ro", uri=True, isolation_level=None)

    def newest(self) -> tuple[int, int]:
        """The newest rows of the journal and of the outbox."""
        entry, notice = self._db.execute(
            "SELECT (SELECT coalesce(max(id), 0) FROM entry), (SELECT coalesce(max(id), 0) FROM outbox)"
        ).fetchone()
        return entry, notice

    def wait_filed(self, limit: float = 120.0) -> None:
        """Until every accepted mail is filed. Raises TimeoutError."""
        self._until("SELECT NOT EXISTS (SELECT 1 FROM entry WHERE state = 'pending')", limit)

    def wait_sent(self, limit: float = 120.0) -> None:
        """Until every notice that is due has gone out. Raises TimeoutError."""
        self._until("SELECT NOT EXISTS (SELECT 1 FROM outbox WHERE state IN ('waiting', 'sending'))", limit)

    def acknowledged(self, after: int) -> int:
        """Acknowledgements queued behind this row of the outbox."""
        counted = "SELECT count(*) FROM outbox WHERE id > ? AND kind = 'acknowledgement'"
        return int(self._db.execute(counted, (after,)).fetchone()[0])

    def _until(self, question: str, limit: float) -> None:
        ends = time.perf_counter() + limit
        while not self._db.execute(question).fetchone()[0]:
            if time.perf_counter() > ends:
                raise TimeoutError(question)
            time.sleep(POLL)

    def stop(self) -> None:
        """End it and wait."""
        self._db.close()
        super().stop()


class _Drop:
    async def handle_DATA(self, *_: Any) -> str:
        return "250 OK"


async def _sink() -> None:
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    drop = _Drop()
    server = await loop.create_server(lambda: SMTP(drop, loop=loop), "127.0.0.1", 0, backlog=500)
    print(server.sockets[0].getsockname()[1], flush=True)
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(_sink())
