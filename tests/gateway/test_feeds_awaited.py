"""New tickets wait for the first look at a store: what staff say there of a ticket that came before is not heard."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gateway.feeds import reached, troubles
from gateway.store.database import Database
from tests.gateway.conftest import FrozenClock
from tests.gateway.feeds_desk import Rig, feeds_context

SECOND = timedelta(seconds=1)


@pytest.fixture
def rig(db: Database, clock: FrozenClock, tmp_path: Path) -> Rig:
    return Rig(db=db, clock=clock, folder=tmp_path / "blobs", ctx=feeds_context(), listened=False)


async def test_a_ticket_is_put_there_after_the_first_look(rig: Rig) -> None:
    ticket = await rig.open()
    await rig.say(ticket, "And the scanner")
    pushing = rig.pushing()
    await rig.push(pushing)
    assert rig.store.calls == []
    [opening, _] = await rig.rows()
    assert (opening.state, opening.attempts, opening.detail) == ("waiting", 0, "the store could not be read yet")
    await rig.reading().look("store")
    rig.clock.forward(SECOND)
    await rig.push(pushing)
    assert rig.store.texts() == ["It is broken", "And the scanner"]
    assert "what staff did" not in str(await rig.db.read(lambda conn: troubles.found(conn, rig.ctx, rig.clock())))


async def test_staff_see_it_after_a_minute_whatever_is_wrong_with_reading(rig: Rig) -> None:
    await rig.open()
    pushing = rig.pushing()
    await rig.push(pushing)
    rig.clock.forward(reached.PATIENCE - SECOND)
    await rig.push(pushing)
    assert rig.store.calls == []
    rig.clock.forward(SECOND)
    await rig.push(pushing)
    assert rig.store.calls == ["open"]


async def test_operators_hear_that_something_may_not_have_been_heard(rig: Rig) -> None:
    await rig.open()
    rig.clock.forward(reached.PATIENCE)
    await rig.push(rig.pushing())
    await rig.reading().look("store")
    said = await rig.db.read(lambda conn: troubles.found(conn, rig.ctx, rig.clock()))
    at = f"{rig.clock():%Y-%m-%d %H:%M} UTC"
    assert f"what staff did there before {at}" in said["feed failed store"]
    await rig.reading().look("store")
    assert str(await rig.db.read(lambda conn: troubles.found(conn, rig.ctx, rig.clock()))).count("what staff did") == 1


async def test_where_nothing_is_read_nothing_is_waited_for(rig: Rig) -> None:
    rig.ctx = feeds_context(read=False)
    await rig.open()
    await rig.push(rig.pushing())
    assert rig.store.calls == ["open"]


async def test_what_may_be_there_already_is_looked_for_and_does_not_wait(rig: Rig) -> None:
    rig.store.fates = ["done lost"]
    await rig.open()
    rig.clock.forward(reached.PATIENCE)
    pushing = rig.pushing()
    await rig.push(pushing)
    rig.clock.forward(timedelta(minutes=10))
    await rig.push(pushing)
    assert rig.store.calls == ["open", "find"]
    assert await rig.states() == [("open", "done")]
