"""Who is called for a mark and when, in either database: what the timers find, and what becomes of a call."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, select, text

from gateway import rating_calls, surveys
from gateway.checks import CHECKS
from gateway.store import consents, outbox, people, schema, tickets, timers
from gateway.store.blobs import Blobs
from gateway.store.database import Database, open_database
from gateway.store.outbox import Row, Settlement
from gateway.survey_policy import SurveyPolicy
from normalizer.call import CallState
from normalizer.message import RATING_CALL
from router.policy import Contract
from tests.gateway.conftest import FrozenClock
from tests.gateway.people_desk import POLICY, SETTINGS, Desk, context
from tests.twilio.provider import ACCOUNT, OURS

LANDLINE = "+380442000001"
KYIV = ZoneInfo("Europe/Kyiv")
MONDAY = datetime(2026, 5, 4, 12, 0, tzinfo=KYIV)


class Phones(Desk):
    """People who asked by telephone."""

    async def asked(self, requester: str = LANDLINE, **columns: Any) -> int:
        """A ticket, resolved."""
        now = self.clock()

        def job(conn: Connection) -> int:
            contact = people.contact_for(conn, "phone", requester, "", now)
            place = {"answer_to": {"to": requester, "from": OURS}, "private": True}
            ticket = tickets.open_ticket(
                conn, channel="voice", account="main", requester=requester, requester_id=contact, requester_name="",
                subject="x", language="uk", opened_at=now, now=now, **{"conversation": place, **columns},
            )  # fmt: skip
            data = {"class": None, "contract": None, "line": "L1"}
            tickets.add_event(conn, ticket, at=now, actor="requester", kind="opened", data=data)
            return ticket

        ticket: int = await self.do(job)
        await self.act("resolve", ticket, result="Cable.")
        return ticket

    async def fire(self, kind: str) -> list[str | datetime]:
        """What the due timers of a kind come to."""

        def job(conn: Connection) -> list[str | datetime]:
            due = [timers.unfired(conn, timer_id) for timer_id in timers.due(conn, self.clock(), 100)]
            return [self.check(conn, timer) for timer in due if timer is not None and timer.kind == kind]

        found: list[str | datetime] = await self.do(job)
        return found

    def check(self, conn: Connection, timer: timers.Timer) -> str | datetime:
        """As the loop of timers does it."""
        now = self.clock()
        outcome = CHECKS[timer.kind](conn, self.ctx, timer, now)
        if isinstance(outcome, datetime):
            timers.postpone(conn, timer, outcome, {})
        else:
            timers.fired(conn, timer.id, outcome, now)
        return outcome

    async def due(self, kind: str) -> list[datetime]:
        table = schema.timer.c
        wanted = select(table.due_at).where(table.kind == kind, table.fired_at.is_(None)).order_by(table.id)
        found: Sequence[datetime] = await self.do(lambda conn: list(conn.scalars(wanted)))
        return [at.astimezone(KYIV) for at in found]

    async def calls(self) -> list[Row]:
        rows: list[Row] = await self.do(lambda conn: outbox.listing(conn, limit=100))
        return [row for row in rows if row.kind == RATING_CALL]

    async def vain(self, row: Row, state: CallState) -> None:
        now = self.clock()
        await self.do(lambda conn: rating_calls.in_vain(conn, self.ctx, row, state, "", now, key=f"call:{row.id}"))

    async def went(self, row: Row) -> Row:
        """It is called."""

        def job(conn: Connection) -> Row | None:
            (mine,) = outbox.claim(conn, [row.id], "n", self.clock())
            outbox.settle(conn, Settlement(id=row.id, owner="n", attempts=mine.attempts, state="sent"), self.clock())
            return outbox.get(conn, row.id)

        found: Row = await self.do(job)
        return found

    def at(self, day: int, hour: int, minute: int = 0) -> None:
        self.clock.now = datetime(2026, 5, day, hour, minute, tzinfo=KYIV)


@pytest.fixture
def phones(db: Database, blobs: Blobs, clock: FrozenClock) -> Phones:
    clock.now = MONDAY
    channels = {**SETTINGS["channels"], "voice": {"main": {**ACCOUNT, "timezone": "Europe/Kyiv"}}}
    return Phones(db, blobs, clock, context(SurveyPolicy(calls=True), channels=channels))


async def test_a_call_is_put_an_hour_later_and_once(phones: Phones) -> None:
    ticket = await phones.asked()
    assert await phones.due(RATING_CALL) == [MONDAY + timedelta(hours=1)]
    phones.at(4, 13)
    assert await phones.fire(RATING_CALL) == ["called"]
    (row,) = await phones.calls()
    assert (row.recipient, row.state, row.repeatable, row.automatic) == (LANDLINE, "waiting", False, True)
    assert row.destination == {"to": LANDLINE, "from": OURS} and row.ticket_id == ticket
    assert await phones.do(lambda conn: rating_calls.look(conn, phones.ctx, row, phones.clock())) == ""


async def test_the_hour_is_looked_at_again_and_what_waits_was_not_tried(phones: Phones) -> None:
    await phones.asked()
    phones.at(4, 13)
    await phones.fire(RATING_CALL)
    (row,) = await phones.calls()
    phones.at(4, 20)
    may = await phones.do(lambda conn: rating_calls.look(conn, phones.ctx, row, phones.clock()))
    assert may == datetime(2026, 5, 5, 10, tzinfo=KYIV)

    def put_off(conn: Connection) -> Row | None:
        (mine,) = outbox.claim(conn, [row.id], "n", phones.clock())
        done = Settlement(id=row.id, owner="n", attempts=mine.attempts, state="waiting", due_at=may, tried=False)
        assert outbox.settle(conn, done, phones.clock())
        return outbox.get(conn, row.id)

    waits = await phones.do(put_off)
    assert (waits.attempts, waits.first_sending_at, waits.due_at) == (0, None, may)


REASONS = {
    "switched off": {"surveys": SurveyPolicy()},
    "surveys are off": {"surveys": SurveyPolicy(calls=True, enabled=False)},
    "a shared number": {
        "policy": replace(POLICY, contracts={"acme": Contract(key="acme", phones=(LANDLINE,), calendar="kyiv")})
    },
}


@pytest.mark.parametrize("reason", REASONS)
async def test_what_changed_since_counts_when_it_would_be_put_and_when_it_would_be_made(
    phones: Phones, reason: str
) -> None:
    await phones.asked()
    phones.at(4, 13)
    before = phones.ctx
    phones.configure(**REASONS[reason])
    assert await phones.fire(RATING_CALL) == [reason]
    phones.ctx = before
    await phones.asked("+380442000002")
    phones.at(4, 15)
    await phones.fire(RATING_CALL)
    (row,) = await phones.calls()
    listed = replace(POLICY, contracts={"acme": Contract(key="acme", phones=(row.recipient,), calendar="kyiv")})
    phones.configure(**(REASONS[reason] if reason != "a shared number" else {"policy": listed}))
    assert await phones.do(lambda conn: rating_calls.look(conn, phones.ctx, row, phones.clock())) == reason


async def test_an_account_that_is_off_calls_nobody_and_says_so(phones: Phones) -> None:
    ticket = await phones.asked()
    phones.at(4, 13)
    off = {"main": {**ACCOUNT, "timezone": "Europe/Kyiv", "outbound": "off"}}
    phones.ctx = context(SurveyPolicy(calls=True), channels={**SETTINGS["channels"], "voice": off})
    assert await phones.fire(RATING_CALL) == ["outbound off"] and await phones.calls() == []
    history = await phones.do(lambda conn: tickets.history(conn, ticket))
    assert [event.data["detail"] for event in history if event.kind == RATING_CALL] == ["outbound off"]


async def test_who_pressed_nine_said_stop_or_answered_meanwhile_is_not_called(phones: Phones) -> None:
    await phones.asked()
    phones.at(4, 13)
    await phones.fire(RATING_CALL)
    (row,) = await phones.calls()
    now = phones.clock()

    def look(conn: Connection) -> str | datetime:
        return rating_calls.look(conn, phones.ctx, row, now)

    def stop(conn: Connection) -> None:
        consents.wish(conn, "voice", "+380449999999", LANDLINE, "stop", how="key", now=now)

    def start(conn: Connection) -> None:
        consents.wish(conn, "voice", "+380449999999", LANDLINE, "start", how="key", now=now)

    await phones.do(stop)
    assert await phones.do(look) == "stopped"
    await phones.do(start)
    assert await phones.do(look) == ""
    survey = row.variables["survey"]
    await phones.do(lambda conn: surveys.rate(conn, phones.ctx, survey, 5, "", "voice", "k", now))
    assert await phones.do(look) == "answered"


async def test_the_second_call_is_three_hours_later_and_there_is_no_third(phones: Phones) -> None:
    await phones.asked()
    phones.at(4, 13)
    await phones.fire(RATING_CALL)
    row = await phones.went((await phones.calls())[0])
    for _ in range(2):  # it is told twice
        await phones.vain(row, "no_answer")
    assert await phones.due(rating_calls.AGAIN) == [MONDAY + timedelta(hours=4)]
    phones.at(4, 16)
    assert await phones.fire(rating_calls.AGAIN) == ["called"]
    second = await phones.went((await phones.calls())[1])
    await phones.vain(second, "busy")
    assert await phones.due(rating_calls.AGAIN) == []
    assert [row.state for row in await phones.calls()] == ["unreachable", "unreachable"]


@pytest.mark.parametrize("state", ["failed", "canceled", "completed"])
async def test_what_would_not_help_is_not_tried_again(phones: Phones, state: CallState) -> None:
    await phones.asked()
    phones.at(4, 13)
    await phones.fire(RATING_CALL)
    await phones.vain(await phones.went((await phones.calls())[0]), state)
    assert await phones.due(rating_calls.AGAIN) == []


async def test_one_number_is_not_called_about_two_tickets_a_day_and_the_second_is_asked_about_the_next(
    phones: Phones,
) -> None:
    for minute in (0, 10, 20):
        phones.at(4, 12, minute)
        await phones.asked()
    phones.at(4, 14)
    morning = datetime(2026, 5, 5, 10, tzinfo=KYIV)
    assert await phones.fire(RATING_CALL) == ["called", morning, morning]
    phones.at(5, 10)
    assert await phones.fire(RATING_CALL) == ["called", datetime(2026, 5, 6, 10, tzinfo=KYIV)]
    phones.at(6, 10)
    assert await phones.fire(RATING_CALL) == ["called"] and await phones.due(RATING_CALL) == []


async def test_a_call_that_waited_for_its_hours_counts_from_when_it_is_made(phones: Phones) -> None:
    await phones.asked()
    phones.at(4, 12, 10)
    await phones.asked()
    # A Friday evening: nobody looked before, and the first one waits for Monday.
    phones.at(8, 20)
    assert await phones.fire(RATING_CALL) == ["called", datetime(2026, 5, 12, 10, tzinfo=KYIV)]
    (row,) = await phones.calls()
    assert row.due_at.astimezone(KYIV) == datetime(2026, 5, 11, 10, tzinfo=KYIV)


async def test_whom_nobody_calls_any_more_has_the_reason_in_the_history(phones: Phones) -> None:
    for minute in (0, 10):
        phones.at(4, 12, minute)
        second = await phones.asked()
    policy = SurveyPolicy(calls=True, expires=timedelta(hours=12))
    phones.ctx = replace(phones.ctx, surveys=policy)
    phones.at(4, 14)
    assert await phones.fire(RATING_CALL) == ["called", "called about others"]
    history = await phones.do(lambda conn: tickets.history(conn, second))
    assert [event.data for event in history if event.kind == RATING_CALL] == [
        {"call": 1, "state": "not_made", "detail": "called about others"}
    ]


async def test_two_nodes_at_once_call_one_number_once(phones: Phones, pg_url: str) -> None:
    nodes = [Phones(open_database(pg_url), phones.blobs, phones.clock, phones.ctx) for _ in range(2)]
    first, second = nodes
    looked, beside = threading.Event(), threading.Event()
    try:
        for node in nodes:
            await node.asked()
        phones.at(4, 14)
        one, other = await first.do(lambda conn: [timers.unfired(conn, each) for each in timers.due(conn, MONDAY
                                                  + timedelta(hours=2), 9)])  # fmt: skip

        def ahead(conn: Connection) -> str | datetime:
            found = first.check(conn, one)
            looked.set()
            waits = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            until = time.monotonic() + 90
            while not beside.wait(0.05) and not conn.scalar(waits):
                assert time.monotonic() < until
            return found

        def behind(conn: Connection) -> str | datetime:
            assert looked.wait(90)
            found = second.check(conn, other)
            beside.set()
            return found

        ends = await asyncio.gather(first.do(ahead), second.do(behind))
        assert ends == ["called", datetime(2026, 5, 5, 10, tzinfo=KYIV)] and len(await first.calls()) == 1
    finally:
        for node in nodes:
            await node.db.close()


async def test_what_is_reopened_takes_its_call_back(phones: Phones) -> None:
    ticket = await phones.asked()
    phones.at(4, 13)
    await phones.fire(RATING_CALL)
    await phones.act("set_status", ticket, status="open")
    assert [row.state for row in await phones.calls()] == ["replaced"]


async def test_other_channels_are_not_called(phones: Phones) -> None:
    ticket = await phones.open()
    await phones.act("resolve", ticket, result="Cable.")
    assert await phones.due(RATING_CALL) == []
