"""What makes a server one of several at a PostgreSQL. On SQLite there is one server, and none of this."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from channels.contract import Accepted, Clock, Cursor, Intake, Listener, Unavailable
from gateway.keyring import Keyring
from gateway.leases import Leases, Work, unique
from gateway.log import get_logger
from gateway.settings import Settings, database_url, secret_key
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.store.failpoints import FailPoint
from gateway.store.lock import ServerLock
from gateway.store.postgres_url import is_postgres_url
from gateway.store.shared_blobs import SharedBlobs
from normalizer.message import RawMessage

FAR = timedelta(seconds=10)
"""Clocks that are this near are taken for the same."""

log = get_logger(__name__)


class NoCommonKey(Exception):
    """Several nodes would each have a key of their own; the text says what to do."""


def lock_folder(stack: AsyncExitStack, var: Path) -> None:
    """One server for each data folder, and on SQLite one for each desk. Raises AlreadyRunning."""
    stack.enter_context(ServerLock(var / "lock"))


def common_keyring(settings: Settings, var: Path) -> Keyring:
    """The configured key, or that of the folder where no other node needs it. Raises NoCommonKey."""
    key = secret_key(settings)
    if key is not None:
        return Keyring(key)
    if is_postgres_url(database_url(settings, var.resolve())):
        raise NoCommonKey(
            "secret_key: on PostgreSQL every node needs the same key; write env:NAME or file:PATH "
            f"(the key of this folder is {var / 'key'})"
        )
    return Keyring.load(var / "key")


def open_blobs(stack: AsyncExitStack, db: Database, folder: Path, failpoint: FailPoint) -> Blobs:
    """The folder, or the folder in front of the database that the nodes share. Raises OSError."""
    if not db.shared:
        return Blobs(folder, failpoint=failpoint)
    shared = SharedBlobs(folder, db.url, failpoint=failpoint)
    stack.callback(shared.close)
    return shared


async def join(stack: AsyncExitStack, db: Database, settings: Settings) -> Leases | None:
    """Become a node, with a name that no other start of a server has; None where there is one server.

    Raises Unavailable.
    """
    if not db.shared:
        return None
    owner = unique(f"{socket.gethostname()}:{os.getpid()}", random.SystemRandom())
    leases = Leases(db, owner, settings.database.lease)
    await leases.start()
    stack.push_async_callback(leases.close)
    return leases


class CommonClock:
    """The clock of this machine, put right by the database's where it is far off: what one node writes down as due
    another has to find due."""

    def __init__(self, own: Clock) -> None:
        self._own = own
        self.ahead = timedelta()
        """How far our own clock is ahead; zero while it is near enough."""

    def __call__(self) -> datetime:
        """Now, UTC."""
        return self._own() - self.ahead

    def compare(self, told: datetime, within: timedelta) -> Mapping[str, str]:
        """Hear the database's time of this moment; what operators should hear of our clock.

        `within`: how long it took to ask. A node that stood still meanwhile is not ahead by that.
        """
        ahead = self._own() - told
        if ahead > timedelta():
            ahead = max(ahead - within, timedelta())
        far = abs(ahead) > FAR
        if far != bool(self.ahead):
            log.warning("the clock is put right" if far else "the clock is right", ahead=ahead.total_seconds())
        self.ahead = ahead if far else timedelta()
        side = "ahead of" if ahead > timedelta() else "behind"
        return {"clock": f"{abs(ahead).total_seconds():.0f} s {side} the database's: set it"} if far else {}


async def common_clock(db: Database, own: Clock, leases: Leases | None) -> Clock:
    """The clock of a node, compared with each renewal of its leases; on one server its own. Raises Unavailable."""
    if leases is None:
        return own
    clock = CommonClock(own)
    leases.compare = clock.compare
    await db.write(leases.compare_clocks)
    return clock


def by_one_node(leases: Leases | None, name: str, loop: Work) -> Work:
    """The loop as it is on one server; among several nodes it runs on the one that has its lease."""
    return loop if leases is None else partial(leases.hold, name, loop)


def polled(leases: Leases, listener: Listener, name: str, intake: Intake) -> Work:
    """A listener that one node at a time runs: started with its lease, stopped without it."""

    async def fenced(raws: Sequence[RawMessage], cursor: Cursor | None = None, /) -> Sequence[Accepted]:
        # A node that stood still may find itself here long after another took over.
        if not leases.holds(name):
            raise Unavailable("another node reads this now")
        return await intake(raws, cursor)

    async def work(over: asyncio.Event) -> None:
        await listener.start(fenced)
        try:
            await over.wait()
        finally:
            await listener.stop()

    return partial(leases.hold, name, work)


def listen_to_others(stack: AsyncExitStack, db: Database, topics: Mapping[str, Callable[[], object]]) -> None:
    """Be woken by what other nodes commit. `topics` is topic -> what to call in the event loop."""
    if db.shared:
        from gateway.store.wakeups import Wakeups  # loads the driver

        wakeups = Wakeups(db.url, topics, asyncio.get_running_loop())
        wakeups.start()
        stack.push_async_callback(asyncio.to_thread, wakeups.stop)
