"""A gateway that only fetches, as a process of its own: `… -m tests.gateway.fetching_child FOLDER URL [FAIL POINT]`.

It kills itself with SIGKILL at the fail point; without one it ends when nothing is left to fetch.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from gateway.fetching import Fetching
from gateway.store import media
from gateway.store.database import open_database
from tests.gateway.databases import blobs_of
from tests.gateway.fetching_desk import ACCOUNT, FarSide
from tests.gateway.filing_desk import context


async def main(folder: Path, url: str, kill_at: str) -> None:
    db = open_database(url, readers=1, busy_timeout=60.0)

    def failpoint(name: str) -> None:
        if name == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    (folder / "spool").mkdir(exist_ok=True)
    loop = Fetching(
        db, context(), fetchers={ACCOUNT: FarSide({"photo": b"a roof"})},
        blobs=blobs_of(url, folder / "blobs", failpoint), spool=folder / "spool", clock=lambda: datetime.now(UTC),
        random=Random(), owner="host:1", after=lambda: None, failpoint=failpoint,
    )  # fmt: skip
    stop = asyncio.Event()
    running = asyncio.create_task(loop.run(stop))
    async with asyncio.timeout(80):
        while (await db.read(media.waiting_since))[0]:  # noqa: ASYNC110  rows of a database
            await asyncio.sleep(0.05)
    stop.set()
    await running
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else ""))
