"""A process that accepts mails and is killed: `python -m tests.gateway.store.child FOLDER URL …`.

It says on standard output what it is about to accept ("received ID"), what it acknowledges
("250 ID") and that it stands at a fail point ("at NAME"); there it waits to be killed.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import os
import resource
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from channels.contract import Cursor, Unavailable
from gateway.store.blobs import Blobs
from gateway.store.database import Database, Limits, open_database
from gateway.store.failpoints import FailPoint
from normalizer.message import INLINE_LIMIT, RawMessage
from tests.gateway.databases import blobs_of
from tests.gateway.store.mails import accept, mail, spooled

BIG_EVERY = 5


def content_of(number: int) -> bytes:
    """The same bytes in every process. Each fifth is too big for a row; 20 and 40 are one blob."""
    if number % BIG_EVERY:
        return f"Subject: mail {number}\r\n\r\n{'help ' * (number % 50)}\r\n".encode()
    seed = hashlib.sha256(str(number % 20).encode()).digest()
    return seed * (INLINE_LIMIT // len(seed) + 1) + (b"" if number % 20 == 0 else str(number).encode())


def message(number: int, spool: Path) -> RawMessage:
    content = content_of(number)
    return spooled(number, content, spool) if len(content) > INLINE_LIMIT else mail(number, content)


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def stop_at(name: str, nth: int) -> FailPoint:
    """A fail point that waits for SIGKILL when `name` is passed for the nth time."""
    passes = itertools.count(1)

    def failpoint(passed: str) -> None:
        if passed == name and next(passes) == nth:
            say(f"at {name}")
            threading.Event().wait()

    return failpoint


async def send(db: Database, blobs: Blobs, spool: Path, numbers: Sequence[int], senders: int) -> list[int]:
    """Accept all mails by some concurrent senders. Returns those that were refused for now."""
    refused: list[int] = []
    waiting = iter(numbers)

    async def sender(name: str) -> None:
        for number in waiting:
            raw = message(number, spool)
            say(f"received {number}")
            try:
                cursor = Cursor(channel="mail", account="support", name=name, value=str(number))
                await accept(db, blobs, raw, cursor)
            except (Unavailable, OSError):
                refused.append(number)
                say(f"451 {number}")
            else:
                say(f"250 {number}")

    await asyncio.gather(*(sender(f"sender {n}") for n in range(senders)))
    return refused


async def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("folder", type=Path)
    options.add_argument("url")
    options.add_argument("--mails", type=int, default=60)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--senders", type=int, default=8)
    options.add_argument("--small", action="store_true", help="no big mails")
    options.add_argument("--stop-at", default="")
    options.add_argument("--nth", type=int, default=1)
    options.add_argument("--disk", type=int, default=0, help="bytes that a file may have; then the disk is full")
    given = options.parse_args()
    failpoint = stop_at(given.stop_at, given.nth)
    blobs = blobs_of(given.url, given.folder / "blobs", failpoint)
    limits = Limits(probe_first=0.01, probe_limit=0.02)
    if given.disk:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (given.disk, resource.RLIM_INFINITY))
    db = open_database(given.url, failpoint=failpoint, limits=limits)
    wanted = (number for number in itertools.count(given.first) if number % BIG_EVERY or not given.small)
    numbers = list(itertools.islice(wanted, given.mails))
    refused = await send(db, blobs, given.folder / "spool", numbers, given.senders)
    if given.disk:
        say(f"healthy {db.healthy} failed {db.stats.failed_commits}")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        while not db.healthy:  # noqa: ASYNC110 - the writer's thread tells nobody
            await asyncio.sleep(0.01)
        await send(db, blobs, given.folder / "spool", refused, given.senders)
    say(f"commits {db.stats.urgent_commits} jobs {db.stats.urgent_jobs}")
    await db.close()


if __name__ == "__main__":
    asyncio.run(main())
