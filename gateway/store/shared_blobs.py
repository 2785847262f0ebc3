"""Blobs in PostgreSQL, for several nodes that share no folder (rule 4).

Each node keeps a folder of its own: what it puts goes there and into the database before anybody is
told that it is kept; what it needs and does not have is fetched. A folder is a cache: it may be lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from secrets import token_hex

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from gateway.store.blobs import ORPHAN_AGE, Blobs, is_old, sync_file
from gateway.store.dialect import database_clock, insert_new
from gateway.store.failpoints import FailPoint, nowhere
from gateway.store.schema import blob, blob_content

CHUNK = 1 << 20
"""Bytes in one row: what is in memory at a time."""
CONNECTIONS = 2


class BlobsAway(OSError):
    """The database could not take or give a blob now."""


class SharedBlobs(Blobs):
    """A folder in front of the tables `blob` and `blob_content`. Every method blocks: call them in a thread."""

    def __init__(self, folder: Path, url: str, *, failpoint: FailPoint = nowhere) -> None:
        """Make the folder where it is missing; connect at first use. Raises OSError."""
        super().__init__(folder, failpoint=failpoint)
        from gateway.store.postgres import make_engine  # loads the driver

        self._engine = make_engine(url, "writer", pool_size=CONNECTIONS)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def adopt(self, spooled: Path, sha256: str, size: int) -> str:
        """As the folder does it, and committed in the database when this returns. Raises OSError."""
        name = super().adopt(spooled, sha256, size)
        self.publish([name])
        return name

    def publish(self, names: Iterable[str]) -> None:
        """Commit blobs of the folder to the database; those that are there are touched. Raises OSError."""
        for name in dict.fromkeys(names):
            try:
                with self._engine.begin() as conn:
                    self._publish(conn, name)
            except SQLAlchemyError as error:
                raise BlobsAway(f"a blob could not be stored: {type(error).__name__}") from error

    def _publish(self, conn: Connection, name: str) -> None:
        now = database_clock(conn)
        if conn.execute(update(blob).where(blob.c.name == name).values(touched_at=now)).rowcount:
            return
        path = self.path(name)
        if insert_new(conn, blob, {"name": name, "size": path.stat().st_size, "touched_at": now}) is None:
            return  # another node was faster and has committed it
        for number, content in enumerate(_chunks(path)):
            conn.execute(insert(blob_content), {"name": name, "number": number, "content": content})

    def local(self, name: str) -> Path:
        """The file of the blob, fetched when it is not here; a blob that is nowhere has no file. Raises OSError."""
        path = self.path(name)
        if not path.is_file():
            try:
                with self._engine.connect() as conn:
                    self._fetch(conn, name, path)
            except SQLAlchemyError as error:
                raise BlobsAway(f"a blob could not be read: {type(error).__name__}") from error
        return path

    def _fetch(self, conn: Connection, name: str, path: Path) -> None:
        size = conn.scalar(select(blob.c.size).where(blob.c.name == name))
        if size is None:
            return
        temporary = self.new / token_hex(16)
        content = select(blob_content.c.content).where(blob_content.c.name == name)
        with temporary.open("wb") as file:
            number = 0
            while (chunk := conn.scalar(content.where(blob_content.c.number == number))) is not None:
                file.write(chunk)
                number += 1
        if temporary.stat().st_size != size:
            temporary.unlink()
            raise BlobsAway("a blob in the database is not complete")
        # The name is believed without reading: after a loss of power it must not stand for an empty file.
        sync_file(temporary)
        path.parent.mkdir(exist_ok=True)
        temporary.replace(path)

    def old(self, now: datetime) -> list[str]:
        """Names of blobs that nobody put or touched for a day, by the database's clock. Files that old go at once:
        they are copies."""
        for path in self._names():
            if is_old(path, now):
                path.unlink(missing_ok=True)
        try:
            with self._engine.connect() as conn:
                limit = database_clock(conn) - ORPHAN_AGE
                return list(conn.scalars(select(blob.c.name).where(blob.c.touched_at < limit)))
        except SQLAlchemyError as error:
            raise BlobsAway(f"blobs could not be listed: {type(error).__name__}") from error

    def discard(self, conn: Connection, names: Sequence[str], now: datetime) -> list[str]:
        """Inside the writer's transaction: delete those of `names` that are old by the database's clock."""
        limit = database_clock(conn) - ORPHAN_AGE
        stale = select(blob.c.name).where(blob.c.name.in_(names), blob.c.touched_at < limit)
        free = sorted(conn.scalars(stale.with_for_update(skip_locked=True)))
        conn.execute(delete(blob_content).where(blob_content.c.name.in_(free)))
        conn.execute(delete(blob).where(blob.c.name.in_(free)))
        for name in free:
            self.path(name).unlink(missing_ok=True)
        return free


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while content := file.read(CHUNK):
            yield content
