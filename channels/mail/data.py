"""The bytes between DATA and the lone dot: found, unstuffed and spooled in bulk (RFC 5321 section 4.5.2)."""

from __future__ import annotations

import errno
from typing import Literal, TypeAlias

from channels.spool import Spool

_END = b"\r\n.\r\n"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

Refusal: TypeAlias = Literal["", "size", "line", "full", "disk"]


class DataReader:
    """Feed it what arrives. When `ended`, `rest` is what came behind the dot and `refusal` says why nothing is kept.

    Only CRLF ends a line: a lone CR or LF before or after a dot ends nothing (CVE-2024-27305).
    """

    def __init__(self, spool: Spool, *, size: int, line: int) -> None:
        self._spool = spool
        self._size = size
        self._line = line
        # A line break of our own in front makes the first line like every other; it is cut off again.
        self._pending = b"\r\n"
        self._cut = 2
        self._unbroken = 0
        self.seen = 0
        """Bytes fed."""
        self.ended = False
        self.rest = b""
        self.refusal: Refusal = ""

    async def feed(self, chunk: bytes) -> None:
        """Take the next bytes, however they were split."""
        self.seen += len(chunk)
        data = self._pending + chunk
        end = data.find(_END)
        if end >= 0:
            self.ended = True
            self.rest = data[end + len(_END) :]
            await self._take(data[: end + 2])
            return
        keep = _boundary(data)
        self._pending = data[keep:]
        if keep:
            await self._take(data[:keep])

    async def _take(self, raw: bytes) -> None:
        if self.refusal:
            return
        text = raw.replace(b"\r\n.", b"\r\n")
        if self._cut:
            text, self._cut = text[self._cut :], 0
        if self._spool.size + len(text) > self._size:
            self._refuse("size")
        elif self._too_long(text):
            self._refuse("line")
        elif text:
            try:
                await self._spool.append(text)
            except OSError as error:
                self._refuse("full" if error.errno in _FULL else "disk")

    def _refuse(self, why: Refusal) -> None:
        self.refusal = why
        self._spool.discard()

    def _too_long(self, text: bytes) -> bool:
        """Whether a line is longer than the limit. Jumps from limit to limit, so it costs nothing for short lines."""
        here, room = 0, self._line - self._unbroken
        while len(text) - here > room:
            found = text.rfind(b"\r\n", here, here + room + 2)
            if found < 0:
                return True
            here, room = found + 2, self._line
        last = text.rfind(b"\r\n", here)
        self._unbroken = len(text) - last - 2 if last >= 0 else len(text) - here + self._line - room
        return False


def _boundary(data: bytes) -> int:
    """How much of `data` can be handled now: neither the end mark nor CRLF + dot is ever split."""
    keep = max(0, len(data) - len(_END) + 1)
    if keep >= 1 and data[keep - 1] == 0x0D:
        keep -= 1
    elif keep >= 2 and data[keep - 2 : keep] == b"\r\n" and data[keep : keep + 1] == b".":
        keep -= 2
    return keep
