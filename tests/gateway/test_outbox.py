"""The delivery engine, with senders that answer well, late, badly, half and never."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection

from channels.contract import CannotTell, Unavailable
from gateway.capture import CaptureSender
from gateway.circuit import FAILURES
from gateway.metrics import Metrics
from gateway.outbox import Outbox
from gateway.store import outbox, people, tickets
from gateway.store.database import Database
from gateway.store.outbox import Draft, Row
from normalizer.message import Delivery, Fault, Receipt
from tests.gateway.conftest import START, FrozenClock
from tests.gateway.outgoing import (
    SENT,
    ScriptedProber,
    ScriptedSender,
    Told,
    context,
    draft,
    half,
    never,
    open_ticket,
    render,
    with_outbound,
)
from tests.gateway.patience import PATIENCE, eventually

SUPPORT, SALES = ("mail", "support"), ("mail", "sales")


def retry(**values: Any) -> Receipt:
    """The far side says: later."""
    return Receipt(**{"delivery": Delivery.RETRY, "fault": Fault.MESSAGE, "detail": "451 try later", **values})


class Bench:
    """A database, an engine and its senders."""

    def __init__(self, db: Database, clock: FrozenClock, folder: Path) -> None:
        self.db, self.clock, self.folder = db, clock, folder
        self.sender, self.sales, self.told = ScriptedSender(), ScriptedSender(), Told()

    def engine(self, *, db: Any = None, probers: Any = None, seed: int = 1, **settings: Any) -> Outbox:
        return Outbox(
            db or self.db,
            context(**settings),
            senders={SUPPORT: self.sender, SALES: self.sales},
            capture=CaptureSender(self.folder / "captured"),
            render=render,
            clock=self.clock,
            random=Random(seed),
            owner="host:1",
            metrics=Metrics(),
            probers=probers,
            compose=self.told,
        )

    async def put(self, *drafts: Draft) -> None:
        await self.db.write(lambda conn: [outbox.put(conn, one, self.clock()) for one in drafts])

    async def put_on_ticket(self, *keys: str, **values: Any) -> int:
        def work(conn: Connection) -> int:
            ticket = open_ticket(conn, self.clock())
            for key in keys:
                outbox.put(conn, draft(key, ticket_id=ticket, **values), self.clock())
            return ticket

        return await self.db.write(work)

    async def once(self, engine: Outbox) -> None:
        """Claim, send and settle until there is nothing more to do now."""
        while await engine.claim():
            await engine.finish(PATIENCE)

    async def row(self, key: str) -> Row:
        rows = await self.db.read(lambda conn: outbox.listing(conn))
        return next(row for row in rows if row.key == key)

    async def states(self) -> dict[str, str]:
        return {row.key: row.state for row in await self.db.read(lambda conn: outbox.listing(conn))}

    async def events(self, ticket: int) -> list[dict[str, Any]]:
        rows = await self.db.read(lambda conn: tickets.history(conn, ticket))
        return [row.data for row in rows if row.kind == "undelivered"]


@pytest.fixture
def bench(db: Database, clock: FrozenClock, tmp_path: Path) -> Bench:
    return Bench(db, clock, tmp_path)


@asynccontextmanager
async def running(engine: Outbox):
    """The engine's loop in the background; stopped at the end, or the test fails."""
    stop = asyncio.Event()
    task = asyncio.create_task(engine.run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE)


async def until(bench: Bench, true: Callable[[], Awaitable[bool]]) -> None:
    """Wait for it; says what became of the notices when it does not come."""

    async def look() -> tuple[bool, dict[str, str], int]:
        return await true(), await bench.states(), bench.sender.under_way

    await eventually(look, lambda found: found[0], "(it, states, sends under way)")


# -- the loop -----------------------------------------------------------------------------


async def test_what_is_put_goes_out_when_the_loop_is_woken(bench: Bench) -> None:
    engine = bench.engine()
    async with running(engine):
        await bench.put(draft("a"), draft("b"))
        engine.wake()
        await until(bench, lambda: _all(bench, "sent"))
    assert sorted(bench.sender.began) == ["a", "b"]
    row = await bench.row("a")
    assert (row.external_ids, row.attempts) == (["<taken@relay.example>"], 1)


async def test_without_a_wake_the_loop_looks_again_when_the_next_is_due(bench: Bench) -> None:
    await bench.put(draft("a", due_at=START + timedelta(seconds=1)))
    async with running(bench.engine()):
        bench.clock.forward(timedelta(seconds=2))
        await until(bench, lambda: _all(bench, "sent"))


