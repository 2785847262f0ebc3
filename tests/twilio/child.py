"""The gateway as a process that kills itself at a fail point: child.py VAR SETTINGS POINT."""

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
    """Run until SIGTERM, or until the point is reached."""

    def failpoint(name: str) -> None:
        if name == sys.argv[3]:
            os.killpg(os.getpgrp(), signal.SIGKILL)

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        settings = load(Path("config"), overrides=json.loads(sys.argv[2]))
        await Gateway(settings, var=Path(sys.argv[1]), failpoint=failpoint).run(stop)

    asyncio.run(run())


if __name__ == "__main__":
    main()
