"""Raw messages for the tests of the store, and what the store keeps of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from channels.contract import Accepted, Cursor
from gateway.store import journal
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.store.schema import entry
from gateway.store.schema import raw as raw_table
from normalizer.message import InlineBody, RawMessage, SpooledBody

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def mail(number: int | str, content: bytes = b"", **changes: Any) -> RawMessage:
    """A small mail whose id and content follow from `number`."""
    content = content or f"Subject: mail {number}\r\n\r\nHelp with {number}.\r\n".encode()
    values: dict[str, Any] = {
        "channel": "mail",
        "account": "support",
        "format": "mail/1",
        "external_id": f"{number}@sender.example",
        "fingerprint": hashlib.sha256(content).hexdigest(),
        "peer": f"person{number}@sender.example",
        "received_at": NOW,
        "body": InlineBody(content=content),
        "facts": {"transport": "smtp", "rcpt_to": ["support@desk.example"], "tls": False},
        "deliveries": (("support", "support@desk.example"),),
    }
    return RawMessage(**(values | changes))


def spooled(number: int | str, content: bytes, folder: Path) -> RawMessage:
    """A mail whose body is a spool file, as a channel leaves it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{number}.part"
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return mail(number, content, body=SpooledBody(path=path, size=len(content), sha256=digest))


def recording(raw: RawMessage, blobs: Blobs, now: datetime = NOW) -> Callable[[Connection], list[Accepted]]:
    """The writer's job of an accept."""
    return partial(journal.record, raws=[raw], cursor=None, now=now, blobs=blobs)


async def accept(db: Database, blobs: Blobs, raw: RawMessage, cursor: Cursor | None = None) -> Accepted:
    """Both steps of an accept."""
    prepared = await asyncio.to_thread(journal.prepare, [raw], blobs)
    job = partial(journal.record, raws=prepared, cursor=cursor, now=NOW, blobs=blobs)
    return (await db.write(job, urgent=True))[0]


def digests(conn: Connection, blobs: Blobs) -> dict[str, str]:
    """External id -> SHA-256 of the bytes that are kept, read from where they are kept."""
    query = select(entry.c.external_id, entry.c.blob, raw_table.c.content)
    kept = conn.execute(query.outerjoin(raw_table, raw_table.c.entry_id == entry.c.id)).all()
    bodies = {row.external_id: blobs.local(row.blob).read_bytes() if row.blob else row.content for row in kept}
    assert len(bodies) == len(kept), "an external id has two rows"
    return {name: hashlib.sha256(body).hexdigest() for name, body in bodies.items()}
