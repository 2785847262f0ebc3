"""The gateway as a process whose clock begins at a given time, and that kills itself at a fail point, once a file
is there where one is named: calling_child.py VAR SETTINGS POINT CONFIG TIME [FILE]."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import datetime
from pathlib import Path

from gateway.app import Gateway
from gateway.settings_files import load
from tests.twilio.calling import Clock


def main() -> None:
    """Run until the point is reached."""
    var, settings, point, config, began, *flags = sys.argv[1:]

    def failpoint(name: str) -> None:
        if name == point and all(Path(flag).exists() for flag in flags):
            os.killpg(os.getpgrp(), signal.SIGKILL)

    async def run() -> None:
        configuration = load(Path(config), overrides=json.loads(settings))
        clock = Clock(datetime.fromisoformat(began))
        await Gateway(configuration, var=Path(var), clock=clock, failpoint=failpoint).run(asyncio.Event())

    asyncio.run(run())


if __name__ == "__main__":
    main()
