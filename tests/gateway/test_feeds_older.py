"""News that comes late by a webhook, or by looking again at what was not believed, overrides nothing newer."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gateway import desk
from gateway.feeds.applying import Applied
from gateway.feeds.contract import Change, Changes, Replied, Set
from gateway.store.database import Database
from tests.gateway.conftest import FrozenClock
from tests.gateway.feeds_desk import Rig, feeds_context

MINUTE = timedelta(minutes=1)
HOUR = 60 * MINUTE


@pytest.fixture
def rig(db: Database, clock: FrozenClock, tmp_path: Path) -> Rig:
    return Rig(db=db, clock=clock, folder=tmp_path / "blobs", ctx=feeds_context())


def status(value: str) -> Set:
    return Set(field="status", value=value, raw=value)


async def opened(rig: Rig) -> int:
    ticket = await rig.open()
    await rig.push(rig.pushing())
    rig.clock.forward(MINUTE)
    return ticket


async def told(rig: Rig, id_: str, change: Change, *, at: datetime, came: datetime | None = None) -> Applied:
    """A request of the store's: of something at `at`, which came now, or is looked at again."""
    heard = rig.heard(change, at=at)
    page = Changes(heard=[type(heard)(id=id_, ref="0", at=at, actor="olga", ours=False, change=change)], cursor="")
    now = rig.clock()
    return await rig.reading().take("store", page, since=now, cursor=None, came=came or now)


async def test_a_field_keeps_what_the_store_said_of_it_last(rig: Rig) -> None:
    ticket = await opened(rig)
    early = rig.clock()
    rig.clock.forward(HOUR)
    late = rig.clock()
    assert (await told(rig, "b", status("waiting"), at=late)).older == 0
    rig.clock.forward(HOUR)
    applied = await told(rig, "a", status("resolved"), at=early, came=early + MINUTE)
    assert (applied.done, applied.older) == (1, 1)
    assert (await rig.ticket(ticket)).status == "waiting"
    last = (await rig.events(ticket))[-1]
    assert (last["what"], last["value"], last["their_time"]) == ("older", "resolved", early.isoformat())
    # Of another field nothing newer is known; words are never too late; a repeat is none of this.
    line = Set(field="line", value="L2", raw="L2")
    assert (await told(rig, "c", line, at=early, came=early)).older == 0
    assert (await told(rig, "d", Replied(text="From then", public=True), at=early, came=early)).older == 0
    assert (await told(rig, "a", status("resolved"), at=early, came=early)).done == 0
    assert (await rig.ticket(ticket)).line == "L2" and await rig.events(ticket, "reply")
    # What comes after that counts, and what bears the same time does.
    assert (await told(rig, "e", status("resolved"), at=late)).older == 0
    assert (await rig.ticket(ticket)).status == "resolved"
    await rig.push(rig.pushing())
    assert rig.store.calls == ["open"], "nothing of it is written back"


async def test_what_we_wrote_there_after_the_news_came_is_newer(rig: Rig) -> None:
    ticket = await opened(rig)
    came = rig.clock()
    # Its clock is an hour ahead: only our own says what was first.
    at = came + HOUR
    rig.clock.forward(MINUTE)
    await rig.act(desk.set_status, ticket, key="waits", status="waiting")
    await rig.push(rig.pushing())
    assert rig.store.tickets[0]["status"] == "waiting"
    rig.clock.forward(MINUTE)
    assert (await told(rig, "a", status("resolved"), at=at, came=came)).older == 1
    assert (await rig.ticket(ticket)).status == "waiting"
    line = Set(field="line", value="L3", raw="L3")
    assert (await told(rig, "b", line, at=at, came=came)).older == 0, "we did not write that one"
    # What comes at once is not measured by our writes: a store whose clock is behind would never be heard.
    assert (await told(rig, "c", status("resolved"), at=came - HOUR)).older == 0
    assert (await rig.ticket(ticket)).status == "resolved"


async def test_a_time_to_come_silences_nothing(rig: Rig) -> None:
    ticket = await opened(rig)
    await told(rig, "a", status("waiting"), at=rig.clock() + 1000 * HOUR)
    rig.clock.forward(MINUTE)
    assert (await told(rig, "b", status("resolved"), at=rig.clock())).older == 0
    assert (await rig.ticket(ticket)).status == "resolved"


async def test_what_is_read_in_the_store_has_the_order_of_its_cursor(rig: Rig) -> None:
    ticket = await opened(rig)
    later = rig.clock()
    await rig.hear(status("waiting"), at=later)
    await rig.hear(status("resolved"), at=later - HOUR)
    assert (await rig.ticket(ticket)).status == "resolved"
    # And its times count for what comes by a webhook; the newest of them, also where older news was read behind it.
    assert (await told(rig, "v", status("open"), at=later - HOUR / 2)).older == 1
    assert (await rig.ticket(ticket)).status == "resolved"
    rig.clock.forward(HOUR)
    await rig.hear(status("open"), at=later + MINUTE)
    assert (await told(rig, "w", status("closed"), at=later, came=later)).older == 1
    assert (await rig.ticket(ticket)).status == "open"
