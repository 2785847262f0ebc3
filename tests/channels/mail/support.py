"""What the mail tests share: an intake that keeps what it gets, a running port, a client that reads replies."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from channels.contract import Accepted, Cursor
from channels.mail.listener import SmtpListener
from channels.mail.settings import MailAccount, SmtpOptions
from normalizer.message import InlineBody, RawMessage, SpooledBody

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
PATIENCE = 90.0
"""Seconds: the machine may stand still in between."""
ACCOUNTS = {
    "support": MailAccount.model_validate(
        {"addresses": ["support@desk.example"], "from": {"name": "Служба поддержки", "address": "support@desk.example"}}
    ),
    "sales": MailAccount.model_validate({"addresses": ["sales@desk.example", "shop@other.example"]}),
}


@dataclass
class Journal:
    """A small intake: takes bodies over as the blob store does, knows repeats, fails when told to."""

    folder: Path
    raws: list[RawMessage] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    calls: int = 0
    failure: BaseException | None = None
    gate: asyncio.Event | None = None
    """When set: the commit waits for it."""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    known: dict[tuple[str, str], int] = field(default_factory=dict)

    async def __call__(self, raws: Sequence[RawMessage], cursor: Cursor | None = None, /) -> Sequence[Accepted]:
        self.calls += 1
        self.reached.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return [self._take(raw) for raw in raws]

    def _take(self, raw: RawMessage) -> Accepted:
        key = (raw.external_id, raw.fingerprint)
        if key in self.known:
            return Accepted(entry=self.known[key], duplicate=True)
        match raw.body:
            case InlineBody(content=content):
                self.contents.append(content)
            case SpooledBody(path=path, size=size, sha256=digest):
                blob = path.rename(self.folder / digest)
                content = blob.read_bytes()
                assert len(content) == size
                assert hashlib.sha256(content).hexdigest() == digest
                self.contents.append(content)
        self.raws.append(raw)
        return Accepted(entry=self.known.setdefault(key, len(self.known) + 1), duplicate=False)


@dataclass
class Client:
    """One connection: lines out, replies in."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def to(cls, host: str, port: int) -> Client:
        return cls(*await asyncio.open_connection(host, port))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, patience: float = PATIENCE) -> str:
        """The next reply, all of its lines; "" when the connection is closed. Waits for `patience` seconds at most."""
        lines = []
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), patience)).decode("utf-8", "replace")
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return "\n".join(lines)

    async def say(self, line: str) -> str:
        await self.send(line.encode() + b"\r\n")
        return await self.reply()

    async def hello(self) -> None:
        assert (await self.reply()).startswith("220 ")
        assert (await self.say("EHLO client.example")).startswith("250-")

    async def begin(self, recipient: str = "support@desk.example") -> None:
        assert (await self.say("MAIL FROM:<anna@client.example>"))[:3] == "250"
        assert (await self.say(f"RCPT TO:<{recipient}>"))[:3] == "250"
        assert (await self.say("DATA"))[:3] == "354"

    async def mail(self, content: bytes, recipient: str = "support@desk.example") -> str:
        """Send one message; the reply to it."""
        await self.begin(recipient)
        await self.send(stuffed(content))
        return await self.reply()

    async def close(self) -> None:
        self.writer.close()
        closing = asyncio.create_task(self._closed())
        if not (await asyncio.wait({closing}, timeout=5))[0]:
            self.drop()  # within TLS the other side may never say its farewell
            await closing

    async def _closed(self) -> None:
        try:
            await self.writer.wait_closed()
        except OSError:
            return  # the other side was faster

    def drop(self) -> None:
        """Vanish without a goodbye (RST)."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Port:
    """A listener that runs, and its intake."""

    listener: SmtpListener
    journal: Journal
    spool: Path
    host: str = ""
    number: int = 0

    async def connect(self) -> Client:
        return await Client.to(self.host, self.number)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        client = await self.connect()
        try:
            await client.hello()
            yield client
        finally:
            await client.close()

    def leftovers(self) -> list[Path]:
        return [path for path in self.spool.iterdir() if path.name.startswith("smtp-")]


@asynccontextmanager
async def running(tmp_path: Path, **options: Any) -> AsyncIterator[Port]:
    """A port on a free number with the accounts of this file."""
    spool = tmp_path / "spool"
    spool.mkdir(parents=True, exist_ok=True)
    numbers = itertools.count(1)
    listener = SmtpListener(
        ACCOUNTS,
        SmtpOptions.model_validate({"port": 0, **options}),
        clock=lambda: NOW,
        spool=spool,
        unique=lambda: f"u{next(numbers)}",
        upload_url="https://help.desk.example/",
    )
    journal = Journal(folder=tmp_path)
    troubles: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: troubles.append(context))
    await listener.start(journal)
    host, _, number = listener.listening()["smtp"].rpartition(":")
    try:
        yield Port(listener, journal, spool, host, int(number))
    finally:
        await listener.stop()
    assert not troubles  # an error in a callback reaches nobody else


async def until(condition: Any, seconds: float = PATIENCE) -> None:
    """Give the loop its turns until `condition()` is true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what it asks about has no event
            await asyncio.sleep(0.005)


def stuffed(content: bytes) -> bytes:
    """As DATA wants it: CRLF at the end, dots doubled, the lone dot."""
    body = content if content.endswith(b"\r\n") or not content else content + b"\r\n"
    return (b"\r\n" + body).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


def letter(number: object = 1, body: bytes = b"Hello\r\n") -> bytes:
    """A small message of its own."""
    return (
        f"From: Anna <anna@client.example>\r\nTo: support@desk.example\r\n"
        f"Subject: {number}\r\nMessage-ID: <{number}@client.example>\r\n\r\n"
    ).encode() + body
