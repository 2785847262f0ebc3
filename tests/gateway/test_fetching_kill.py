"""SIGKILL at every step of fetching a file: it is here after the next start, once."""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.store.blobs import Blobs
from gateway.store.database import migrate, open_database
from tests.gateway.conftest import FrozenClock
from tests.gateway.fetching_desk import FetchingDesk, photo
from tests.gateway.filing_desk import context

ROOT = Path(__file__).parents[2]


async def gateway(folder: Path, *kill_at: str) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.gateway.fetching_child", str(folder), *kill_at, cwd=ROOT
    )
    return await asyncio.wait_for(process.wait(), 90)


@pytest.mark.parametrize("kill_at", ["media-fetched", "media-adopted"])
async def test_a_file_that_was_being_fetched_comes_after_the_next_start(tmp_path: Path, kill_at: str) -> None:
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    await asyncio.to_thread(migrate, url, backup_to=tmp_path / "backups")
    db = open_database(url)
    desk = FetchingDesk(db, Blobs(tmp_path / "blobs"), FrozenClock(datetime.now(UTC)), context(), tmp_path)
    filed = await desk.with_files(photo())
    await db.close()

    assert await gateway(tmp_path, kill_at) == -signal.SIGKILL
    db = open_database(url)
    desk.db = db
    assert [file.state for file in await desk.files()] == ["pending"]
    assert [row.state for row in await desk.media()] == ["fetching"]
    await db.close()

    assert await gateway(tmp_path) == 0
    desk.db = open_database(url)
    (file,) = await desk.files()
    assert file.state == "here"
    assert desk.blobs.path(file.blob).read_bytes() == b"a roof"
    assert len(await desk.data(filed.ticket_id, "media")) == 1
    await desk.db.close()
