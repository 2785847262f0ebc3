"""Notices as files: what mail does until a relay is configured."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from pathlib import Path

from channels.contract import CannotTell, Clock
from channels.mail.outbound import Origin, compose
from normalizer.message import Delivery, Fault, Notice, Receipt


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
            await asyncio.to_thread(self._write, self._path(notice), content)
        except OSError as error:
            return Receipt(delivery=Delivery.RETRY, fault=Fault.OURS, detail=f"not written: {error.strerror}")
        return self._sent(notice)

    async def find(self, notice: Notice, since: datetime) -> Receipt | CannotTell | None:
        """The file is there or it is not."""
        try:
            there = await asyncio.to_thread(self._path(notice).exists)
        except OSError as error:
            return CannotTell(f"the folder cannot be read: {error.strerror}")
        return self._sent(notice) if there else None

    def _path(self, notice: Notice) -> Path:
        return self._folder / f"{notice.id}.eml"

    def _sent(self, notice: Notice) -> Receipt:
        return Receipt(delivery=Delivery.SENT, external_ids=(notice.message_id,), detail=f"written to {notice.id}.eml")

    def _write(self, path: Path, content: bytes) -> None:
        if path.exists():
            return
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
