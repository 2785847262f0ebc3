"""Big bodies and attachments as files named by their SHA-256 (rule 4).

A blob is on disk for good before a row names it; one that no row names is swept after a day (`blob_sweep`).
Worker processes import this module: it knows files only, no database.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from gateway.store.failpoints import FailPoint, nowhere

if TYPE_CHECKING:  # a worker process reads blobs and needs no database
    from sqlalchemy import Connection

NAME = re.compile(r"[0-9a-f]{64}")
ORPHAN_AGE = timedelta(days=1)
"""A blob or spool file that nothing names is kept this long: its row may still be on the way."""


class SpoolDamaged(OSError):
    """A spooled file is not what it was said to be, so it cannot be accepted."""


def sync_folder(folder: Path) -> None:
    """Make the names in the folder durable. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Make the content of the file durable. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Blobs:
    """The folder of blobs. Every method blocks on the disk: call them in a thread."""

    def __init__(self, folder: Path, *, failpoint: FailPoint = nowhere) -> None:
        """Make the folder where it is missing. Raises OSError."""
        self.folder = folder
        self.new = folder / "new"
        """Files that are being made into blobs."""
        self._failpoint = failpoint
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.new.mkdir(exist_ok=True)
        sync_folder(folder)
        sync_folder(folder.parent)

    def path(self, name: str) -> Path:
        """Where the blob is or would be. Raises ValueError when `name` is no SHA-256 in lower-case hex."""
        if NAME.fullmatch(name) is None:
            raise ValueError("a blob is named by 64 lower-case hex digits")
        return self.folder / name[:2] / name

    def exists(self, name: str) -> bool:
        """Is the blob here?"""
        return self.path(name).is_file()

    def local(self, name: str) -> Path:
        """The file of the blob for reading; it may be that there is none. Raises OSError where it must be fetched."""
        return self.path(name)

    def publish(self, names: Iterable[str]) -> None:
        """Make blobs that a worker process has put safe for everybody. In a folder they are."""

    def open(self, name: str) -> BinaryIO:
        """The blob for reading. Raises FileNotFoundError."""
        return self.local(name).open("rb")

    def put(self, content: bytes) -> str:
        """Keep `content` durably. Returns the blob's name. Raises OSError."""
        name = hashlib.sha256(content).hexdigest()
        temporary = self.new / secrets.token_hex(16)
        temporary.write_bytes(content)
        return self.adopt(temporary, name, len(content))

    def adopt(self, spooled: Path, sha256: str, size: int) -> str:
        """Turn a spooled file into a blob, durably. Returns the blob's name. Raises OSError.

        `spooled` must be on the same file system; it is gone afterwards. The caller has computed
        `sha256` while the bytes arrived; the size is checked again here.
        """
        target = self.path(sha256)
        if spooled.stat().st_size != size:
            raise SpoolDamaged(f"a spooled body has {spooled.stat().st_size} bytes, {size} were received")
        if self._reuse(target, size):
            if not spooled.samefile(target):
                spooled.unlink()
            return sha256
        self._failpoint("blob-before-sync")
        sync_file(spooled)
        self._make_folder(target.parent)
        self._failpoint("blob-before-rename")
        spooled.replace(target)
        self._failpoint("blob-before-folder-sync")
        sync_folder(target.parent)
        self._failpoint("blob-done")
        return sha256

    def _reuse(self, target: Path, size: int) -> bool:
        """Take the blob that is there already, touched so that no sweep takes it before our row is committed."""
        try:
            os.utime(target)
            if target.stat().st_size != size:
                return False
            # It may have been renamed by a process that died before it synced the folder.
            sync_folder(target.parent)
        except FileNotFoundError:
            return False
        return True

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            sync_folder(self.folder)

    def _names(self) -> Iterator[Path]:
        for folder in sorted(self.folder.iterdir()):
            if folder.name != self.new.name and folder.is_dir():
                yield from (path for path in folder.iterdir() if NAME.fullmatch(path.name))

    def old(self, now: datetime) -> list[str]:
        """Names of blobs that nobody put or touched for a day."""
        return [path.name for path in self._names() if is_old(path, now)]

    def discard(self, _conn: Connection, names: Sequence[str], now: datetime) -> list[str]:
        """Inside the writer's transaction: delete those of `names` that are old. Returns them."""
        free = [name for name in names if is_old(self.path(name), now)]
        for name in free:
            self.path(name).unlink(missing_ok=True)
        return free


def is_old(path: Path, now: datetime) -> bool:
    """Was the file last touched more than a day ago? False when it is gone."""
    try:
        return path.stat().st_mtime < (now - ORPHAN_AGE).timestamp()
    except FileNotFoundError:
        return False


def sweep_folder(folder: Path, now: datetime) -> int:
    """Delete the files of a spool folder that were last touched more than a day ago. Returns how many."""
    leftovers = [path for path in folder.iterdir() if path.is_file() and is_old(path, now)]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)
