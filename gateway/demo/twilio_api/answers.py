"""An HTTP answer read whole from a connection that is closed behind it (RFC 9112 sections 4 to 7)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name; of those said several times the last one."""
    content: bytes = b""

    @property
    def content_type(self) -> str:
        """Without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_answer(reader: asyncio.StreamReader, most: int) -> Answer | None:
    """An answer; of a longer one than `most` bytes some more than those. None for what is no HTTP or breaks off."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        return Answer(status=status, headers=headers, content=await _content(reader, headers, most))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError):
        return None


async def _content(reader: asyncio.StreamReader, headers: Mapping[str, str], most: int) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader, most)
    if "content-length" in headers:
        return await reader.readexactly(min(int(headers["content-length"]), most + 1))
    found = b""
    while len(found) <= most and (piece := await reader.read(most)):
        found += piece
    return found


async def _chunks(reader: asyncio.StreamReader, most: int) -> bytes:
    found = b""
    while len(found) <= most:
        size = int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16)
        if not size:
            break
        found += await reader.readexactly(min(size, most + 1))
        if size <= most:
            await reader.readexactly(2)
    return found
