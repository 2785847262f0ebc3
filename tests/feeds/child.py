"""A gateway beside a store that kills itself at a fail point.

Usage: child.py VAR SETTINGS [POINT [COUNT]] — SIGKILL for the whole group when POINT is passed
for the COUNT-th time (1).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from gateway.app import Gateway
from gateway.settings_files import load
from tests.feeds.shelf_feed import registered


def main() -> None:
    """Run until SIGTERM, or until the point."""
    point, *count = *sys.argv[3:5], ""
    left = int(count[0] or 1) if count else 1

    def failpoint(name: str) -> None:
        nonlocal left
        if name == point:
            left -= 1
            if left == 0:
                os.killpg(os.getpgrp(), signal.SIGKILL)

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        configuration = load(Path("config"), overrides=json.loads(sys.argv[2]))
        await Gateway(configuration, var=Path(sys.argv[1]), failpoint=failpoint).run(stop)

    with registered():
        asyncio.run(run())


if __name__ == "__main__":
    main()
