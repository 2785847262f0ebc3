"""A text message network of one connection: an SMSC that speaks as much SMPP 3.4 as Kannel needs.

PDUs and fields: SMPP 3.4 sections 4.1, 4.4, 4.6, 5.1.3. Kannel binds as a transceiver.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

BIND, SUBMIT, DELIVER, ENQUIRE, UNBIND = 0x09, 0x04, 0x05, 0x15, 0x06
LATER = 0x64
"""ESME_RX_T_APPN: the far side cannot take it now (SMPP 3.4 section 5.1.3); a network brings it again."""
AGAIN = 0.2
"""Seconds until then."""
PATIENCE = 60.0
ANSWER = 0x80000000
HEADER, UCS2, RECEIPT = 0x40, 8, 0x04


@dataclass(frozen=True)
class Submitted:
    """One submit_sm."""

    source: str
    destination: str
    coding: int
    header: bytes
    """User data header, b"" where it is alone."""
    content: bytes
    id: str

    @property
    def text(self) -> str:
        return self.content.decode("utf-16-be" if self.coding == UCS2 else "latin-1")


@dataclass
class Smsc:
    """The network's side."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    """What the next submit_sm are answered with; 0 when it is empty."""
    got: list[Submitted] = field(default_factory=list)
    bound: asyncio.Event = field(default_factory=asyncio.Event)
    acknowledged: list[int] = field(default_factory=list)
    """Statuses of Kannel's last answers to what was delivered to it."""
    put_off: int = 0
    """How often Kannel asked us to bring something later."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writer: asyncio.StreamWriter | None = None
    _sequence: int = 1000
    _delivered: dict[int, bytes] = field(default_factory=dict)
    """What Kannel has not answered yet, by sequence number."""

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Kannel is there."""
        self._writer = writer
        self.tasks.add(asyncio.create_task(self._talk(reader, writer)))

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length, command, status, sequence = struct.unpack(">IIII", await reader.readexactly(16))
                self._heard(command, status, sequence, await reader.readexactly(length - 16))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # Kannel hung up
        finally:
            writer.close()

    def _heard(self, command: int, status: int, sequence: int, body: bytes) -> None:
        match command:
            case 0x09:
                self._say(ANSWER | BIND, 0, sequence, b"NET\0")
                self.bound.set()
                for number, waiting in self._delivered.items():
                    self._say(DELIVER, 0, number, waiting)
            case 0x15 | 0x06:
                self._say(ANSWER | command, 0, sequence)
            case 0x04:
                self._submitted(sequence, body)
            case _ if command == ANSWER | DELIVER:
                self._answered(status, sequence)

    def _answered(self, status: int, sequence: int) -> None:
        if status == LATER and sequence in self._delivered:
            self.put_off += 1
            loop = asyncio.get_running_loop()
            loop.call_later(AGAIN, self._say, DELIVER, 0, sequence, self._delivered[sequence])
        elif self._delivered.pop(sequence, None) is not None:
            self.acknowledged.append(status)

    async def taken(self, count: int) -> None:
        """Wait until Kannel has answered for so many; it must have taken them all. Raises AssertionError."""
        ends = time.monotonic() + PATIENCE
        while len(self.acknowledged) < count and time.monotonic() < ends:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.02)
        assert self.acknowledged == [0] * count, f"{self.acknowledged}, {self.put_off} times put off"

    def _submitted(self, sequence: int, body: bytes) -> None:
        status = self.statuses.pop(0) if self.statuses else 0
        if status:
            self._say(ANSWER | SUBMIT, status, sequence)
            return
        made = _submitted(body, f"net{len(self.got) + 1}")
        self.got.append(made)
        self._say(ANSWER | SUBMIT, 0, sequence, made.id.encode() + b"\0")

    def deliver(self, source: str, to: str, text: str, *, header: bytes = b"") -> None:
        """Somebody writes: UCS-2."""
        self._deliver(source, to, UCS2, HEADER if header else 0, header + text.encode("utf-16-be"))

    def report(self, about: Submitted, stat: str, error: str = "000") -> None:
        """What became of a message of ours."""
        words = (
            f"id:{about.id} sub:001 dlvrd:001 submit date:2605040900 done date:2605040901 stat:{stat} err:{error} text:"
        )
        self._deliver(about.destination, about.source, 0, RECEIPT, words.encode())

    def _deliver(self, source: str, to: str, coding: int, esm: int, content: bytes) -> None:
        self._sequence += 1
        addresses = b"\x01\x01" + source.encode() + b"\0\x01\x01" + to.encode() + b"\0"
        fields = bytes([esm, 0, 0]) + b"\0\0" + bytes([0, 0, coding, 0, len(content)])
        self._delivered[self._sequence] = b"\0" + addresses + fields + content
        self._say(DELIVER, 0, self._sequence, self._delivered[self._sequence])

    def _say(self, command: int, status: int, sequence: int, body: bytes = b"") -> None:
        assert self._writer is not None, "Kannel is not bound"
        if self._writer.is_closing():
            return  # what was delivered goes out again when it has bound anew
        self._writer.write(struct.pack(">IIII", 16 + len(body), command, status, sequence) + body)


def _submitted(body: bytes, named: str) -> Submitted:
    _, rest = body.split(b"\0", 1)
    source, rest = rest[2:].split(b"\0", 1)
    destination, rest = rest[2:].split(b"\0", 1)
    esm, rest = rest[0], rest[3:]
    _, _, rest = rest.split(b"\0", 2)
    coding, length = rest[2], rest[4]
    content = rest[5 : 5 + length]
    size = content[0] + 1 if esm & HEADER else 0
    return Submitted(source.decode(), destination.decode(), coding, content[:size], content[size:], named)


@asynccontextmanager
async def smsc() -> AsyncIterator[Smsc]:
    """A network that listens."""
    made = Smsc()
    server = await asyncio.start_server(made.connected, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in made.tasks:
            task.cancel()
        await asyncio.gather(*made.tasks, return_exceptions=True)
