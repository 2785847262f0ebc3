"""Notices as files: what mail does until a relay is configured."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from channels.contract import CannotTell, Clock
from channels.mail.outbound import Origin, compose
from normalizer.message import Delivery, Fault, Notice, Receipt

HEAD = 64 * 1024
"""Bytes within which the header of a mail of ours ends."""


class FileTransport:
    """Writes `<notice id>.eml`, complete or not at all. It is a `Sender` and a `Prober`."""

    def __init__(self, folder: Path, origin: Origin, clock: Clock) -> None:
        self._folder = folder
        self._origin = origin
        self._clock = clock

    async def send(self, notice: Notice) -> Receipt:
        """Write the file; a notice that was written before is sent already."""
        content = compose(notice, self._origin, self._clock()).content
        try:
            await asyncio.to_thread(self._write, self._path(notice), content, notice.message_id)
        except OSError as error:
            return Receipt(delivery=Delivery.RETRY, fault=Fault.OURS, detail=f"not written: {error.strerror}")
        return self._sent(notice)

    async def find(self, notice: Notice, since: datetime) -> Receipt | CannotTell | None:
        """The file is there or it is not."""
        try:
            there = await asyncio.to_thread(_is_of, self._path(notice), notice.message_id)
        except OSError as error:
            return CannotTell(f"the folder cannot be read: {error.strerror}")
        return self._sent(notice) if there else None

    def _path(self, notice: Notice) -> Path:
        return self._folder / f"{notice.id}.eml"

    def _sent(self, notice: Notice) -> Receipt:
        return Receipt(delivery=Delivery.SENT, external_ids=(notice.message_id,), detail=f"written to {notice.id}.eml")

    def _write(self, path: Path, content: bytes, message_id: str) -> None:
        if _is_of(path, message_id):
            return
        if path.exists():
            # Of a database that was there before this one (a restored backup): it stays, under another name.
            path.rename(path.with_name(f"{path.stem}-{sha256(path.read_bytes()).hexdigest()[:16]}.eml"))
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _is_of(path: Path, message_id: str) -> bool:
    """Whether this file is there and of the notice with this Message-ID. Raises OSError."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        head = file.read(HEAD).partition(b"\r\n\r\n")[0]
        return not message_id or f"\r\nMessage-ID: <{message_id}>\r\n".encode() in head + b"\r\n"
    return False
