"""Reading what a far side answers over HTTP: bounded, and with words that are safe to show."""

from __future__ import annotations

import re
from datetime import datetime
from email.utils import parsedate_to_datetime

import aiohttp


async def bounded(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """The body. Raises ClientPayloadError when it has more than `most` bytes or breaks off."""
    pieces, size = list[bytes](), 0
    async for piece in answer.content.iter_any():
        size += len(piece)
        if size > most:
            raise aiohttp.ClientPayloadError("too long")
        pieces.append(piece)
    return b"".join(pieces)


def why(error: Exception) -> str:
    """What went wrong with a call. The error's own words may hold its URL, and so a token or a number."""
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "its certificate is not good"
        case aiohttp.ClientConnectorError():
            return error.os_error.strerror or type(error.os_error).__name__
        case aiohttp.ClientPayloadError():
            return "the answer breaks off, or is too long"
        case aiohttp.ServerDisconnectedError() | ConnectionResetError():
            return "the connection breaks off"
        case _:
            return type(error).__name__


def seconds(said: object) -> float | None:
    """A `Retry-After` in seconds (RFC 9110 section 10.2.3), or a JSON number in its place; None for anything else."""
    text = str(said)
    return float(text) if re.fullmatch(r"[0-9]{1,6}", text) else None


def time(said: str) -> datetime | None:
    """A `Date` (RFC 9110 section 6.6.1); None for anything else."""
    try:
        return parsedate_to_datetime(said)
    except ValueError:
        return None
