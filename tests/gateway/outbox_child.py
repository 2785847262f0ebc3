"""A gateway that only sends, as a process of its own: `python -m tests.gateway.outbox_child FOLDER URL [FAIL POINT]`.

It kills itself with SIGKILL at the fail point; without one it ends when nothing is left to send.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from gateway.capture import CaptureSender
from gateway.metrics import Metrics
from gateway.outbox import Outbox
from gateway.store import outbox
from gateway.store.database import open_database
from tests.gateway.outgoing import FileSender, Told, context, render


async def main(folder: Path, url: str, kill_at: str) -> None:
    db = open_database(url, readers=1, busy_timeout=60.0)

    def failpoint(name: str) -> None:
        if name == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    engine = Outbox(
        db,
        context(),
        senders={("mail", "support"): FileSender(folder / "sent.txt")},
        capture=CaptureSender(folder),
        render=render,
        clock=lambda: datetime.now(UTC),
        random=Random(),
        owner="host:1",
        metrics=Metrics(),
        compose=Told(),
        failpoint=failpoint,
    )
    stop = asyncio.Event()
    loop = asyncio.create_task(engine.run(stop))
    async with asyncio.timeout(80):
        while (counts := await db.read(outbox.open_counts))["waiting"] or counts["sending"]:  # noqa: ASYNC110  rows of a database
            await asyncio.sleep(0.05)
    stop.set()
    await loop
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else ""))
