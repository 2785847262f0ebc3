"""The gateway as a process that kills itself at a named fail point.

Usage: server.py CONFIG VAR [FAILPOINT COUNT] — SIGKILL at the COUNT-th time the point is passed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from gateway import calls
from gateway.app import Gateway
from gateway.settings_files import load

ANSWERED = 20.0
"""Seconds that a caller waits for an answer: a disk that stands still is tested elsewhere, and is none of a kill's."""
OVERRIDES = (
    "smtp.port=0", "http.port=0", "workers.count=2",
    # The brakes on automatic mail are tested elsewhere; here every ticket shall be answered.
    "caps.per_account_minute=1000000", "caps.per_address_minute=1000000", "caps.per_address_day=1000000",
)  # fmt: skip


def main() -> None:
    calls.WITHIN = ANSWERED
    config, var = Path(sys.argv[1]), Path(sys.argv[2])
    point, left = (sys.argv[3], int(sys.argv[4])) if len(sys.argv) > 3 else ("", 0)

    def failpoint(name: str) -> None:
        nonlocal left
        if name == point:
            left -= 1
            if left <= 0:
                os.killpg(os.getpgrp(), signal.SIGKILL)

    async def run() -> None:
        stop = asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
        gateway = Gateway(load(config, overrides=OVERRIDES), var=var, failpoint=failpoint)
        await gateway.run(stop)

    asyncio.run(run())


if __name__ == "__main__":
    main()
