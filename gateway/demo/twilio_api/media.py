"""A host of files, as Twilio's are and as none should be: it answers byte by byte what the plan says.

https://www.twilio.com/docs/messaging/api/media-resource. It notes who asked with a password.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Trouble: TypeAlias = Literal[
    "late", "slow", "silent", "mute", "endless", "truncated", "broken", "reset", "packed", "bomb", "nonsense", "length"
]
"""late: it comes in pieces with pauses. slow: a byte now and then. silent: it stops in the middle. mute: no answer at
all. endless: it never ends. truncated: less comes than was said. broken: chunks that are none. reset: cut in the
middle. packed: by gzip, although nobody asked. bomb: the same, a few bytes that are many megabytes. nonsense: no HTTP.
length: the length is said twice, each time another one."""
PIECE = 64 * 1024


@dataclass(slots=True, kw_only=True)
class Stored:
    """A file and what the host does with who asks for it."""

    content: bytes = b""
    content_type: str = "image/jpeg"
    status: int = 200
    location: str = ""
    """Where it lies really; then there is no content."""
    headers: Mapping[str, str] = field(default_factory=dict)
    private: bool = False
    """Only for who shows the account's SID and token."""
    trouble: Trouble | None = None
    first: list[int] = field(default_factory=list)
    """Statuses of the first answers, before it is as it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request."""

    path: str
    headers: Mapping[str, str]
    """By lower-case name."""

    @property
    def password(self) -> str:
        """ "user:password"; "" for none."""
        said = self.headers.get("authorization", "")
        return base64.b64decode(said.removeprefix("Basic ")).decode() if said else ""


