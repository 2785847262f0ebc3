"""Every update that the parser has a case for goes through journal, worker and filing: none is lost, none is poison."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select

from channels.telegram.inbound import raw_message
from gateway.pipeline import Pipeline
from gateway.store import schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.workers import Limits, WorkerPool
from normalizer.message import InlineBody
from router.policy import Policy
from tests.gateway.filing_desk import context
from tests.gateway.patience import PATIENCE
from tests.normalizer.telegram_cases import CASES, NAMES, wanted

BOT = 7000000001
FILED = {
    "Message": {"opened", "appended", "joined", "revised", "repeated", "thanks", "unverified", "rating"},
    "Command": {"command"},
    "Rating": {"rating"},
    "Reachability": {"reachability"},
    "Moved": {"moved"},
    "Ignored": {"ignored"},
}
"""Kind of event -> what it may come to."""


def _number(name: str) -> int:
    """Of a case, in the place of what all of them have."""
    return 1000 + NAMES.index(name)


def _bodies() -> dict[str, bytes]:
    """Each case under a number of its own, as Telegram would give it; what is no update stays as it is."""
    found = {}
    for name in NAMES:
        body = (CASES / f"{name}.update").read_bytes()
        if not name.startswith("bytes_"):
            update = {**json.loads(body), "update_id": _number(name)}
            for kind, value in update.items():
                if isinstance(value, dict) and value.get("message_id") == 101:
                    update[kind] = {**value, "message_id": _number(name)}
            body = json.dumps(update).encode()
        found[name] = body
    return found


async def test_every_update_is_filed_or_left_for_a_reason(db: Database, blobs: Blobs) -> None:
    ctx = context(
        journal={"backoff": "0s"},
        channels={"telegram": {"desk": {"token": "env:HOME", "language": "uk"}}},
    )
    pool = WorkerPool(
        count=1, limits=Limits(seconds=PATIENCE, memory=512 << 20), blobs=blobs.folder, policy=Policy(),
    )  # fmt: skip
    await pool.start()
    filed, stop, now = asyncio.Event(), asyncio.Event(), datetime.now(UTC)
    pipeline = Pipeline(db=db, blobs=blobs, pool=pool, ctx=ctx, clock=lambda: now, after=filed.set)
    running = asyncio.create_task(pipeline.run(stop))
    try:
        accepted = {}
        for name, body in _bodies().items():
            raw = raw_message(
                body, account="desk", bot_id=BOT, body=InlineBody(content=body), now=now, facts=wanted(name)["facts"]
            )
            [entry] = await pipeline.accept([raw])
            accepted[name] = entry.entry
        rows = await _settled(db, filed)
    finally:
        stop.set()
        await running
        await pool.stop()
    assert {row.state for row in rows.values()} == {"done"}
    assert len(set(accepted.values())) == len(accepted)
    for name, entry in accepted.items():
        event, outcome = wanted(name)["event"], rows[entry].outcome
        assert outcome["kind"] in FILED[event["is"]], (name, outcome)
        if event["is"] == "Ignored":
            assert outcome["because"] == event["reason"], name
    messages = await db.read(lambda conn: conn.execute(select(schema.message.c.entry_id, schema.message.c.text)).all())
    texts = dict(map(tuple, messages))
    told = [name for name in accepted if rows[accepted[name]].outcome["kind"] in ("opened", "appended", "joined")]
    assert len(told) > 100
    for name in told:
        assert texts[accepted[name]].replace(f"_{_number(name)}", "_101") == wanted(name)["event"]["text"], name
    await _have_their_files(db, accepted)


async def _have_their_files(db: Database, accepted: dict[str, int]) -> None:
    """What is only named waits to be fetched; what cannot be is given up in its turn, so that the person is told."""
    joined = schema.attachment.join(schema.message, schema.message.c.id == schema.attachment.c.message_id)
    columns = (schema.message.c.entry_id, schema.attachment.c.state, schema.attachment.c.blob)
    rows = await db.read(lambda conn: conn.execute(select(*columns).select_from(joined)).all())
    found = {row.entry_id: (row.state, row.blob) for row in rows}
    assert found[accepted["document"]] == ("pending", None)
    assert found[accepted["document_too_big"]] == ("pending", None)
    assert found[accepted["document_without_a_file_id"]] == ("pending", None)


async def _settled(db: Database, filed: asyncio.Event) -> dict[int, Any]:
    """Entries by id, when nothing is pending any more."""
    async with asyncio.timeout(PATIENCE):
        while await db.read(_pending):
            filed.clear()
            if await db.read(_pending):
                await filed.wait()
    rows = await db.read(lambda conn: conn.execute(select(schema.entry)).all())
    return {row.id: row for row in rows}


def _pending(conn: Any) -> int:
    return int(conn.scalar(select(func.count()).select_from(schema.entry).where(schema.entry.c.state == "pending")))
