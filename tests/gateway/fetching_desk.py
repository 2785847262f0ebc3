"""What the tests of fetching are built from: a desk whose messages name files, and a far side that has them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Row, select

from channels.contract import Fetched, FetchFailed
from gateway.context import Context
from gateway.fetching import Fetching
from gateway.filing import Filed
from gateway.store import schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.store.failpoints import FailPoint, nowhere
from normalizer.message import Attachment
from router.assignment import Assignment
from tests.gateway.conftest import FrozenClock
from tests.gateway.filing_desk import Desk
from tests.gateway.patience import PATIENCE
from tests.gateway.planted import said

ACCOUNT = ("mail", "support")


def photo(source: str = "photo", size: int = 5, **values: Any) -> Attachment:
    """A file that is only named."""
    given = {"filename": f"{source}.jpg", "content_type": "image/jpeg", **values}
    return Attachment(size=size, sha256="", source=source, **given)


def voice(source: str = "voice") -> Attachment:
    """A voice message."""
    return photo(source, filename="voice_message.ogg", content_type="audio/ogg")


class FarSide:
    """Has files by their source; a plan says what goes wrong first."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self.contents = dict(contents)
        self.plan: dict[str, list[Exception]] = {}
        self.gate: asyncio.Event | None = None
        self.asked: list[str] = []
        self.spoken: set[str] = set()
        """Sources of which it is known that somebody speaks there, whatever their type says."""
        self.under_way = self.most = 0

    async def fetch(self, source: str, limit: int, into: Path) -> Fetched:
        self.asked.append(source)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.plan.get(source):
                raise self.plan[source].pop(0)
            content = self.contents[source]
            if len(content) > limit:
                raise FetchFailed("too big", permanent=True, too_big=True)
            path = into / f"fetched-{len(self.asked)}"
            path.write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            return Fetched(path=path, content_type="", size=len(content), sha256=digest, spoken=source in self.spoken)
        finally:
            self.under_way -= 1


class FetchingDesk(Desk):
    """A desk with the loop that fetches."""

    def __init__(self, db: Database, blobs: Blobs, clock: FrozenClock, ctx: Context, folder: Path) -> None:
        super().__init__(db, blobs, clock, ctx)
        self.far = FarSide({"photo": b"a roof", "voice": b"OggS words", "note": b"a face and words"})
        self.spool = folder / "spool"
        self.spool.mkdir(exist_ok=True)
        self.woken = 0
        self.loop = self.fetching()

    def fetching(self, failpoint: FailPoint = nowhere, **fetchers: Any) -> Fetching:
        def after() -> None:
            self.woken += 1

        return Fetching(
            self.db, self.ctx, fetchers={ACCOUNT: self.far}, blobs=self.blobs, spool=self.spool, clock=self.clock,
            random=Random(1), owner="host:1", after=after, failpoint=failpoint,
        )  # fmt: skip

    async def with_files(self, *files: Attachment, assignment: Assignment | None = None, **values: Any) -> Filed:
        """A message that names files becomes a ticket."""
        return await self.receive(replace(said(**values), attachments=files), assignment)

    async def once(self) -> None:
        """Fetch until there is nothing more to do now."""
        while await self.loop.claim():
            await asyncio.wait_for(asyncio.gather(*self.loop._tasks), PATIENCE)

    async def files(self) -> list[Row[Any]]:
        table = schema.attachment
        return list(await self.db.read(lambda conn: conn.execute(select(table).order_by(table.c.id)).all()))

    async def data(self, ticket_id: int | None, kind: str) -> list[dict[str, Any]]:
        return [event.data for event in await self.events(ticket_id) if event.kind == kind]

    async def media(self) -> list[Row[Any]]:
        table = schema.metadata.tables["media"]
        return list(await self.db.read(lambda conn: conn.execute(select(table).order_by(table.c.id)).all()))
