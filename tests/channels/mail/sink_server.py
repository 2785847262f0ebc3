"""The SMTP port in a process of its own, with an intake that keeps nothing. Prints its port; stops at the end of stdin.

Usage: sink_server.py FOLDER
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from channels.contract import Accepted, Cursor
from channels.mail.listener import SmtpListener
from channels.mail.settings import MailAccount, SmtpOptions
from normalizer.message import RawMessage, SpooledBody


async def main(folder: Path) -> None:
    numbers = itertools.count(1)

    async def forget(raws: Sequence[RawMessage], cursor: Cursor | None = None, /) -> Sequence[Accepted]:
        for raw in raws:
            if isinstance(raw.body, SpooledBody):
                print(raw.body.sha256, raw.body.size, flush=True)
        return [Accepted(entry=1, duplicate=False) for _ in raws]

    listener = SmtpListener(
        {"support": MailAccount.model_validate({"addresses": ["support@desk.example"]})},
        SmtpOptions.model_validate({"port": 0}),
        clock=lambda: datetime.now(UTC),
        spool=folder,
        unique=lambda: str(next(numbers)),
    )
    await listener.start(forget)
    print(listener.listening()["smtp"], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await listener.stop()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
