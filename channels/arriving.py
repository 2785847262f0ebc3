"""The body of a request as it arrives: bounded in bytes and time, and every way in which it may break off."""

from __future__ import annotations

import asyncio

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

BROKEN = (web.RequestPayloadError, ClientPayloadError, HttpProcessingError, ConnectionError)
"""How a body ends that does not arrive whole."""


class TooBig(Exception):
    """More bytes than are taken."""


async def whole(request: web.Request, most: int, seconds: float) -> bytes:
    """The body, unpacked. Raises TooBig, TimeoutError, and what BROKEN has."""
    if request.content.is_eof():
        # It is there already, as most are.
        content = request.content.read_nowait()
        if len(content) > most:
            raise TooBig
        return content
    if (request.content_length or 0) > most:
        raise TooBig
    pieces: list[bytes] = []
    size = 0
    async with asyncio.timeout(seconds):
        while piece := await request.content.readany():
            size += len(piece)
            if size > most:
                raise TooBig
            pieces.append(piece)
    return b"".join(pieces)
