"""The gateway as a process that kills itself between two steps of a mailbox.

Usage: child.py VAR SETTINGS [POINT COUNT] — SIGKILL when the method POINT of an IMAP session is called for the
COUNT-th time, before anything goes over the wire.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from channels.mail.imap_session import Session
from gateway.app import Gateway
from gateway.settings_files import load


def die_at(point: str, left: int) -> None:
    """Make the session's method `point` the end of this process."""
    whole = getattr(Session, point)

    def dying(*given: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left <= 0:
            os.killpg(os.getpgrp(), signal.SIGKILL)
        return whole(*given, **named)

    setattr(Session, point, dying)


def main() -> None:
    """Run until SIGTERM."""
    if len(sys.argv) > 3:
        die_at(sys.argv[3], int(sys.argv[4]))

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        settings = load(Path("config"), overrides=json.loads(sys.argv[2]))
        await Gateway(settings, var=Path(sys.argv[1])).run(stop)

    asyncio.run(run())


if __name__ == "__main__":
    main()
