"""A state machine over the outbox: puts, sends, crashes, clocks and lanes against a simple model.

Invariants: a notice that must not repeat is sent once at most unless the far side surely did not take
it or a person says so; a lane keeps its order; nothing due is frozen by what was never due; whoever
does not own an attempt settles nothing; the table says what the model says. On PostgreSQL each life is a node with a
lease, and what a dead one left is taken over when its lease has run out.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import update

from gateway.capture import CaptureSender
from gateway.leases import Leases, unique
from gateway.metrics import Metrics
from gateway.outbox import Outbox
from gateway.store import outbox
from gateway.store.database import open_database
from gateway.store.dialect import database_clock
from gateway.store.schema import lease
from normalizer.message import Delivery, Fault, Notice, Receipt
from tests.gateway.conftest import START, FrozenClock
from tests.gateway.outgoing import Told, context, draft, render
from tests.gateway.patience import PATIENCE

SUPPORT = ("mail", "support")
MAX_AGE, LIMIT = timedelta(days=1), timedelta(hours=1)
BROKEN = "broken"
ANSWERS = {
    "sent": Receipt(delivery=Delivery.SENT),
    "refused": Receipt(delivery=Delivery.REFUSED, fault=Fault.MESSAGE),
    "unreachable": Receipt(delivery=Delivery.UNREACHABLE),
    "retry": Receipt(delivery=Delivery.RETRY, fault=Fault.MESSAGE),
    "later": Receipt(delivery=Delivery.RETRY, fault=Fault.MESSAGE, retry_after=5.0),
    "lost": Receipt(delivery=Delivery.RETRY, fault=Fault.MESSAGE, uncertain=True),
    BROKEN: None,
}
DOUBTS = ("lost", BROKEN)


class GatedSender:
    """Begins a send and waits until the test says how it ends."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.waiting: dict[str, asyncio.Future[Receipt | None]] = {}

    async def send(self, notice: Notice) -> Receipt:
        self.began.append(notice.text)
        answer: asyncio.Future[Receipt | None] = asyncio.get_running_loop().create_future()
        self.waiting[notice.text] = answer
        receipt = await answer
        if receipt is None:
            raise ConnectionResetError("half way")
        return receipt


@dataclass(slots=True, kw_only=True)
class Row:
    """What the model knows of a notice."""

    id: int
    lane: str
    repeatable: bool
    replaces: str | None
    due: datetime
    state: str = "waiting"
    attempts: int = 0
    first_sending: datetime | None = None
    may_begin: int = 1
    """How many sends of a notice that must not repeat are allowed so far."""
    begun: int = 0


@dataclass(slots=True)
class Life:
    """One start of the gateway."""

    engine: Outbox
    sender: GatedSender
    rows: dict[str, int] = field(default_factory=dict)


