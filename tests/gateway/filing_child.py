"""A process that files a journal and kills itself at a fail point: `folder [point count]`.

The first call accepts the messages; every call files what is pending and says "settled".
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select

from gateway.store import schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database, open_database
from gateway.workers import Limits, WorkerPool
from normalizer.message import RawMessage
from router.policy import Policy
from tests.gateway.filing_desk import context
from tests.gateway.planted import SPEC
from tests.gateway.test_pipeline import Pipeline, message, raw

COUNT = 60
"""Messages: every third answers the one before it, and one cannot be read."""


def messages() -> list[RawMessage]:
    """What is accepted, the same in every process."""
    made: list[RawMessage] = []
    for number in range(COUNT):
        answered = {"references": [f"{number - 1}@client.example"]} if number % 3 == 2 else {}
        made.append(message(number, **answered))
    return [*made, raw("poison", "raise")]


class Bomb:
    """Kills the process when it passes the point for the `count`th time; armed once."""

    def __init__(self, point: str, count: int) -> None:
        self.point, self.left, self.armed = point, count, False

    def __call__(self, name: str) -> None:
        if self.armed and name == self.point:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)


async def settled(db: Database) -> None:
    """Wait until nothing is pending."""
    query = select(func.count()).select_from(schema.entry).where(schema.entry.c.state == "pending")
    async with asyncio.timeout(80):
        while await db.read(lambda conn: conn.execute(query).scalar_one()):  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.02)


async def main(folder: Path, url: str, bomb: Bomb) -> None:
    db = open_database(url, failpoint=bomb, busy_timeout=60.0)
    blobs = Blobs(folder / "blobs")
    pool = WorkerPool(
        count=1, limits=Limits(seconds=60, memory=512 << 20), blobs=blobs.folder, policy=Policy(), parsers=SPEC
    )
    await pool.start()
    pipeline = Pipeline(
        db=db,
        blobs=blobs,
        pool=pool,
        ctx=context(journal={"backoff": "0s"}),
        clock=lambda: datetime.now(UTC),
        failpoint=bomb,
    )
    await pipeline.accept(messages())
    bomb.armed = True
    stop = asyncio.Event()
    running = asyncio.create_task(pipeline.run(stop))
    await settled(db)
    stop.set()
    await running
    await pool.stop()
    await db.close()
    print(json.dumps("settled"))


if __name__ == "__main__":
    arguments = sys.argv[3:]
    chosen = Bomb(arguments[0], int(arguments[1])) if arguments else Bomb("", 0)
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], chosen))
