"""A file that is made and written by threads, for somebody who may be cancelled at any time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO


@asynccontextmanager
async def new_file(path: Path) -> AsyncIterator[BinaryIO]:
    """Open for writing, and closed at the end. Raises OSError, FileExistsError where there is one.

    Whoever is cancelled while a thread opens it would never get to know the file, and it would stay open.
    """
    opening = _Opening(path)
    try:
        file = await asyncio.to_thread(opening.open)
    except asyncio.CancelledError:
        opening.give_up()
        raise
    try:
        yield file
    finally:
        # What waits for a thread is taken back by a cancellation: not this.
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, file.close))


class _Opening:
    """One try to open it, which may be given up before or after the thread is done."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._lock, self._given_up = threading.Lock(), False

    def open(self) -> BinaryIO:
        """For a thread: the disk may take its time."""
        file = self._path.open("xb")
        with self._lock:
            self._file = file
            if self._given_up:
                self._remove()
        return file

    def give_up(self) -> None:
        """Nobody wants it any more."""
        with self._lock:
            self._given_up = True
            self._remove()

    def _remove(self) -> None:
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)
