"""Deleting the blobs that nothing names any more (rule 4)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, select

from gateway.store import schema
from gateway.store.blobs import Blobs, sweep_folder
from gateway.store.database import Database

SWEEP_CHUNK = 8
"""Blobs deleted in one transaction of the writer."""


async def sweep(db: Database, blobs: Blobs, *, now: datetime) -> int:
    """Delete the blobs that are older than a day and that no row names. Returns how many."""
    await asyncio.to_thread(sweep_folder, blobs.new, now)
    candidates = await asyncio.to_thread(blobs.old, now)
    removed = 0
    for start in range(0, len(candidates), SWEEP_CHUNK):
        free = await db.read(partial(unreferenced, names=candidates[start : start + SWEEP_CHUNK]))
        if free:
            removed += len(await db.write(partial(remove, blobs=blobs, names=free, now=now)))
    return removed


def remove(conn: Connection, blobs: Blobs, names: Sequence[str], now: datetime) -> list[str]:
    """Inside the writer's transaction: delete those of `names` that are old and that no row names."""
    return blobs.discard(conn, unreferenced(conn, names), now)


def unreferenced(conn: Connection, names: Iterable[str]) -> list[str]:
    """Those of `names` that neither a journal entry nor an attachment names."""
    wanted = set(names)
    for column in (schema.entry.c.blob, schema.attachment.c.blob):
        wanted -= set(conn.execute(select(column).where(column.in_(sorted(wanted)))).scalars())
    return sorted(wanted)
