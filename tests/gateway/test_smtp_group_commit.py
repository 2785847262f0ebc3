"""Group commit where it counts: fifty connections of the SMTP port, the real journal behind it."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest

from channels.mail.listener import SmtpListener
from channels.mail.settings import SmtpOptions
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.workers import Limits, WorkerPool
from router.policy import Policy
from tests.channels.mail.support import ACCOUNTS, Client, letter
from tests.gateway.filing_desk import context
from tests.gateway.patience import PATIENCE
from tests.gateway.test_pipeline import Running

SENDERS, EACH = 50, 20


async def send(host: str, port: int, sender: int) -> None:
    """One sender on one connection: the next mail goes when the one before has its 250."""
    client = await Client.to(host, port)
    await client.hello()
    for number in range(EACH):
        assert (await client.mail(letter(f"{sender}-{number}"))).startswith("250 ")
    await client.close()


@pytest.mark.parametrize("filing", [False, True], ids=["accepting alone", "while filing goes on"])
async def test_fifty_connections_need_one_commit_for_ten_accepts_at_most(
    db: Database, blobs: Blobs, tmp_path: Path, filing: bool
) -> None:
    pool = WorkerPool(count=1, limits=Limits(seconds=PATIENCE), blobs=blobs.folder, policy=Policy())
    await pool.start()
    story, numbers = Running(db, blobs, pool, context()), itertools.count(1)
    listener = SmtpListener(
        ACCOUNTS,
        SmtpOptions.model_validate({"port": 0, "connections_per_client": SENDERS}),
        clock=lambda: datetime.now(UTC),
        spool=tmp_path / "spool",
        unique=lambda: f"u{next(numbers)}",
    )
    await listener.start(story.pipeline.accept)
    try:
        if filing:
            story.start()
        host, _, port = listener.listening()["smtp"].rpartition(":")
        await asyncio.gather(*(send(host, int(port), sender) for sender in range(SENDERS)))
        commits, jobs = db.stats.urgent_commits, db.stats.urgent_jobs
    finally:
        await listener.stop()
        await story.stop()
        await pool.stop()
    print(f"{jobs} accepts in {commits} commits")
    assert jobs == SENDERS * EACH
    assert commits <= jobs / 10
