"""What is here is deleted at the far side where an account wants that: after the commit, as often as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row, select

from channels.contract import Fetcher, FetchFailed
from gateway.erasing import FIRST, LAST, WORTH_TELLING, Erasing
from gateway.store import erasures, hold, schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.store.failpoints import FETCHING
from tests.gateway.conftest import FrozenClock
from tests.gateway.fetching_desk import ACCOUNT, FarSide, FetchingDesk, photo
from tests.gateway.filing_desk import context
from tests.gateway.patience import PATIENCE

DAY = timedelta(days=1)


class Forgetful(FarSide):
    """Deletes what it is told to; a plan says what goes wrong first."""

    def __init__(self, contents: Mapping[str, bytes], after: timedelta | None) -> None:
        super().__init__(contents)
        self.erase_after = after
        self.troubles: list[FetchFailed] = []
        self.erased: list[str] = []
        self.silent: asyncio.Event | None = None
        """It answers nobody; set when somebody asked."""

    async def erase(self, source: str) -> None:
        if self.silent is not None:
            self.silent.set()
            await asyncio.Event().wait()
        if self.troubles:
            raise self.troubles.pop(0)
        self.erased.append(source)


class ErasingDesk(FetchingDesk):
    """A desk whose far side deletes."""

    def __init__(self, db: Database, blobs: Blobs, clock: FrozenClock, folder: Path, after: timedelta | None) -> None:
        super().__init__(db, blobs, clock, context(), folder)
        self.side = Forgetful(self.far.contents, after)
        self.far = self.side
        self.loop = self.fetching()
        self.erasing = self.started()

    def started(self) -> Erasing:
        fetchers: Mapping[tuple[str, str], Fetcher] = {ACCOUNT: self.side}
        return Erasing(self.db, fetchers=lambda: fetchers, clock=self.clock)

    async def waiting(self) -> list[Row[Any]]:
        return list(await self.db.read(lambda conn: conn.execute(select(schema.erasure)).all()))


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path) -> ErasingDesk:
    return ErasingDesk(db, blobs, clock, tmp_path, DAY)


async def test_it_is_deleted_its_time_after_it_is_here(desk: ErasingDesk, clock: FrozenClock) -> None:
    await desk.with_files(photo())
    assert await desk.waiting() == []
    await desk.once()
    assert await desk.erasing.once() == 0
    clock.forward(DAY - timedelta(seconds=1))
    assert await desk.erasing.once() == 0 and desk.side.erased == []
    clock.forward(timedelta(seconds=1))
    assert await desk.erasing.once() == 1
    assert desk.side.erased == ["photo"] and await desk.waiting() == []


@pytest.mark.parametrize("point", FETCHING)
async def test_being_killed_before_the_commit_deletes_nothing(
    desk: ErasingDesk, clock: FrozenClock, point: str
) -> None:
    class Killed(BaseException):
        pass

    def die(name: str) -> None:
        if name == point:
            raise Killed

    desk.loop = desk.fetching(failpoint=die)
    await desk.with_files(photo())
    with pytest.raises(Killed):
        await desk.once()
    clock.forward(2 * DAY)
    assert await desk.erasing.once() == 0 and await desk.waiting() == []


async def test_it_is_tried_later_and_later_without_an_end_and_operators_hear_of_it(
    desk: ErasingDesk, clock: FrozenClock
) -> None:
    desk.side.troubles = [FetchFailed("busy", permanent=permanent) for permanent in (False, True) * 6]
    await desk.with_files(photo())
    await desk.once()
    clock.forward(DAY)
    pauses = []
    for attempt in range(1, 13):
        assert await desk.erasing.once() == 0
        (row,) = await desk.waiting()
        assert (row.attempts, row.detail) == (attempt, "busy")
        told = await desk.erasing.troubles()
        assert bool(told) is (attempt >= WORTH_TELLING), told
        pauses.append(row.due_at - clock())
        clock.now = row.due_at
    assert pauses[:3] == [FIRST, 2 * FIRST, 4 * FIRST] and pauses[-1] == LAST
    # A restart changes nothing.
    desk.erasing = desk.started()
    assert await desk.erasing.once() == 1
    assert desk.side.erased == ["photo"] and await desk.erasing.troubles() == {}


async def test_who_no_longer_wants_it_deletes_nothing(desk: ErasingDesk, clock: FrozenClock) -> None:
    await desk.with_files(photo())
    await desk.once()
    clock.forward(DAY)
    desk.side.erase_after = None
    assert await desk.erasing.once() == 0 and desk.side.erased == []
    assert len(await desk.waiting()) == 1


async def test_the_same_file_is_put_once(desk: ErasingDesk, clock: FrozenClock) -> None:
    now = clock()
    put = [await desk.do(lambda conn: erasures.put(conn, *ACCOUNT, "one", due_at=now, now=now)) for _ in range(2)]
    assert put == [True, False]


async def test_while_everything_is_held_nothing_is_deleted(desk: ErasingDesk, clock: FrozenClock) -> None:
    await desk.with_files(photo())
    await desk.once()
    clock.forward(DAY)
    await desk.db.write(lambda conn: hold.put(conn, "restored", clock()))
    assert await desk.erasing.once() == 0 and desk.side.erased == []
    await desk.db.write(hold.release)
    assert await desk.erasing.once() == 1 and desk.side.erased == ["photo"]


async def test_a_far_side_that_hangs_keeps_nobody_from_stopping(desk: ErasingDesk, clock: FrozenClock) -> None:
    await desk.with_files(photo())
    await desk.once()
    clock.forward(DAY)
    desk.side.silent, stop = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(desk.erasing.run(stop))
    async with asyncio.timeout(PATIENCE):
        await desk.side.silent.wait()
        stop.set()
        await running
    assert len(await desk.waiting()) == 1
