"""Asking what became of calls is bounded, repeated and given up; calls that were told are left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from channels.contract import Accepted, Cursor, Fetched, FetchFailed, Unavailable
from gateway import recalling
from gateway.circuit import FAILURES
from gateway.recalling import Recalling
from gateway.store import calls
from gateway.store.database import Database
from normalizer.message import InlineBody, RawMessage
from tests.gateway.conftest import START, FrozenClock

ACCOUNT = ("voice", "main")


@dataclass
class Provider:
    """Remembers calls, or says what is planned for one."""

    plan: dict[str, list[Exception]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    silent: asyncio.Event | None = None
    """It answers nobody; set when somebody asked."""

    async def fetch(self, source: str, limit: int, into: Path) -> Fetched:
        raise FetchFailed("there are no files here", permanent=True)

    async def recall(self, call: str) -> Sequence[RawMessage]:
        self.asked.append(call)
        if self.silent is not None:
            self.silent.set()
            await asyncio.Event().wait()
        if self.plan.get(call):
            raise self.plan[call].pop(0)
        return [
            RawMessage(
                channel="voice", account="main", format="twilio_call/1", external_id=f"{call}:status", fingerprint="f",
                peer=call, received_at=START, body=InlineBody(content=b""), facts={},
            )
        ]  # fmt: skip


@dataclass
class Asking:
    """The loop with its far side and journal."""

    db: Database
    clock: FrozenClock
    provider: Provider = field(default_factory=Provider)
    journal: list[str] = field(default_factory=list)
    away: bool = False
    held: bool = False

    def __post_init__(self) -> None:
        self.loop = self.fresh()

    def fresh(self) -> Recalling:
        """As after a restart."""
        return Recalling(
            self.db, fetchers=lambda: {ACCOUNT: self.provider}, intake=self.intake, clock=self.clock,
            held=lambda: self.held,
        )  # fmt: skip

    async def intake(self, raws: Sequence[RawMessage], cursor: Cursor | None = None, /) -> Sequence[Accepted]:
        if self.away:
            raise Unavailable("the database is away")
        known = [raw.external_id in self.journal for raw in raws]
        self.journal += [raw.external_id for raw, old in zip(raws, known, strict=True) if not old]
        return [Accepted(entry=1, duplicate=old) for old in known]

    async def call(self, sid: str, *, account: str = "main", outcome: str = "", ended: bool = False) -> None:
        """One that begins now."""
        now = self.clock()
        row = await self.db.write(
            lambda conn: calls.lock(conn, "voice", account, sid, caller="+1", called="+2", state={}, now=now)
        )
        columns = {"outcome": outcome, "ended_at": now if ended else None}
        await self.db.write(lambda conn: calls.change(conn, row.id, **columns))


@pytest.fixture
def asking(db: Database, clock: FrozenClock) -> Asking:
    return Asking(db, clock)


def later(**values: float | bool) -> FetchFailed:
    return FetchFailed("busy", permanent=False, **values)  # type: ignore[arg-type]


async def test_calls_without_an_end_and_those_left_in_the_middle_are_asked_about_once(asking: Asking) -> None:
    await asking.call("open")
    await asking.call("left", outcome="unfinished", ended=True)
    await asking.call("given up", outcome="no_end")
    await asking.call("told", outcome="ticket", ended=True)
    await asking.call("elsewhere", account="other")
    assert await asking.loop.once() == 0, "they may still go on"
    asking.clock.forward(recalling.QUIET)
    assert await asking.loop.once() == 3
    assert asking.provider.asked == ["open", "left", "given up"]
    assert asking.journal == ["open:status", "left:status", "given up:status"]
    assert await asking.loop.once() == await asking.fresh().once() == 0


async def test_a_call_that_goes_on_is_asked_about_later_and_later(asking: Asking) -> None:
    await asking.call("long")
    asking.provider.plan["long"] = [later(absent=True) for _ in range(4)]
    asking.clock.forward(recalling.QUIET)
    pauses = []
    for tries in range(1, 5):
        assert await asking.loop.once() == 0
        begun = asking.clock()
        while len(asking.provider.asked) == tries:
            asking.clock.forward(timedelta(minutes=1))
            await asking.loop.once()
        pauses.append((asking.clock() - begun) // timedelta(minutes=1))
    assert pauses == [5, 10, 20, 40] and asking.journal == ["long:status"]


async def test_a_far_side_in_trouble_is_left_alone_for_a_while_and_nothing_is_given_up(asking: Asking) -> None:
    names = [f"call {number}" for number in range(FAILURES + 3)]
    for name in names:
        await asking.call(name)
        asking.provider.plan[name] = [later()]
    asking.clock.forward(recalling.QUIET)
    assert await asking.loop.once() == 0
    assert len(asking.provider.asked) == FAILURES
    asking.provider.plan.clear()
    asking.clock.forward(timedelta(hours=1))
    assert await asking.loop.once() == len(names)
    assert sorted(asking.journal) == sorted(f"{name}:status" for name in names)


async def test_a_call_that_the_far_side_does_not_know_is_given_up(asking: Asking) -> None:
    await asking.call("gone")
    asking.provider.plan["gone"] = [FetchFailed("no such call", permanent=True)]
    asking.clock.forward(recalling.QUIET)
    assert await asking.loop.once() == 1 and asking.journal == []
    assert await asking.fresh().once() == 0


async def test_what_could_not_be_journalled_is_asked_for_again(asking: Asking) -> None:
    await asking.call("open")
    asking.clock.forward(recalling.QUIET)
    asking.away = True
    with pytest.raises(Unavailable):
        await asking.loop.once()
    asking.away = False
    assert await asking.loop.once() == 1 and asking.journal == ["open:status"]


async def test_a_look_asks_about_so_many_and_those_put_off_are_in_nobodys_way(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recalling, "AT_ONCE", 3)
    for number in range(8):
        await asking.call(f"call {number}")
        asking.clock.forward(timedelta(seconds=1))
    for number in range(3):
        asking.provider.plan[f"call {number}"] = [later(absent=True)] * 9
    asking.clock.forward(recalling.QUIET)
    assert [await asking.loop.once() for _ in range(3)] == [0, 3, 2]
    assert asking.provider.asked == [f"call {number}" for number in range(8)]
    for number in range(8, 12):
        await asking.call(f"call {number}")
    asking.clock.forward(recalling.QUIET)  # those that were put off are due again
    assert [await asking.loop.once() for _ in range(2)] == [0, 3]
    assert len(asking.provider.asked) == 14


async def test_who_asks_for_time_is_given_it_within_reason(asking: Asking) -> None:
    await asking.call("patient")
    await asking.call("long")
    asking.provider.plan = {"patient": [later(absent=True, retry_after=1800.0)],
                            "long": [later(absent=True, retry_after=1e9)]}  # fmt: skip
    asking.clock.forward(recalling.QUIET)
    assert await asking.loop.once() == 0
    asking.clock.forward(timedelta(seconds=1799))
    assert await asking.loop.once() == 0
    asking.clock.forward(timedelta(seconds=1))
    assert await asking.loop.once() == 1
    asking.clock.forward(recalling.LAST)
    assert await asking.loop.once() == 1


async def test_a_call_that_nobody_can_make_sense_of_ends_nothing(asking: Asking) -> None:
    await asking.call("odd")
    await asking.call("good")
    asking.provider.plan["odd"] = [LookupError("an answer that nobody thought of")]
    asking.clock.forward(recalling.QUIET)
    assert await asking.loop.once() == 1 and asking.journal == ["good:status"]
    assert await asking.loop.once() == 0 and asking.provider.asked == ["odd", "good"], "it is put off"
    asking.clock.forward(recalling.FIRST)
    assert await asking.loop.once() == 1


async def test_a_far_side_that_hangs_keeps_nobody_from_stopping(asking: Asking) -> None:
    for number in range(3):
        await asking.call(f"call {number}")
    asking.clock.forward(recalling.QUIET)
    asking.provider.silent, stop = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(asking.loop.run(stop))
    async with asyncio.timeout(90):
        await asking.provider.silent.wait()
        stop.set()
        await running
    assert asking.provider.asked == ["call 0"] and asking.journal == []


async def test_a_held_copy_asks_nobody(asking: Asking) -> None:
    await asking.call("open")
    asking.clock.forward(recalling.QUIET)
    asking.held = True
    assert await asking.loop.once() == 0 and asking.provider.asked == []
    asking.held = False
    assert await asking.loop.once() == 1


async def test_old_calls_are_left_as_they_are(asking: Asking) -> None:
    await asking.call("old")
    asking.clock.forward(recalling.BACK + timedelta(hours=1))
    assert await asking.loop.once() == 0 and asking.provider.asked == []
