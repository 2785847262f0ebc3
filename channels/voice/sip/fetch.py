"""Recordings of our own telephone lie in its folder, and are fetched from there as files of other channels are."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from datetime import timedelta
from pathlib import Path

from channels.contract import Fetched, FetchFailed
from channels.voice.sip.sound import WHOLE

PIECE = 1 << 20


class FolderFetcher:
    """Fetches for one account; `channels.contract.Fetcher`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def fetch(self, source: str, limit: int, into: Path) -> Fetched:
        """The recording of this name, copied: it is somebody's spoken words."""
        return await asyncio.to_thread(self._copy, source, limit, into)

    def _copy(self, source: str, limit: int, into: Path) -> Fetched:
        if Path(source).name != source or not source.endswith(WHOLE):
            raise FetchFailed("this is no recording of ours", permanent=True)
        try:
            file = (self._folder / source).open("rb")
        except FileNotFoundError:
            # On another node, or not yet whole.
            raise FetchFailed("the recording is not in the telephone's folder", permanent=False) from None
        with file:
            if os.fstat(file.fileno()).st_size > limit:
                raise FetchFailed("the recording is too big", permanent=True, too_big=True)
            descriptor, name = tempfile.mkstemp(dir=into)
            digest, size = hashlib.sha256(), 0
            with os.fdopen(descriptor, "wb") as copy:
                while piece := file.read(PIECE):
                    digest.update(piece)
                    size += copy.write(piece)
        return Fetched(path=Path(name), content_type="audio/wav", size=size, sha256=digest.hexdigest(), spoken=True)


def sweep(folder: Path, keep: timedelta, now: float) -> None:
    """Remove recordings that are older: they are in their tickets by then. Raises OSError."""
    for path in folder.glob(f"*{WHOLE}"):
        if now - path.stat().st_mtime > keep.total_seconds():
            path.unlink(missing_ok=True)