async def test_stopping_finishes_what_is_being_sent_and_begins_nothing(bench: Bench) -> None:
    answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()

    async def late(_: Any) -> Receipt:
        return await answer

    bench.sender.script = {"a": late}
    await bench.put(draft("a", lane="t"), draft("b", lane="t"))
    stop = asyncio.Event()
    task = asyncio.create_task(bench.engine().run(stop))
    await until(bench, lambda: _true(bench.sender.under_way == 1))
    stop.set()
    answer.set_result(SENT)
    await asyncio.wait_for(task, PATIENCE)
    assert await bench.states() == {"a": "sent", "b": "waiting"}


async def test_limits_hold_in_all_and_for_each_account(bench: Bench) -> None:
    async def in_company(_: Any) -> Receipt:
        while bench.sender.most < 4:  # noqa: ASYNC110 - the sender counts and tells nobody
            await asyncio.sleep(0.01)
        return await _slow(_)

    bench.sender.script = {f"a{n}": in_company for n in range(30)}
    waited: list[int] = []

    async def counting(_: Any) -> Receipt:
        waited.append(len(bench.sender.began))
        return await _slow(_)

    bench.sales.script = {f"b{n}": counting for n in range(5)}
    await bench.put(*(draft(f"a{n}") for n in range(30)), *(draft(f"b{n}", account="sales") for n in range(5)))
    engine = bench.engine(outbox={"concurrency": 6, "per_account": 4})
    async with running(engine):
        await until(bench, lambda: _all(bench, "sent"))
    assert bench.sender.most == 4
    assert 1 <= bench.sales.most <= 4
    assert max(waited) < 30, "a long queue of one account leaves room for the other"


async def test_only_quick_sends_are_claimed_ahead(bench: Bench) -> None:
    """What is claimed is in doubt after a crash, so no more is claimed than goes out at once."""
    bench.sender.script = {f"a{n}": _slow for n in range(40)}
    await bench.put(*(draft(f"a{n}") for n in range(40)), *(draft(f"b{n}", account="sales") for n in range(200)))
    engine = bench.engine(outbox={"concurrency": 8, "per_account": 2})
    claimed: list[int] = []
    while taken := await engine.claim():
        claimed.append(taken)
        await engine.finish(PATIENCE)
    assert claimed[0] == 4, "two for each account, before anything is known of them"
    assert 4 < max(claimed) <= 2 + 16, "sales answers at once"
    assert bench.sender.most == 2 and bench.sales.most <= 2, "but never more at the same time"


async def _slow(_: Any) -> Receipt:
    await asyncio.sleep(0.02)
    return SENT


async def _all(bench: Bench, state: str) -> bool:
    states = await bench.states()
    return bool(states) and set(states.values()) == {state}


async def _true(value: bool) -> bool:
    return value


# -- results ------------------------------------------------------------------------------


async def test_retry_backs_off_with_jitter_and_doubles(bench: Bench) -> None:
    bench.sender.script = {"a": lambda _: retry()}
    await bench.put(draft("a"))
    engine = bench.engine(outbox={"backoff": "30s", "backoff_limit": "2m"})
    for full in (30, 60, 120, 120):
        await bench.once(engine)
        wait = (await bench.row("a")).due_at - bench.clock()
        assert timedelta(seconds=full / 2) <= wait <= timedelta(seconds=full)
        assert not await engine.claim(), "nothing goes out before it is due"
        bench.clock.forward(wait)
    assert len(bench.sender.began) == 4


@pytest.mark.parametrize(("asked", "waited"), [(90.0, 90), (0.0, 1), (1e9, 3600)])
async def test_the_far_side_may_say_when_within_the_limit(bench: Bench, asked: float, waited: int) -> None:
    bench.sender.script = {"a": lambda _: retry(retry_after=asked)}
    await bench.put(draft("a"))
    await bench.once(bench.engine())
    assert (await bench.row("a")).due_at == START + timedelta(seconds=waited)


async def test_too_old_is_a_dead_letter_and_the_desk_is_told(bench: Bench) -> None:
    bench.sender.script = {"a": lambda _: retry()}
    ticket = await bench.put_on_ticket("a", due_at=START + timedelta(days=9))
    engine = bench.engine(outbox={"max_age": "1d"})
    bench.clock.forward(timedelta(days=9))
    await bench.once(engine)
    assert (await bench.row("a")).state == "waiting", "age counts from the first try, not from when it was put"
    bench.clock.forward(timedelta(days=1))
    await bench.once(engine)
    assert (await bench.row("a")).state == "dead"
    assert [event["state"] for event in await bench.events(ticket)] == ["dead"]
    assert [(change.kind, change.ticket_id) for change in bench.told.changes] == [("undelivered", ticket)]


