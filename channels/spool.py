"""Bodies as they arrive: in memory up to `INLINE_LIMIT`, beyond it in a file with a running SHA-256."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from normalizer.message import INLINE_LIMIT, Body, InlineBody, SpooledBody

PREFIX = "smtp-"


class Spool:
    """One body that is arriving. Call `append` until it is complete, then `finish`; or `discard`.

    A file is complete and closed when `finish` returns; the blob store fsyncs it when it takes it over (rule 4).
    """

    def __init__(self, folder: Path, unique: Callable[[], str]) -> None:
        """`unique` names the file, when there is one."""
        self._folder = folder
        self._unique = unique
        self._path: Path | None = None
        self._chunks: list[bytes] = []
        self._file: BinaryIO | None = None
        self._sha256 = hashlib.sha256()
        # A cancelled `append` may still be writing in its thread when `discard` comes.
        self._lock = threading.Lock()
        self._discarded = False
        self.size = 0

    async def append(self, chunk: bytes) -> None:
        """Add bytes. Raises OSError when the disk does not take them."""
        self.size += len(chunk)
        if self._file is None and self.size <= INLINE_LIMIT:
            self._chunks.append(chunk)
            return
        # In a thread: a disk that stalls must not stop the other connections.
        self._chunks.append(chunk)
        await asyncio.to_thread(self._write)

    def add(self, chunk: bytes) -> None:
        """The same for a thread of one's own: blocks on the disk. Raises OSError."""
        self.size += len(chunk)
        self._chunks.append(chunk)
        if self._file is not None or self.size > INLINE_LIMIT:
            self._write()

    def _write(self) -> None:
        with self._lock:
            if self._discarded:
                return
            if self._file is None:
                self._path = self._folder / f"{PREFIX}{self._unique()}"
                self._file = self._path.open("xb", buffering=0)
            chunks, self._chunks = self._chunks, []
            for chunk in chunks:
                self._sha256.update(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[self._file.write(view) :]

    def finish(self) -> Body:
        """The whole body. Raises OSError when the file cannot be closed (delayed write errors)."""
        if self._file is None or self._path is None:
            return InlineBody(content=self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks))
        self._file.close()
        return SpooledBody(path=self._path, size=self.size, sha256=self._sha256.hexdigest())

    def discard(self) -> None:
        """Forget the body and its file, if it is still there. May be called at any time, also twice."""
        with self._lock:
            self._discarded = True
            self._chunks = []
            if self._file is not None and self._path is not None:
                self._file.close()
                self._path.unlink(missing_ok=True)


def sweep(folder: Path) -> int:
    """Remove what a crash left: none of it was acknowledged. Returns how many files went."""
    stale = list(folder.glob(f"{PREFIX}*"))
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)
