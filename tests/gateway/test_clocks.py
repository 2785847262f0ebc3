"""Deadlines from the history, and the timers that look at them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from gateway import checks, clocks, desk
from gateway.store import outbox, schema, tickets
from gateway.store.database import Database
from gateway.timers import Timers
from router import sla
from router.assignment import Assignment, Deadlines
from router.hours import business_between, is_open
from router.policy import Calendar, Contract, Policy, Terms
from tests.gateway.conftest import START, FrozenClock
from tests.gateway.outgoing import context, open_ticket

T = TypeVar("T")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WORKDAY = ((9 * 60, 17 * 60),)
OFFICE = Calendar(key="office", zone="UTC", week=(WORKDAY,) * 5 + ((), ()))
ALWAYS = Calendar(key="always", zone="UTC", week=(((0, 1440),),) * 7)
TERMS = {
    3: Terms(reaction=HOUR, resolution=4 * HOUR, calendar="always"),
    4: Terms(reaction=4 * HOUR, resolution=16 * HOUR),
    6: Terms(reaction=8 * HOUR),
}
ACME = Contract(key="acme", calendar="office", terms=TERMS)
POLICY = Policy(contracts={"acme": ACME}, calendars={"office": OFFICE, "always": ALWAYS})
AGENTS = {"olha": {"name": "Olha", "addresses": ["olha@desk.example"]}}
CTX = context(
    POLICY, agents=AGENTS, watchers=["manager@desk.example"], lines={"L1": {"recipients": ["line1@desk.example"]}}
)


class Desk:
    """A ticket of Acme's and what happens to it."""

    def __init__(self, db: Database, clock: FrozenClock) -> None:
        self.db, self.clock, self.ticket = db, clock, 0
        self.loop = Timers(db, CTX, checks.CHECKS, clock, after=lambda: None)

    async def do(self, work: Callable[[Connection], T]) -> T:
        return await self.db.write(work)

    async def open(self, class_: int | None = 4, contract: str | None = "acme", **columns: Any) -> None:
        def work(conn: Connection) -> int:
            ticket = open_ticket(conn, self.clock(), class_=class_, contract=contract, **columns)
            clocks.recompute(conn, CTX, ticket, self.clock())
            return ticket

        self.ticket = await self.do(work)

    async def event(self, kind: str, data: dict[str, Any], actor: str = "requester", **columns: Any) -> None:
        def work(conn: Connection) -> None:
            tickets.add_event(conn, self.ticket, at=self.clock(), actor=actor, kind=kind, data=data)
            if columns:
                tickets.update(conn, self.ticket, **columns)
            clocks.recompute(conn, CTX, self.ticket, self.clock())

        await self.do(work)

    async def row(self) -> Any:
        return await self.db.read(lambda conn: tickets.get(conn, self.ticket))

    async def history(self, *kinds: str) -> list[Any]:
        rows = await self.db.read(lambda conn: tickets.history(conn, self.ticket))
        return [row for row in rows if row.kind in kinds]

    async def outcomes(self) -> dict[tuple[str, int], str]:
        rows = await self.db.read(lambda conn: conn.execute(select(schema.timer)).all())
        return {(row.kind, row.version): row.outcome for row in rows}

    async def pass_time(self, by: timedelta) -> None:
        self.clock.forward(by)
        while await self.loop.fire():
            pass


@pytest.fixture
def acme(db: Database, clock: FrozenClock) -> Desk:
    return Desk(db, clock)


async def test_opening_sets_both_deadlines_in_business_time(acme: Desk) -> None:
    await acme.open()
    row = await acme.row()
    assert row.reaction_due == START + 4 * HOUR
    assert row.resolution_due == datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
    assert row.deadline_version == 1
    assert {reason["what"] for reason in row.because} == {"reaction", "resolution"}


async def test_a_stranger_has_no_deadline_and_no_timers(acme: Desk) -> None:
    await acme.open(class_=None, contract=None)
    row = await acme.row()
    assert (row.reaction_due, row.resolution_due) == (None, None)
    assert await acme.outcomes() == {}