class OutboxMachine(RuleBasedStateMachine):
    emptied: ClassVar[Callable[[], str]]
    """Gives the URL of an empty database."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="outbox-machine-"))
        self.url = type(self).emptied()
        self.clock = FrozenClock(START)
        self.model: dict[str, Row] = {}
        self.dead: list[Life] = []
        self.seed = 0

    def do(self, work):  # type: ignore[no-untyped-def]  # any coroutine
        return self.loop.run_until_complete(asyncio.wait_for(work, PATIENCE))

    @initialize()
    def start(self) -> None:
        async def opened():  # type: ignore[no-untyped-def]
            return open_database(self.url, readers=1, writers=2)

        self.db = self.do(opened())
        self.life = self.born()

    def born(self) -> Life:
        self.seed += 1
        sender = GatedSender()
        rules = {"concurrency": 256, "per_account": 64, "max_age": "1d", "backoff_limit": "1h", "send_timeout": "1d"}
        leases = None
        if self.db.shared:
            leases = Leases(self.db, unique("host:1", Random(self.seed)), timedelta(hours=1))
            self.do(leases.start())
        engine = Outbox(
            self.db, context(outbox=rules), senders={SUPPORT: sender}, capture=CaptureSender(self.folder),
            render=render, clock=self.clock, random=Random(self.seed), owner="host:1", metrics=Metrics(),
            compose=Told(), leases=leases,
        )  # fmt: skip
        return Life(engine, sender)

    def run_out(self) -> None:
        """The leases of all who ever lived are long over, by the database's clock."""
        self.do(
            self.db.write(lambda conn: conn.execute(update(lease).values(until=database_clock(conn) - 2 * MAX_AGE)))
        )

    # -- steps ----------------------------------------------------------------------------

    @rule(
        lane=st.sampled_from(["", "x", "y"]),
        repeatable=st.booleans(),
        replaces=st.sampled_from([None, None, "status"]),
        delay=st.sampled_from([timedelta(0), timedelta(0), timedelta(minutes=2), timedelta(days=1)]),
    )
    def put(self, lane: str, repeatable: bool, replaces: str | None, delay: timedelta) -> None:
        key, due = f"n{len(self.model) + 1}", self.clock() + delay
        made = draft(key, lane=lane, repeatable=repeatable, replaces=replaces, due_at=due)
        row_id = self.do(self.db.write(lambda conn: outbox.put(conn, made, self.clock())))
        if replaces:
            for other in self.model.values():
                if other.replaces == replaces and other.state == "waiting":
                    other.state, due = "replaced", min(due, other.due)
        self.model[key] = Row(id=row_id, lane=lane, repeatable=repeatable, replaces=replaces, due=due)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def put_again(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.model)))
        again = draft(key, replaces="status", repeatable=True)
        assert self.do(self.db.write(lambda conn: outbox.put(conn, again, self.clock()))) is None

    @rule()
    def work(self) -> None:
        """The engine claims, and everything it claims begins to be sent."""
        free = {key for key, row in self.model.items() if self.may_go(row)}
        paused = SUPPORT in self.life.engine.paused
        before = len(self.life.sender.began)
        claimed = self.do(self.life.engine.claim())
        self.do(self.sent(before + claimed))
        begun = self.life.sender.began[before:]
        assert set(begun) <= free if paused else set(begun) == free
        for key in begun:
            self.begin(key)

    async def sent(self, count: int) -> None:
        while len(self.life.sender.began) < count:  # noqa: ASYNC110  a few turns of the loop
            await asyncio.sleep(0.001)

    def begin(self, key: str) -> None:
        row = self.model[key]
        row.state, row.attempts, row.begun = "sending", row.attempts + 1, row.begun + 1
        row.first_sending = row.first_sending or self.clock()
        assert row.repeatable or row.begun <= row.may_begin, f"{key} was sent twice"
        older = [one for one in self.model.values() if row.lane and one.lane == row.lane and one.id < row.id]
        assert not [one for one in older if one.state == "sending"], f"{key} overtook what is being sent"
        assert not [one for one in older if one.state == "waiting" and one.attempts], f"{key} overtook a back-off"

    def may_go(self, row: Row) -> bool:
        def in_the_way(other: Row) -> bool:
            ever_due = other.attempts > 0 or other.due <= self.clock()
            return other.lane == row.lane != "" and other.id < row.id and (
                other.state == "sending" or (other.state == "waiting" and ever_due)
            )  # fmt: skip

        return row.state == "waiting" and row.due <= self.clock() and not any(map(in_the_way, self.model.values()))

    @precondition(lambda self: self.life.sender.waiting)
    @rule(data=st.data(), how=st.sampled_from(sorted(ANSWERS)))
    def answer(self, data: st.DataObject, how: str) -> None:
        """The far side answers one send, or breaks off."""
        key = data.draw(st.sampled_from(sorted(self.life.sender.waiting)))
        row = self.model[key]
        self.do(self.end(self.life, key, how))
        too_old = self.clock() - (row.first_sending or START) >= MAX_AGE
        if how in DOUBTS and not row.repeatable:
            row.state = "unknown"
        elif how in ("retry", "later", *DOUBTS):
            row.state = "dead" if too_old else "waiting"
            row.may_begin += how not in DOUBTS  # it surely did not go out
            self.read_due(key)
        else:
            row.state = how

    async def end(self, life: Life, key: str, how: str) -> None:
        life.sender.waiting.pop(key).set_result(ANSWERS[how])
        while self.model[key].id in life.engine.under_way:  # noqa: ASYNC110  a few turns of the loop
            await asyncio.sleep(0.001)

    def read_due(self, key: str) -> None:
        """The pause is drawn at random: only its bounds are the model's."""
        row = self.model[key]
        stored = self.do(self.db.read(lambda conn: outbox.get(conn, row.id)))
        if row.state == "waiting":
            assert self.clock() < stored.due_at <= self.clock() + LIMIT
            row.due = stored.due_at

    @rule(claims=st.booleans())
    def crash(self, claims: bool) -> None:
        """The process dies: between claim and send (`claims`), or between send and settle. Another one starts."""
        if claims:
            free = sorted(row.id for row in self.model.values() if self.may_go(row))
            self.do(self.db.write(lambda conn: outbox.claim(conn, free, "died at once", self.clock())))
            for row in self.model.values():
                if row.id in free:
                    row.state, row.attempts = "sending", row.attempts + 1
                    row.first_sending = row.first_sending or self.clock()
        self.dead.append(self.life)
        if self.db.shared:
            self.run_out()
        self.life = self.born()

        async def recover() -> None:
            await self.life.engine.recover()
            await self.life.engine.finish(PATIENCE)

        self.do(recover())
        for key, row in self.model.items():
            if row.state == "sending":
                too_old = self.clock() - (row.first_sending or START) >= MAX_AGE
                row.state = "unknown" if not row.repeatable else "dead" if too_old else "waiting"
                self.read_due(key)

    @precondition(lambda self: any(life.sender.waiting for life in self.dead))
    @rule(data=st.data(), how=st.sampled_from(sorted(ANSWERS)))
    def answer_the_dead(self, data: st.DataObject, how: str) -> None:
        """A process that was taken for dead gets its answer and settles: in vain."""
        life = data.draw(st.sampled_from([life for life in self.dead if life.sender.waiting]))
        self.do(self.end(life, data.draw(st.sampled_from(sorted(life.sender.waiting))), how))

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def staff_retry(self, data: st.DataObject) -> None:
        row = self.model[data.draw(st.sampled_from(sorted(self.model)))]
        again = self.do(self.db.write(lambda conn: outbox.retry(conn, [row.id], self.clock())))
        assert bool(again) == (row.state in ("dead", "unknown", "refused", "unreachable", "suppressed"))
        if again:
            row.state, row.attempts, row.first_sending, row.due = "waiting", 0, None, self.clock()
            row.may_begin = row.begun + 1

    @rule(by=st.sampled_from([timedelta(seconds=6), timedelta(minutes=2), LIMIT, MAX_AGE]))
    def time_passes(self, by: timedelta) -> None:
        self.clock.forward(by)

    # -- what always holds ----------------------------------------------------------------

    @invariant()
    def the_table_says_what_the_model_says(self) -> None:
        rows = self.do(self.db.read(lambda conn: outbox.listing(conn, limit=1000)))
        stored = {row.key: (row.state, row.attempts, row.due_at) for row in rows}
        assert stored == {key: (row.state, row.attempts, row.due) for key, row in self.model.items()}

    def teardown(self) -> None:
        async def closed() -> None:
            for life in [*self.dead, self.life]:
                for answer in life.sender.waiting.values():
                    answer.cancel()
                await life.engine.finish(PATIENCE)
            await self.db.close()

        if hasattr(self, "life"):
            self.do(closed())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder)


EXAMPLES = {"sqlite": 40, "postgresql": 12}
"""Kind of database -> lives of a machine; one on PostgreSQL takes longer."""


@pytest.mark.timeout(600)
def test_the_outbox_keeps_its_promises(emptied: Callable[[], str], db_url: str) -> None:
    OutboxMachine.emptied = staticmethod(emptied)
    machine = OutboxMachine.TestCase
    machine.settings = settings(
        max_examples=EXAMPLES["sqlite" if db_url.startswith("sqlite") else "postgresql"], stateful_step_count=40,
        deadline=None, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    machine("runTest").runTest()
