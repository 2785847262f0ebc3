"""Whatever goes to far sides begins with the release, on one server and among several nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from channels.contract import Intake
from gateway.leases import Leases, Work
from gateway.listening import Close
from gateway.sources import Sources
from gateway.store import hold
from gateway.store.database import Database
from tests.gateway.conftest import START
from tests.gateway.patience import PATIENCE


class Reader:
    """A listener that reads at a far side."""

    name = lease = "mailbox"
    reaches = True

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.stopped = 0

    def listening(self) -> dict[str, str]:
        return {}

    async def start(self, intake: Intake) -> None:
        self.started.set()

    async def stop(self) -> None:
        self.stopped += 1


class AllOurs:
    """Leases of the only node there is: it has each at once."""

    def holds(self, _name: str) -> bool:
        return True

    async def hold(self, _name: str, work: Work, stop: asyncio.Event) -> None:
        await work(stop)


class Looks:
    """The database, whose third reading is told."""

    def __init__(self, db: Database) -> None:
        self._db, self.count, self.third = db, 0, asyncio.Event()

    async def read(self, job: Callable[[Connection], Any]) -> Any:
        found = await self._db.read(job)
        self.count += 1
        if self.count == 3:
            self.third.set()
        return found


@pytest.mark.parametrize("nodes", [False, True])
async def test_a_reader_begins_with_the_release(db: Database, nodes: bool) -> None:
    await db.write(lambda conn: hold.put(conn, "restored", START, sources=True))
    looks = Looks(db)
    these, reader, stop = Sources(cast(Database, looks), every=0.05), Reader(), asyncio.Event()
    works: list[asyncio.Task[None]] = []

    def running(_name: str, work: Work) -> Close:
        works.append(asyncio.create_task(work(stop)))
        return reader.stop

    async def intake(*_: Any) -> Any:
        raise AssertionError("nothing was read")

    await these.look()
    leases = cast("Leases", AllOurs()) if nodes else None
    released: list[bool] = []
    these.released.append(lambda: released.append(True))
    async with asyncio.timeout(PATIENCE):
        await these.begin(reader, intake, leases=leases, running=running)
        works.append(asyncio.create_task(these.run(stop)))
        await looks.third.wait()
        assert not reader.started.is_set() and these.held and not released
        await db.write(hold.release)
        await reader.started.wait()
        assert released == [True] and not these.held
        stop.set()
        await asyncio.gather(*works)
    assert reader.stopped == 1
