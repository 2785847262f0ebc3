"""Nodes at one PostgreSQL, each a process with a folder of its own, and a mail server as their far side."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path

import aiohttp
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests import ready
from tests.postgres import Server
from tests.services.listening import listening

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
OVERRIDES = (
    "smtp.port=0", "http.port=0", "workers.count=1", "outbox.backoff=1s", "outbox.backoff_limit=1s",
    # So long that a machine that stands still for a moment ends none: who dies is said to be dead by `run_out`.
    "database.lease=15s",
    # The brakes on automatic mail are tested elsewhere; here every ticket shall be answered.
    "caps.per_account_minute=1000000", "caps.per_address_minute=1000000", "caps.per_address_day=1000000",
)  # fmt: skip


PATIENCE = 90.0
"""Seconds for what comes within a few unless the machine stands still."""
SEND = 15.0
FROZEN = ("database.lease=5s", f"outbox.send_timeout={SEND:.0f}s")
"""Settings of nodes of which one stands still and wakes up: its own time must pass, too. A send is given so much time
that a machine that stands still ends none."""


async def until(
    true: Callable[[], bool], *, seconds: float = PATIENCE, instead: Callable[[], object] = lambda: ""
) -> None:
    """Wait for something that another process does and tells nobody. `instead`: what is there as long as it is not.

    Raises AssertionError.
    """
    ends = time.monotonic() + seconds
    while not await asyncio.to_thread(true):
        if time.monotonic() > ends:
            raise AssertionError(f"not within {seconds:.0f} s: {await asyncio.to_thread(instead)}")
        await asyncio.sleep(0.03)


@dataclass(slots=True)
class FarSide:
    """A mail server that keeps everything it was given."""

    port: int = 0
    mails: list[bytes] = field(default_factory=list)
    held: asyncio.Event | None = None
    """When given, nobody hears an answer to RCPT before it is set."""
    asked: int = 0
    """Recipients that were named."""
    when_asked: Callable[[], object] = lambda: None
    """Is called when a recipient is named, before anything is answered."""

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Let it wait where the test says so."""
        self.asked += 1
        held = self.held
        self.when_asked()
        if held is not None:
            await held.wait()
        envelope.rcpt_tos.append(address)
        return "250 fine"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Take it."""
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.append(content)
        return "250 taken"

    def header(self, name: str) -> list[str]:
        """This header of every mail."""
        return [str(message_from_bytes(mail)[name] or "").strip("<> ") for mail in self.mails]


@asynccontextmanager
async def far_side() -> AsyncIterator[FarSide]:
    """A mail server on a free port of loopback."""
    far = FarSide()
    loop = asyncio.get_running_loop()
    async with listening(lambda: SMTP(far, hostname="far.example", loop=loop)) as far.port:
        yield far


@dataclass(slots=True)
class Node:
    """One process."""

    var: Path
    url: str
    more: tuple[str, ...] = ()
    ahead: timedelta = timedelta()
    """How far its clock is ahead of the machine's."""
    process: ready.Process | None = None
    smtp: int | None = None
    http: str = ""

    async def start(self, point: str = "-", count: int = 1, signum: str = "SIGKILL") -> None:
        """Start it and wait until it listens."""
        self.var.mkdir(exist_ok=True)
        (self.var.parent / "key").write_text("the same key for all nodes of a test")
        listening = self.var / "listening.json"
        listening.unlink(missing_ok=True)  # of a start that was killed
        settings = (*OVERRIDES, *self.more, f"database.url={self.url}", f"secret_key=file:{self.var.parent / 'key'}")
        with (self.var / "log").open("ab") as log:
            self.process = ready.process(
                str(HERE / "node_child.py"), str(ROOT / "config"), str(self.var),
                point, str(count), signum, str(self.ahead.total_seconds()), *settings,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        ends = time.monotonic() + PATIENCE
        while not listening.exists():
            assert self.process.returncode is None and time.monotonic() < ends, self.log()
            await asyncio.sleep(0.02)
        found = json.loads(listening.read_text())
        self.smtp, self.http = int(found["smtp"].rpartition(":")[2]), found["http"]

    def signal(self, signum: signal.Signals) -> None:
        """To the process itself; its workers end with it."""
        assert self.process is not None
        self.process.send_signal(signum)

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self.process is not None
        return self.process.pid

    async def ended(self) -> None:
        """Wait until it has killed itself, and end its workers."""
        assert self.process is not None
        try:
            await asyncio.wait_for(self.process.wait(), PATIENCE)
        except TimeoutError:
            raise AssertionError(f"it goes on: {self.log()}") from None
        self.smtp = None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    async def state(self, wanted: str) -> None:
        """Wait for a state of the process as in /proc (T: stopped)."""
        assert self.process is not None
        stat = Path(f"/proc/{self.process.pid}/stat")
        await until(lambda: stat.read_text().rpartition(")")[2].split()[0] == wanted, instead=self.log)

    async def kill(self) -> None:
        """SIGKILL to the process and its workers; harmless when it has ended."""
        self.smtp = None
        if self.process is not None and self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            await self.process.wait()

    async def stop(self) -> None:
        """SIGTERM; it must end well."""
        assert self.process is not None
        self.smtp = None
        self.process.terminate()
        try:
            code = await asyncio.wait_for(self.process.wait(), PATIENCE)
        except TimeoutError:
            raise AssertionError(f"it does not end: {self.log()}") from None
        assert code == 0, self.log()

    def log(self) -> str:
        """What it wrote."""
        return (self.var / "log").read_text(errors="replace")[-6000:]


async def deliver(port: int, sender: str, content: bytes) -> bool:
    """One mail by SMTP; True when it was answered with 250."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE):
            await reader.readline()
            lines = (
                b"HELO mx.client.example", b"MAIL FROM:<%s>" % sender.encode(), b"RCPT TO:<support@desk.example>",
                b"DATA", content + b"\r\n.",
            )  # fmt: skip
            for line in lines:
                writer.write(line + b"\r\n")
                await writer.drain()
                answer = await reader.readline()
                if answer[:1] not in (b"2", b"3"):
                    return False
        return True
    finally:
        writer.close()


def mail(sender: str, message_id: str, *, subject: str = "The printer", reply_to: str = "") -> bytes:
    """A small mail; `reply_to` is the Message-ID that it answers."""
    thread = f"In-Reply-To: <{reply_to}>\r\nReferences: <{reply_to}>\r\n" if reply_to else ""
    return (
        f"From: {sender}\r\nTo: support@desk.example\r\nSubject: {subject}\r\nMessage-ID: <{message_id}>\r\n{thread}"
        f"\r\nIt prints nothing since this morning, and we need it. ({message_id})"
    ).encode()


async def settled(server: Server, database: str) -> None:
    """Everything is filed and every notice has gone out."""
    waiting = (
        "SELECT (SELECT count(*) FROM entry WHERE state = 'pending')"
        " + (SELECT count(*) FROM outbox WHERE state IN ('waiting', 'sending'))"
    )
    await until(lambda: server.run(waiting, database) == [(0,)], instead=lambda: rest(server, database))


def rest(server: Server, database: str) -> str:
    """What is not done yet, and who lives."""
    asked = (
        "SELECT 'entry', id, state, owner FROM entry WHERE state = 'pending' LIMIT 5",
        "SELECT kind, id, state, owner, attempts, detail, due_at FROM outbox WHERE state IN ('waiting', 'sending')"
        " LIMIT 5",
        "SELECT name, until / 1000000 - extract(epoch FROM now()) FROM lease",
    )
    return "; ".join(str(row) for statement in asked for row in server.run(statement, database))


def run_out(server: Server, database: str, node: Node, ago: float = 3600) -> None:
    """The leases of a node that does nothing any more ran out so many seconds ago: nobody has to wait for that here.

    The node must be dead, or the time of its leases over by its own clock, too.
    """
    server.run(
        f"UPDATE lease SET until = (extract(epoch FROM now()) - {ago}) * 1000000 WHERE owner LIKE '%:{node.pid}:%'",
        database,
    )


async def stood_still(server: Server, database: str, node: Node) -> None:
    """Wait until a node that stands still has lost its leases, by the database's clock and so by its own; that a send
    had its time since then as well, nobody waits for."""
    left = (
        f"SELECT count(*) FROM lease WHERE owner LIKE '%:{node.pid}:%' AND until >= extract(epoch FROM now()) * 1000000"
    )
    await until(lambda: server.run(left, database) == [(0,)])
    run_out(server, database, node)


async def reply(node: Node, number: str) -> None:
    """A person of the staff answers in the ticket of this number."""
    headers = {"Authorization": f"Bearer {(node.var / 'token').read_text().strip()}"}
    async with aiohttp.ClientSession() as session:
        url = f"http://{node.http}/api/v1/tickets/{number}/reply"
        async with session.post(url, json={"text": "Turn it off and on again."}, headers=headers) as response:
            assert response.status < 300, await response.text()


def bytes_are_there(server: Server, database: str, wanted: set[str]) -> None:
    """The database alone gives every byte back, though the dead node's folder is gone."""
    small = server.run("SELECT content FROM raw", database)
    big = server.run("SELECT string_agg(content, ''::bytea ORDER BY number) FROM blob_content GROUP BY name", database)
    found = {hashlib.sha256(bytes(row[0])).hexdigest() for row in (*small, *big) if isinstance(row[0], bytes)}
    assert wanted <= found
    assert big, "none was big enough for a blob"