@dataclass(slots=True, kw_only=True)
class MediaHost:
    """Files by path. `url` is there while it is open."""

    account_sid: str = ""
    token: str = ""
    pause: float = 0.05
    files: dict[str, Stored] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    _open: set[asyncio.Task[Any]] = field(default_factory=set)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, path: str, content: bytes = b"", **about: object) -> str:
        """Store a file; its URL."""
        self.files[path] = Stored(content=content, **about)  # type: ignore[arg-type]
        return self.url + path

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [one.path for one in self.asked]

    def passwords(self) -> list[str]:
        """What was shown with it."""
        return [one.password for one in self.asked]

    @asynccontextmanager
    async def opened(self, host: str = "127.0.0.1") -> AsyncIterator[MediaHost]:
        """Listen."""
        self._ended.clear()
        server = await asyncio.start_server(self._connection, host, 0)
        self.url = f"http://{host}:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            self._ended.set()
            server.close()
            await asyncio.gather(*self._open)

    # -- one request ------------------------------------------------------------------------

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        work = asyncio.create_task(self._answered(reader, writer))
        ends = asyncio.create_task(self._ended.wait())
        self._open |= {here} if (here := asyncio.current_task()) is not None else set()
        await asyncio.wait({work, ends}, return_when=asyncio.FIRST_COMPLETED)
        if self._ended.is_set():
            # Who does not read would keep what is written for ever.
            writer.transport.abort()
        for task in (work, ends):
            task.cancel()
        with suppress(asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
            await work
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict((name.lower(), value) for name, _, value in (line.partition(": ") for line in lines[1:] if line))
        asked = Asked(path=lines[0].split(" ")[1], headers=headers)
        self.asked.append(asked)
        file = self.files.get(asked.path, Stored(status=404))
        status = file.first.pop(0) if file.first else file.status
        if file.private and asked.password != f"{self.account_sid}:{self.token}":
            status = 401
        if status != 200:
            writer.write(_head(status, {**file.headers, **({"Location": file.location} if file.location else {})}, 0))
            await writer.drain()
            return
        await _SENDING.get(file.trouble or "", _whole)(self, file, writer)

    async def said(self, writer: asyncio.StreamWriter, *pieces: bytes, pause: float = 0.0) -> None:
        """Send pieces, with pauses."""
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if pause:
                await asyncio.sleep(pause)


def _head(status: int, headers: Mapping[str, str], length: int | None) -> bytes:
    told = {**headers, "Connection": "close"} | ({"Content-Length": str(length)} if length is not None else {})
    lines = [f"HTTP/1.1 {status} It", *(f"{name}: {value}" for name, value in told.items()), "", ""]
    return "\r\n".join(lines).encode()


def _good(file: Stored, length: int | None = None) -> bytes:
    told = {"Content-Type": file.content_type} if file.content_type else {}
    return _head(200, {**told, **file.headers}, len(file.content) if length is None else length)


async def _whole(host: MediaHost, file: Stored, writer: asyncio.StreamWriter) -> None:
    await host.said(writer, _good(file), file.content)


async def _late(host: MediaHost, file: Stored, writer: asyncio.StreamWriter) -> None:
    half = len(file.content) // 2
    await host.said(writer, _good(file), file.content[:half], file.content[half:], pause=host.pause)


async def _slow(host: MediaHost, file: Stored, writer: asyncio.StreamWriter) -> None:
    single = (file.content[at : at + 1] for at in range(len(file.content)))
    await host.said(writer, _good(file), *single, pause=host.pause)


async def _silent(host: MediaHost, file: Stored, writer: asyncio.StreamWriter) -> None:
    await host.said(writer, _good(file), file.content[: len(file.content) // 2])
    await asyncio.Event().wait()


async def _mute(host: MediaHost, file: Stored, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def _endless(host: MediaHost, file: Stored, writer: asyncio.StreamWriter) -> None:
    await host.said(writer, _head(200, {"Content-Type": file.content_type, "Transfer-Encoding": "chunked"}, None))
    while True:
        await host.said(writer, b"%x\r\n" % PIECE + b"x" * PIECE + b"\r\n")


async def _truncated(host: MediaHost, file: Stored, writer: asyncio.StreamWriter) -> None:
    await host.said(writer, _good(file, len(file.content) + 1000), file.content)


async def _broken(host: MediaHost, file: Stored, writer: asyncio.StreamWriter) -> None:
    head = _head(200, {"Content-Type": file.content_type, "Transfer-Encoding": "chunked"}, None)
    await host.said(writer, head, b"5\r\nabcde\r\nzz\r\n", file.content)


async def _reset(host: MediaHost, file: Stored, writer: asyncio.StreamWriter) -> None:
    await host.said(writer, _good(file), file.content[: len(file.content) // 2])
    bound: socket.socket = writer.get_extra_info("socket")
    # With a linger of zero the kernel sends RST instead of FIN.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _packed(host: MediaHost, file: Stored, writer: asyncio.StreamWriter) -> None:
    content = gzip.compress(file.content)
    head = {"Content-Type": file.content_type, "Content-Encoding": "gzip"}
    await host.said(writer, _head(200, head, len(content)), content)


async def _bomb(host: MediaHost, file: Stored, writer: asyncio.StreamWriter) -> None:
    await _packed(host, Stored(content=b"\0" * 64 * 1024 * 1024, content_type=file.content_type), writer)


async def _nonsense(host: MediaHost, file: Stored, writer: asyncio.StreamWriter) -> None:
    await host.said(writer, b"220 mail.client.example ESMTP\r\n\r\n")


async def _length(host: MediaHost, file: Stored, writer: asyncio.StreamWriter) -> None:
    head = _good(file).replace(b"Content-Length", b"Content-Length: 3\r\nContent-Length", 1)
    await host.said(writer, head, file.content)


_SENDING: Mapping[str, Callable[[MediaHost, Stored, asyncio.StreamWriter], Awaitable[None]]] = {
    "": _whole, "late": _late, "slow": _slow, "silent": _silent, "mute": _mute, "endless": _endless,
    "truncated": _truncated, "broken": _broken, "reset": _reset, "packed": _packed, "bomb": _bomb,
    "nonsense": _nonsense, "length": _length,
}  # fmt: skip
