"""The gateway as a process that kills itself at a named fail point.

Usage: child.py VAR SETTINGS [POINT] — SIGKILL for the whole group when the point is passed.
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


def main() -> None:
    """Run until SIGTERM."""
    point = sys.argv[3] if len(sys.argv) > 3 else ""

    def failpoint(name: str) -> None:
        if name == point:
            os.killpg(os.getpgrp(), signal.SIGKILL)

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        settings = load(Path("config"), overrides=json.loads(sys.argv[2]))
        await Gateway(settings, var=Path(sys.argv[1]), failpoint=failpoint).run(stop)

    asyncio.run(run())


if __name__ == "__main__":
    main()
