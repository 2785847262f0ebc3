"""One node of several, which stops itself (SIGSTOP) or kills itself at a named point, and whose clock may be wrong.

Usage: node_child.py CONFIG VAR FAILPOINT|- COUNT SIGNAL AHEAD KEY=VALUE… — the signal at the COUNT-th pass of the
point; AHEAD: seconds that its clock is ahead of the machine's.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.app import Gateway
from gateway.log import configure
from gateway.settings_files import load


def main() -> None:
    config, var, point, left, signum = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
    ahead = timedelta(seconds=float(sys.argv[6]))
    configure("info", format="json")

    def failpoint(name: str) -> None:
        nonlocal left
        if name == point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.Signals[signum])

    async def run() -> None:
        stop = asyncio.Event()
        for ending in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(ending, stop.set)
        gateway = Gateway(
            load(config, overrides=tuple(sys.argv[7:])), var=var, failpoint=failpoint,
            clock=lambda: datetime.now(UTC) + ahead,
        )  # fmt: skip
        await gateway.run(stop)

    asyncio.run(run())


if __name__ == "__main__":
    main()