@pytest.mark.parametrize("routed", [True, False])
@pytest.mark.parametrize(("class_", "contract"), [(4, "acme"), (3, "acme"), (None, "acme"), (6, "acme"), (4, None)])
async def test_a_new_ticket_has_the_deadlines_and_timers_of_its_history(
    acme: Desk, class_: int | None, contract: str | None, routed: bool
) -> None:
    """Filing writes them with the ticket, without reading a history: computing them again must move nothing."""
    policy = dataclasses.replace(POLICY, version="routed")
    ctx = dataclasses.replace(CTX, policy=policy)
    data = {"class": class_, "contract": contract}
    routed_by = sla.deadlines([sla.Moment(at=START, kind="opened", data=data)], policy) if routed else Deadlines()
    said = Assignment(class_=class_, contract=contract, deadlines=routed_by, policy="routed" if routed else "older")

    def written(conn: Connection, *, again: bool) -> tuple[Any, list[Any]]:
        deadlines = clocks.at_opening(ctx, said, START)
        columns = {} if again else clocks.opening_columns(deadlines, [{"what": "class"}])
        ticket = open_ticket(
            conn, START, class_=class_, contract=contract, **{"because": [{"what": "class"}], **columns}
        )
        if not again:
            new = clocks.Clocked(id=ticket, contract=contract, opened_at=START)
            clocks.put_first_timers(conn, ctx, new, deadlines, START)
        clocks.recompute(conn, ctx, ticket, START)
        row = tickets.get(conn, ticket)
        timer = schema.timer.c
        wanted = select(timer.kind, timer.version, timer.due_at, timer.data).where(timer.ticket_id == ticket)
        return tuple(getattr(row, name) for name in (*clocks.COLUMNS, "deadline_version", "because")), [
            tuple(found) for found in conn.execute(wanted.order_by(timer.kind))
        ]

    at_once = await acme.do(lambda conn: written(conn, again=False))
    assert at_once == await acme.do(lambda conn: written(conn, again=True))
    assert bool(at_once[1]) == (contract is not None)


async def test_a_persons_answer_ends_the_reaction_and_a_robots_does_not(acme: Desk) -> None:
    await acme.open()
    acme.clock.forward(HOUR)
    await acme.event("reply", {}, actor="gateway")
    assert (await acme.row()).reaction_met_at is None
    await acme.event("reply", {}, actor="agent:olha")
    row = await acme.row()
    assert row.reaction_met_at == START + HOUR and row.reaction_due is None


async def test_nothing_moved_means_the_same_version(acme: Desk) -> None:
    await acme.open()
    await acme.event("note", {}, actor="agent:olha")
    assert (await acme.row()).deadline_version == 1


async def test_waiting_stops_the_resolution_and_the_answer_starts_it_again(acme: Desk) -> None:
    await acme.open()
    due = (await acme.row()).resolution_due
    await acme.event("question", {"status": ["new", "waiting"]}, actor="agent:olha", status="waiting")
    assert (await acme.row()).resolution_due is None
    acme.clock.forward(2 * HOUR)
    await acme.event("message", {"status": ["waiting", "open"]}, status="open")
    assert (await acme.row()).resolution_due == due + 2 * HOUR


async def test_a_changed_class_is_counted_from_the_beginning(acme: Desk) -> None:
    await acme.open()
    acme.clock.forward(2 * HOUR)
    await acme.event("class", {"class": 3, "before": 4}, actor="agent:olha", class_=3)
    row = await acme.row()
    assert row.reaction_due == START + HOUR, "already over"
    assert row.resolution_due == START + 4 * HOUR


async def test_warning_and_breach_are_told_once_each(acme: Desk) -> None:
    await acme.open()
    await acme.pass_time(3 * HOUR - timedelta(minutes=1))
    assert await acme.history("warning") == []
    await acme.pass_time(timedelta(minutes=1))
    (warning,) = await acme.history("warning")
    assert warning.data["clock"] == "reaction"
    await acme.pass_time(HOUR)
    assert [event.data["clock"] for event in await acme.history("breach")] == ["reaction"]
    await acme.event("note", {}, actor="agent:olha")
    await acme.pass_time(HOUR)
    assert len(await acme.history("warning", "breach")) == 2


async def test_a_met_deadline_warns_nobody(acme: Desk) -> None:
    await acme.open(class_=6)
    await acme.event("reply", {}, actor="agent:olha")
    await acme.pass_time(30 * DAY)
    assert await acme.history("warning", "breach") == []
    assert await acme.outcomes() == {
        ("warning:reaction", 1): "the clock does not run",
        ("breach:reaction", 1): "the clock does not run",
    }


async def test_a_moved_deadline_is_checked_at_its_own_time_only(acme: Desk) -> None:
    await acme.open(class_=6)
    await acme.event("class", {"class": 4, "before": 6}, actor="agent:olha", class_=4)
    await acme.pass_time(30 * DAY)
    outcomes = await acme.outcomes()
    assert outcomes["breach:reaction", 1] == "the deadline moved"
    assert outcomes["breach:reaction", 2] == "told"
    assert outcomes["warning:reaction", 2] == "too late to warn", "the loop was away for a month"


async def test_after_a_pause_nobody_is_warned_twice(acme: Desk) -> None:
    await acme.open(class_=3)
    await acme.event("reply", {}, actor="agent:olha")
    await acme.pass_time(3 * HOUR)
    assert len(await acme.history("warning")) == 1
    acme.clock.forward(timedelta(minutes=30))
    await acme.event("question", {"status": ["open", "waiting"]}, actor="agent:olha", status="waiting")
    acme.clock.forward(HOUR)
    await acme.event("message", {"status": ["waiting", "open"]}, status="open")
    await acme.pass_time(timedelta(minutes=1))
    assert len(await acme.history("warning")) == 1
    await acme.pass_time(HOUR)
    assert len(await acme.history("breach")) == 1


async def test_a_held_ticket_disturbs_nobody(acme: Desk) -> None:
    await acme.open(status="held")
    await acme.pass_time(30 * DAY)
    assert await acme.history("warning", "breach") == []


