"""Far sides that are gone to for news, and the one rule about a copy of a desk: it goes to none until it is released.

`gateway restore` leaves such a hold (`gateway.store.hold`), and `gateway serve --held` puts one. While it stands no
mailbox, bot, list of a provider or ticket store is read, no file is fetched, and no telephone registers: what one desk
takes there the other never sees. Ports and webhooks are open as ever: what comes to them was sent to this desk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from channels.contract import Exclusive, Intake, Listener, Reaches, Unavailable
from gateway import nodes
from gateway.leases import Leases, Work
from gateway.listening import Close
from gateway.log import get_logger
from gateway.store import hold
from gateway.store.database import Database
from gateway.waiting import wait_for_any

LOOK = 2.0
"""Seconds between two looks at the hold while it stands: it may be another node that is told to release it."""
AGAIN = 60.0
"""Seconds before a listener is started again that could not be started after the release."""

log = get_logger(__name__)


class Sources:
    """Whether far sides may be gone to. Once they may, they may until the end of this gateway."""

    def __init__(self, db: Database, *, every: float = LOOK) -> None:
        """`every`: seconds between two looks at the hold."""
        self._db, self._every = db, every
        self._free = asyncio.Event()
        self._late: dict[str, str] = {}
        self.released: list[Callable[[], object]] = []
        """Called in the event loop when the hold is over."""
        self.begun: Callable[[], object] = lambda: None
        """Called when something listens that did not while everything was held."""

    @property
    def held(self) -> bool:
        """Must they be left alone?"""
        return not self._free.is_set()

    async def troubles(self) -> dict[str, str]:
        """For operators: what could not be started after the release."""
        return {f"source {name}": f"it cannot be started: {why}" for name, why in self._late.items()}

    async def look(self) -> None:
        """Find out whether they are held. Raises Unavailable."""
        held = await self._db.read(hold.get)
        if held is None or not held.sources:
            self._free.set()
        else:
            log.warning("a held copy: it reads nothing at far sides and registers nowhere", since=held.since)

    async def run(self, stop: asyncio.Event) -> None:
        """Wait for the release."""
        while self.held and not stop.is_set():
            await wait_for_any(stop, seconds=self._every)
            try:
                held = await self._db.read(hold.get)
            except Unavailable:
                continue
            if held is None or not held.sources:
                log.info("released: far sides are read again")
                self._free.set()
                for call in self.released:
                    call()
        await stop.wait()

    def when_free(self, work: Work) -> Work:
        """The work, begun when far sides may be gone to."""

        async def waiting(stop: asyncio.Event) -> None:
            waits = [asyncio.ensure_future(event.wait()) for event in (stop, self._free)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            if not stop.is_set():
                await work(stop)

        return waiting

    async def begin(
        self, listener: Listener, intake: Intake, *, leases: Leases | None, running: Callable[[str, Work], Close]
    ) -> Close:
        """Start a listener, or have it started when it may be. `running` runs what has a loop of its own.

        Returns what ends it. Raises OSError when a port is taken.
        """
        reaches = isinstance(listener, Reaches) and listener.reaches
        if leases is not None and isinstance(listener, Exclusive):
            work = nodes.polled(leases, listener, listener.lease, intake)
            return running(listener.lease, self.when_free(work) if reaches else work)
        if isinstance(listener, Reaches) and reaches and self.held:
            return running(listener.name, self.when_free(self._late_start(listener.name, listener, intake)))
        await listener.start(intake)
        return listener.stop

    def _late_start(self, name: str, listener: Listener, intake: Intake) -> Work:
        """A listener that begins beside a running gateway: it is tried until it can be, and ends nothing else."""

        async def work(stop: asyncio.Event) -> None:
            while not stop.is_set():
                try:
                    await listener.start(intake)
                    break
                except OSError as error:
                    self._late[name] = error.strerror or str(error) or type(error).__name__
                    log.error("a source cannot be started", source=name, error=self._late[name])
                    await wait_for_any(stop, seconds=AGAIN)
            else:
                return
            self._late.pop(name, None)
            self.begun()
            try:
                await stop.wait()
            finally:
                await listener.stop()

        return work
