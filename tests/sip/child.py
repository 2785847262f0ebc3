"""The gateway as a process that is killed: child.py VAR SETTINGS CONFIG."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from gateway import calls
from gateway.app import Gateway
from gateway.settings_files import load
from tests.twilio.provider import HELD


def main() -> None:
    """Run until SIGTERM."""

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        calls.WITHIN = HELD
        settings = load(Path(sys.argv[3]), overrides=json.loads(sys.argv[2]))
        await Gateway(settings, var=Path(sys.argv[1])).run(stop)

    asyncio.run(run())


if __name__ == "__main__":
    main()
