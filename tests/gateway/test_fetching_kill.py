"""SIGKILL at every step of fetching a file: it is here after the next start, once."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from gateway.store import schema
from gateway.store.database import open_database
from gateway.store.shared_blobs import SharedBlobs
from tests import ready
from tests.gateway.conftest import FrozenClock
from tests.gateway.databases import blobs_of
from tests.gateway.fetching_desk import FetchingDesk, photo
from tests.gateway.filing_desk import context
from tests.gateway.patience import PATIENCE

ROOT = Path(__file__).parents[2]


async def gateway(folder: Path, url: str, *kill_at: str) -> int:
    process = ready.process("-m", "tests.gateway.fetching_child", str(folder), url, *kill_at)
    return await asyncio.wait_for(process.wait(), PATIENCE)


@pytest.mark.parametrize("kill_at", ["media-fetched", "media-adopted"])
async def test_a_file_that_was_being_fetched_comes_after_the_next_start(
    db_url: str, tmp_path: Path, kill_at: str
) -> None:
    db, blobs = open_database(db_url), blobs_of(db_url, tmp_path / "blobs")
    desk = FetchingDesk(db, blobs, FrozenClock(datetime.now(UTC)), context(), tmp_path)
    filed = await desk.with_files(photo())
    await db.close()

    assert await gateway(tmp_path, db_url, kill_at) == -signal.SIGKILL
    db = open_database(db_url)
    desk.db = db
    assert [file.state for file in await desk.files()] == ["pending"]
    assert [row.state for row in await desk.media()] == ["fetching"]
    if db.shared:  # nobody knows which node is dead: its claim is over when its time is
        await db.write(lambda conn: conn.execute(update(schema.media).values(due_at=desk.clock())))
    await db.close()

    assert await gateway(tmp_path, db_url) == 0
    desk.db = open_database(db_url)
    (file,) = await desk.files()
    assert file.state == "here"
    assert desk.blobs.local(file.blob).read_bytes() == b"a roof"
    assert len(await desk.data(filed.ticket_id, "media")) == 1
    await desk.db.close()
    if isinstance(blobs, SharedBlobs):
        blobs.close()