async def test_staff_send_a_dead_letter_again(bench: Bench) -> None:
    bench.sender.script = {"a": lambda _: retry()}
    await bench.put(draft("a"))
    engine = bench.engine(outbox={"max_age": "1d"})
    await bench.once(engine)
    bench.clock.forward(timedelta(days=2))
    await bench.once(engine)
    bench.sender.script = {}
    assert await bench.db.write(lambda conn: outbox.retry(conn, [1], bench.clock())) == [1]
    await bench.once(engine)
    assert await bench.states() == {"a": "sent"}


async def test_refused_is_shown_and_told(bench: Bench) -> None:
    refused = Receipt(delivery=Delivery.REFUSED, detail="550 no such user", fault=Fault.MESSAGE)
    bench.sender.script = {"a": lambda _: refused}
    ticket = await bench.put_on_ticket("a")
    await bench.once(bench.engine())
    (event,) = await bench.events(ticket)
    assert event["state"] == "refused" and event["detail"] == "550 no such user" and event["outbox"] == 1
    assert [change.kind for change in bench.told.changes] == ["undelivered"]


@pytest.mark.parametrize("kind", ["undelivered", "alert"])
async def test_a_notice_of_trouble_that_fails_makes_no_further_notice(bench: Bench, kind: str) -> None:
    bench.sender.script = {"a": lambda _: Receipt(delivery=Delivery.REFUSED)}
    ticket = await bench.put_on_ticket("a", kind=kind)
    await bench.once(bench.engine())
    assert len(await bench.events(ticket)) == 1 and bench.told.changes == []


async def test_unreachable_marks_the_identity(bench: Bench) -> None:
    bench.sender.script = {"a": lambda _: Receipt(delivery=Delivery.UNREACHABLE, detail="mailbox closed")}
    await bench.put_on_ticket("a")
    await bench.once(bench.engine())
    mark = await bench.db.read(lambda conn: people.unreachable_by(conn, "mail", "ann@client.example", "mail"))
    assert mark is not None and mark.at == START and mark.why == "mailbox closed"
    assert [change.kind for change in bench.told.changes] == ["undelivered"]


async def test_trouble_with_telling_settles_all_the_same(bench: Bench) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("compose")

    bench.told = broken  # type: ignore[assignment]  # a desk that cannot be told
    bench.sender.script = {"a": lambda _: Receipt(delivery=Delivery.REFUSED)}
    await bench.put_on_ticket("a")
    await bench.once(bench.engine())
    assert await bench.states() == {"a": "refused"}


async def test_a_broken_template_blocks_nothing(bench: Bench) -> None:
    ticket = await bench.put_on_ticket("a", template="broken", lane="t")
    await bench.put(draft("b", lane="t"))
    await bench.once(bench.engine())
    assert await bench.states() == {"a": "dead", "b": "sent"}
    assert [event["state"] for event in await bench.events(ticket)] == ["dead"]


async def test_an_attachment_that_cannot_be_read_is_tried_again(bench: Bench) -> None:
    await bench.put(draft("a", template="unreadable"))
    await bench.once(bench.engine())
    row = await bench.row("a")
    assert (row.state, row.fault) == ("waiting", "ours") and row.due_at > bench.clock()


# -- doubt --------------------------------------------------------------------------------


def lost(_: Any) -> Receipt:
    """All was sent, and then the relay's answer was lost."""
    return retry(fault=Fault.FAR_SIDE, uncertain=True)


@pytest.mark.parametrize(
    "behaviour", [never, half, lost], ids=["never answers", "breaks off half way", "the answer is lost"]
)
@pytest.mark.parametrize(("repeatable", "state"), [(True, "waiting"), (False, "unknown")])
async def test_without_an_answer_the_kind_decides(bench: Bench, behaviour: Any, repeatable: bool, state: str) -> None:
    bench.sender.script = {"a": behaviour}
    ticket = await bench.put_on_ticket("a", repeatable=repeatable)
    await bench.once(bench.engine(outbox={"send_timeout": "1s"}))
    assert await bench.states() == {"a": state}
    assert [event["state"] for event in await bench.events(ticket)] == (["unknown"] if state == "unknown" else [])
    assert bench.told.changes == []


@pytest.mark.parametrize(
    ("found", "repeatable", "state"),
    [
        (SENT, False, "sent"),
        (None, False, "waiting"),
        (CannotTell("no log"), False, "unknown"),
        (CannotTell("no log"), True, "waiting"),
    ],
)
async def test_after_a_crash_the_far_side_is_asked(bench: Bench, found: Any, repeatable: bool, state: str) -> None:
    await bench.put(draft("a", repeatable=repeatable))
    await bench.db.write(lambda conn: outbox.claim(conn, [1], "dead server", START))
    prober = ScriptedProber({"a": found})
    engine = bench.engine(probers={SUPPORT: prober})
    assert await engine.recover() == 1
    await engine.finish(PATIENCE)
    assert await bench.states() == {"a": state} and prober.asked == ["a"] and bench.sender.began == []


