"""The real gateway as a process of its own, and its commands, for tests of what operators do."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

from tests import ready

ROOT = Path(__file__).parents[3]
PATIENCE = 90.0
"""Seconds: a machine may stand still in between, and its disk may take its time."""
T = TypeVar("T")


def wait_for(what: str, look: Callable[[], T | None], shown: Callable[[], object] | None = None) -> T:
    """Look again and again until there is something. `shown`: what a failure says was there instead."""
    ends = time.monotonic() + PATIENCE
    while (found := look()) is None:
        if time.monotonic() > ends:
            instead = "" if shown is None else f"; there is {shown()}"
            raise AssertionError(f"{what} did not happen within {PATIENCE:.0f} s{instead}")
        time.sleep(0.05)
    return found


def gateway(
    *words: str, var: Path, config: Path | None = None, code: int | None = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command as a terminal would; `code` is the exit code it must have (None: any)."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    done = ready.run(
        "-m", "gateway", *words, "--var", str(var), *(["--config", str(config)] if config is not None else []),
        env=given | {"COLUMNS": "200"} | environment, capture=True, timeout=2 * PATIENCE,
    )  # fmt: skip
    assert code is None or done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    return done


def told(*words: str, var: Path, config: Path | None = None) -> Any:
    """The JSON that a command prints."""
    return json.loads(gateway(*words, "--json", var=var, config=config).stdout)


@dataclass
class Desk:
    """A running gateway."""

    process: ready.Program
    var: Path

    def listening(self) -> dict[str, str]:
        """Name -> "host:port"."""
        found: dict[str, str] = json.loads((self.var / "listening.json").read_text(encoding="utf-8"))
        return found

    def address(self, name: str = "smtp") -> tuple[str, int]:
        """(host, port) of an open port."""
        host, _, port = self.listening()[name].rpartition(":")
        return host, int(port)

    def mail(self, key: str, content: bytes | None = None, to: str = "support@desk.example") -> bytes:
        """Send a mail; the bytes that were acknowledged."""
        sent = content if content is not None else mail_bytes(key)
        with smtplib.SMTP(*self.address(), local_hostname="mx.client.example", timeout=PATIENCE) as client:
            client.sendmail(f"{key}@client.example", [to], sent)
        return sent

    def kill(self) -> None:
        """As a power cut does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of its database."""
        return query(self.var / "gateway.db", sql)

    def filed(self, count: int) -> None:
        """Wait until exactly this many mails are done. While they go on being filed, the wait begins anew."""

        def done() -> int:
            return int(self.query("SELECT count(*) FROM entry WHERE state = 'done' AND channel = 'mail'")[0][0])

        found = done()
        while found != count:
            found = wait_for(
                f"the filing of {count} messages", lambda before=found: _another(done(), before), self.entries
            )  # type: ignore[misc]

    def entries(self) -> dict[str, int]:
        """Channel and state -> how many entries; and what the outbox holds."""
        kinds = "SELECT channel || ' ' || state, count(*) FROM entry GROUP BY 1"
        return dict(self.query(f"{kinds} UNION ALL SELECT 'outbox ' || state, count(*) FROM outbox GROUP BY 1"))


def _another(now: int, before: int) -> int | None:
    return None if now == before else now


def query(database: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a SQLite file."""
    with closing(sqlite3.connect(database, timeout=PATIENCE)) as conn:
        return conn.execute(sql).fetchall()


def mail_bytes(key: str, text: str = "The printer prints nothing.\n") -> bytes:
    """A mail with CRLF line ends, of a person of its own."""
    message = EmailMessage()
    message["From"], message["To"] = f"{key}@client.example", "support@desk.example"
    message["Subject"], message["Message-ID"] = f"Printer {key}", f"<{key}@client.example>"
    message.set_content(text)
    return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@contextmanager
def serving(var: Path, *words: str, config: Path | None = None) -> Iterator[Desk]:
    """The gateway on free ports until the block ends."""
    # A killed gateway leaves its file; what is there now says nothing about the new one.
    (var / "listening.json").unlink(missing_ok=True)
    given = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    chosen: Sequence[str] = ["--config", str(config)] if config is not None else []
    log = var.with_suffix(".log")
    with log.open("ab") as output:
        process = ready.program(
            "-m", "gateway", "serve", "--var", str(var), *chosen, "--set=smtp.port=0", "--set=http.port=0", *words,
            env=given, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        wait_for("the start", lambda: (var / "listening.json").exists() or process.poll() is not None or None)
        assert process.poll() is None, log.read_text(errors="replace")[-3000:]
        yield Desk(process=process, var=var)
    except BaseException:
        # What pytest shows of a failure: why the gateway did not do what was waited for.
        print(f"the end of {log}:\n{log.read_text(errors='replace')[-6000:]}")
        raise
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