async def test_a_deadline_that_passed_while_the_ticket_was_held_is_told_when_it_is_let_go(acme: Desk) -> None:
    await acme.open(status="held")
    await acme.pass_time(DAY)
    await acme.event("status", {"status": ["held", "open"]}, actor="agent:olha", status="open")
    await acme.pass_time(timedelta(minutes=1))
    assert [event.data["clock"] for event in await acme.history("breach")] == ["reaction"]
    await acme.pass_time(7 * DAY)
    assert [event.data["clock"] for event in await acme.history("breach")] == ["reaction", "resolution"]


@pytest.mark.parametrize(
    ("class_", "clock", "due", "warned"),
    [
        (4, "reaction", datetime(2026, 3, 3, 10, 0, tzinfo=UTC), datetime(2026, 3, 3, 9, 0, tzinfo=UTC)),
        (4, "reaction", datetime(2026, 3, 3, 9, 30, tzinfo=UTC), datetime(2026, 3, 2, 16, 30, tzinfo=UTC)),
        (3, "resolution", datetime(2026, 3, 3, 2, 0, tzinfo=UTC), datetime(2026, 3, 3, 1, 0, tzinfo=UTC)),
    ],
    ids=["same day", "the evening before, not at night", "round the clock"],
)
def test_a_warning_comes_in_open_hours(class_: int, clock: clocks.Clock, due: datetime, warned: datetime) -> None:
    at = clocks.warning_time(POLICY, "acme", class_, clock, opened_at=START, due=due, share=0.75)
    assert at == warned


@given(
    start=st.datetimes(datetime(2026, 3, 1), datetime(2026, 3, 20), timezones=st.just(UTC)),
    length=st.timedeltas(timedelta(0), timedelta(days=12)),
    share=st.floats(0.05, 0.95),
)
def test_a_warning_leaves_the_rest_of_the_open_time(start: datetime, length: timedelta, share: float) -> None:
    due = start + length
    at = clocks.warning_time(POLICY, "acme", 4, "resolution", opened_at=start, due=due, share=share)
    rest, left = 16 * HOUR * (1 - share), business_between(OFFICE, at, due)
    assert start <= at <= due
    assert left == min(rest, business_between(OFFICE, start, due))
    assert at == start or is_open(OFFICE, at), "somebody is there to be warned"


async def test_a_resolved_ticket_is_closed_after_the_configured_days(acme: Desk) -> None:
    await acme.open(class_=None, contract=None)
    done = await acme.do(
        lambda conn: desk.resolve(conn, CTX, acme.ticket, actor="agent:olha", now=acme.clock(), result="Done.")
    )
    await acme.pass_time(7 * DAY - HOUR)
    assert (await acme.row()).status == "resolved"
    await acme.pass_time(HOUR)
    assert (await acme.row()).status == "closed"
    assert (await acme.outcomes())["close", done.event_id] == "closed"


async def test_a_reopened_ticket_is_not_closed(acme: Desk) -> None:
    await acme.open(class_=None, contract=None)
    await acme.event("resolved", {"status": ["new", "resolved"]}, actor="agent:olha", status="resolved")
    await acme.pass_time(6 * DAY)
    await acme.event("reopened", {"status": ["resolved", "open"]}, status="open")
    await acme.pass_time(30 * DAY)
    assert (await acme.row()).status == "open"


async def test_a_question_is_repeated_once_and_then_the_ticket_is_closed(acme: Desk) -> None:
    await acme.open(class_=None, contract=None)
    await acme.do(
        lambda conn: desk.ask(conn, CTX, acme.ticket, actor="agent:olha", now=acme.clock(), text="Which printer?")
    )
    await acme.pass_time(2 * DAY)
    (reminder,) = await acme.history("reminder")
    assert reminder.data["text"] == "Which printer?"
    assert reminder.data["closes_at"] == (START + 14 * DAY).isoformat()
    await acme.pass_time(11 * DAY)
    assert len(await acme.history("reminder")) == 1 and (await acme.row()).status == "waiting"
    await acme.pass_time(DAY)
    assert (await acme.row()).status == "closed"


async def test_an_answered_question_is_not_repeated(acme: Desk) -> None:
    await acme.open(class_=None, contract=None)
    await acme.event("question", {"status": ["new", "waiting"]}, actor="agent:olha", status="waiting")
    await acme.pass_time(DAY)
    await acme.event("message", {"status": ["waiting", "open"]}, status="open")
    await acme.pass_time(30 * DAY)
    assert await acme.history("reminder") == [] and (await acme.row()).status == "open"


async def test_a_breach_reaches_line_and_watchers(acme: Desk) -> None:
    """Through the whole chain: timer, change, notices in the outbox."""
    await acme.open()
    await acme.pass_time(5 * HOUR)
    rows = await acme.db.read(lambda conn: outbox.listing(conn, ticket_id=acme.ticket))
    assert {"line1@desk.example", "manager@desk.example"} <= {row.recipient for row in rows}