async def test_two_starts_under_one_name_are_two_owners(bench: Bench) -> None:
    """In a container every process has the same id."""
    answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()

    async def late(_: Any) -> Receipt:
        return await answer

    bench.sender.script = {"a": late}
    await bench.put(draft("a"))
    first, second = bench.engine(seed=1), bench.engine(seed=2)
    await first.claim()
    await until(bench, lambda: _true(bench.sender.under_way == 1))
    assert await second.recover() == 1
    await second.finish(PATIENCE)
    answer.set_result(SENT)
    await first.finish(PATIENCE)
    assert await bench.states() == {"a": "unknown"}, "the first one came too late to settle"


# -- accounts -----------------------------------------------------------------------------


async def test_outbound_off_suppresses_and_a_persons_reply_is_missed(bench: Bench) -> None:
    ticket = await bench.put_on_ticket("auto")
    other = await bench.put_on_ticket("reply", automatic=False, repeatable=True)
    await bench.once(bench.engine(**with_outbound("off")))
    assert await bench.states() == {"auto": "suppressed", "reply": "suppressed"}
    assert await bench.events(ticket) == [] and len(await bench.events(other)) == 1
    assert bench.sender.began == []


async def test_outbound_capture_writes_a_file(bench: Bench) -> None:
    await bench.put(draft("a"))
    await bench.once(bench.engine(**with_outbound("capture")))
    assert await bench.states() == {"a": "captured"} and bench.sender.began == []
    (file,) = (bench.folder / "captured").iterdir()
    assert file.name == "1.json" and '"text": "a"' in file.read_text(encoding="utf-8")


async def test_a_relay_that_is_down_pauses_its_account_only(bench: Bench) -> None:
    down = retry(fault=Fault.FAR_SIDE, detail="connection refused")
    keys = [f"a{n}" for n in range(20)]
    bench.sender.script = {key: lambda _: down for key in keys}
    await bench.put(*(draft(key) for key in keys), draft("b", account="sales"))
    engine = bench.engine(outbox={"concurrency": 1, "per_account": 1})
    await bench.once(engine)
    assert len(bench.sender.began) == FAILURES, "after these the account pauses"
    assert bench.sales.began == ["b"]
    assert await engine.until_next() == 5.0
    bench.clock.forward(timedelta(seconds=6))
    assert await engine.until_next() > 5.0, "a pause that is over is nothing to wait for"
    assert await engine.claim() == 1, "one notice on trial"
    await engine.finish(PATIENCE)
    assert await engine.claim() == 0, "it failed: a longer pause"
    bench.sender.script = {}
    bench.clock.forward(timedelta(seconds=11))
    await bench.once(engine)
    assert len([key for key, state in (await bench.states()).items() if state == "sent"]) >= 15


async def test_what_is_refused_for_itself_pauses_nothing(bench: Bench) -> None:
    bench.sender.script = {f"a{n}": lambda _: retry() for n in range(20)}
    await bench.put(*(draft(f"a{n}") for n in range(20)), draft("z"))
    await bench.once(bench.engine())
    assert len(bench.sender.began) == 21


# -- our own trouble ----------------------------------------------------------------------


class Flaky:
    """The database with writes that say `Unavailable`: before the commit, or after it."""

    def __init__(self, db: Database, failures: list[str]) -> None:
        self._db, self.failures = db, failures
        self.read = db.read

    async def write(self, job: Any, *, urgent: bool = False) -> Any:
        when = self.failures.pop(0) if self.failures else ""
        if when == "before":
            raise Unavailable("locked")
        result = await self._db.write(job, urgent=urgent)
        if when == "after":
            raise Unavailable("the commit failed")
        return result


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_claim_whose_commit_fails_sends_nothing_and_loses_nothing(bench: Bench, when: str) -> None:
    await bench.put(draft("a"))
    engine = bench.engine(db=Flaky(bench.db, [when]))
    with pytest.raises(Unavailable):
        await engine.claim()
    assert bench.sender.began == []
    await bench.once(engine)
    assert await bench.states() == {"a": "sent"} and bench.sender.began == ["a"]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_settlement_whose_commit_fails_is_written_again_and_not_sent_again(bench: Bench, when: str) -> None:
    bench.sender.script = {"a": lambda _: Receipt(delivery=Delivery.REFUSED)}
    ticket = await bench.put_on_ticket("a")
    await bench.once(bench.engine(db=Flaky(bench.db, ["", when])))
    assert await bench.states() == {"a": "refused"} and bench.sender.began == ["a"]
    assert len(await bench.events(ticket)) == 1
