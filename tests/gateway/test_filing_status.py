"""Reports of what became of our messages: in any order, twice, too early, about nothing; ranked and acted on once."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import select, update

from gateway.alerts import Alerts
from gateway.filing_status import PAUSE
from gateway.metrics import Metrics
from gateway.store import outbox, people, schema
from gateway.store.schema_chats import send_status as table
from tests.gateway.filing_desk import context
from tests.gateway.text_desk import ANNA, BOB, OURS, TextDesk, texts

__all__ = ["texts"]

MINE, LATER = "SM" + "f" * 32, "SM" + "e" * 32


async def state(texts: TextDesk) -> list[tuple[str, str]]:
    def look(conn: Any) -> Any:
        return [tuple(row) for row in conn.execute(select(table.c.state, table.c.verdict))]

    found: list[tuple[str, str]] = await texts.db.read(look)
    return found


@pytest.mark.parametrize("order", list(permutations(["queued", "sending", "sent", "delivered"]))[::4])
async def test_in_any_order_and_twice_the_highest_state_counts(texts: TextDesk, order: tuple[str, ...]) -> None:
    ticket = await texts.say("Не печатает")
    row = await texts.sent(ticket, MINE)
    for reported in (*order, *order):
        await texts.report(MINE, reported, o=str(row))
    assert await state(texts) == [("delivered", "")]
    assert (await texts.row(row)).state == "sent"
    assert (await texts.kinds(ticket.ticket_id)).count("delivered") == 1


async def test_never_back_from_what_arrived(texts: TextDesk) -> None:
    ticket = await texts.say("Не печатает")
    row = await texts.sent(ticket, MINE)
    await texts.report(MINE, "delivered")
    assert (await texts.report(MINE, "undelivered", ErrorCode="30005")).because.startswith("known")
    assert (await texts.row(row)).state == "sent"
    await texts.report(MINE, "read")
    await texts.report(MINE, "delivered")
    assert await state(texts) == [("read", "")]


async def test_what_arrived_after_all_did_arrive(texts: TextDesk) -> None:
    ticket = await texts.say("Не печатает")
    row = await texts.sent(ticket, MINE)
    await texts.report(MINE, "undelivered", ErrorCode="30005")
    assert (await texts.row(row)).state == "unreachable"
    await texts.report(MINE, "delivered")
    assert (await texts.row(row)).state == "sent"
    assert await texts.db.read(lambda conn: people.unreachable_by(conn, "phone", ANNA, "sms")) is None


@pytest.mark.parametrize(
    ("code", "after", "marked", "wish"),
    [
        ("30005", "unreachable", True, None),
        ("21614", "unreachable", True, None),
        ("21610", "unreachable", False, "stop"),
        ("30007", "refused", False, None),
        ("20003", "refused", False, None),
        ("63003", "refused", False, None),
        ("99999", "refused", False, None),
        ("", "refused", False, None),
        ("30003", "waiting", False, None),
        ("30036", "waiting", False, None),
    ],
)
async def test_each_verdict_does_its_own(
    texts: TextDesk, code: str, after: str, marked: bool, wish: str | None
) -> None:
    ticket = await texts.say("Не печатает")
    row = await texts.sent(ticket, MINE)
    await texts.report(MINE, "undelivered", ErrorCode=code, o=str(row))
    await texts.report(MINE, "undelivered", ErrorCode=code, o=str(row))
    assert (await texts.row(row)).state == after
    mark = await texts.db.read(lambda conn: people.unreachable_by(conn, "phone", ANNA, "sms"))
    assert (mark is not None) == marked
    assert await texts.wishes() == ([("sms", OURS, ANNA, wish)] if wish else [])
    assert (await texts.kinds(ticket.ticket_id)).count("undelivered") == 1
    (event,) = [one for one in await texts.events(ticket.ticket_id) if one.kind == "undelivered"]
    assert event.data["state"] == after
    assert code in event.data["detail"]


@pytest.mark.parametrize("code", ["30005", "21610", "63003", "20003"])
async def test_what_did_not_arrive_goes_by_the_next_channel(texts: TextDesk, code: str) -> None:
    await texts.also_by_mail()
    ticket = await texts.say("Не печатает")
    row = await texts.sent(ticket, MINE)
    for _ in range(2):
        await texts.report(MINE, "failed", ErrorCode=code)
    handed = [one for one in await texts.outbox() if one.key == f"next:{row}"]
    assert [(one.channel, one.recipient, one.template) for one in handed] == [("mail", "anna@client.example", "reply")]


async def test_a_telephone_that_is_off_is_tried_three_times_in_half_hours(texts: TextDesk) -> None:
    await texts.also_by_mail()
    ticket = await texts.say("Не печатает")
    row = await texts.sent(ticket, MINE)
    await texts.report(MINE, "undelivered", ErrorCode="30003")
    waiting = await texts.row(row)
    assert (waiting.state, waiting.due_at) == ("waiting", texts.clock() + PAUSE)
    other = await texts.sent(ticket, LATER, attempts=3)
    await texts.report(LATER, "undelivered", ErrorCode="30003")
    assert (await texts.row(other)).state == "refused"
    assert f"next:{other}" in [one.key for one in await texts.outbox()]


async def test_a_report_before_our_call_returned_waits_for_it(texts: TextDesk) -> None:
    ticket = await texts.say("Не печатает")
    row = await texts.sent(ticket, MINE, state="sending")
    assert (await texts.report(MINE, "undelivered", ErrorCode="30005", o=str(row))).kind == "later"
    assert (await texts.report(LATER, "sent")).kind == "later"
    assert await state(texts) == []
    texts.later(seconds=11)
    assert (await texts.report(MINE, "delivered", o=str(row))).kind == "later"
    (first, *_) = await texts.db.read(
        lambda conn: conn.execute(
            select(schema.entry.c.id).where(schema.entry.c.external_id.like("%undelivered"))
        ).all()
    )
    assert (await texts.filed(first.id)).kind == "status"
    assert await state(texts) == [("undelivered", "unreachable")]


@pytest.mark.parametrize("more", [{}, {"o": "999999"}, {"o": "1", "to": BOB}])
async def test_a_report_about_nothing_of_ours_is_kept_and_does_nothing(texts: TextDesk, more: dict[str, str]) -> None:
    ticket = await texts.say("Не печатает")
    before = [(one.id, one.state) for one in await texts.outbox()]
    filed = await texts.report("SM" + "0" * 31 + "9", "undelivered", ErrorCode="30005", **more)
    assert (filed.kind, filed.because) == ("status", "names nothing that we sent")
    assert [(one.id, one.state) for one in await texts.outbox()] == before
    assert "undelivered" not in await texts.kinds(ticket.ticket_id)
    assert await state(texts) == []


async def test_what_became_of_an_earlier_try_says_nothing_about_the_notice(texts: TextDesk) -> None:
    ticket = await texts.say("Не печатает")
    row = await texts.sent(ticket, MINE)
    assert (await texts.report(LATER, "undelivered", ErrorCode="30005", o=str(row))).kind == "status"
    assert (await texts.row(row)).state == "sent"


async def test_operators_hear_of_an_account_that_is_set_up_wrongly_and_when_it_is_over(texts: TextDesk) -> None:
    ctx = context(operators=["op@desk.example"])
    alerts = Alerts(texts.db, ctx, texts.clock, checks=(), metrics=Metrics(), after=lambda: None)

    async def told() -> list[tuple[str, str]]:
        await alerts.look()
        rows = [row for row in await texts.outbox() if str(row.variables.get("alert")).startswith("setup")]
        assert all("token" in row.variables["detail"] for row in rows)
        return [(row.variables["alert"], row.variables["state"]) for row in rows]

    ticket = await texts.say("Не печатает")
    await texts.sent(ticket, MINE)
    assert await told() == []
    await texts.report(MINE, "failed", ErrorCode="20003")
    assert await told() == [("setup sms/main", "raised")]
    texts.later(hours=1)
    assert await told() == [("setup sms/main", "raised"), ("setup sms/main", "cleared")]


async def test_what_arrives_while_it_waits_to_go_out_again_does_not_go_out_again(texts: TextDesk) -> None:
    ticket = await texts.say("Не печатает")
    row = await texts.sent(ticket, MINE)
    await texts.report(MINE, "undelivered", ErrorCode="30003", o=str(row))
    assert (await texts.row(row)).state == "waiting"
    await texts.report(MINE, "delivered", o=str(row))
    assert (await texts.row(row)).state == "sent"


async def test_a_report_takes_no_notice_away_that_was_not_sent_yet(texts: TextDesk) -> None:
    ticket = await texts.say("Не печатает")
    row = await texts.sent(ticket, MINE, state="waiting", attempts=0)
    await texts.report(LATER, "delivered", o=str(row))
    assert (await texts.row(row)).state == "waiting"


async def test_parts_of_one_message_that_did_not_arrive_go_by_the_next_channel_once(texts: TextDesk) -> None:
    await texts.also_by_mail()
    ticket = await texts.say("Не печатает")
    first = await texts.sent(ticket, MINE)
    sid, now = f"SM{3:032x}", texts.clock()
    begun = await texts.row(first)
    second = await texts.do(lambda conn: outbox.put_next(conn, begun, now))
    values = {"state": "sent", "attempts": 1, "external_ids": [f"sms:main:{sid}"]}
    same = schema.outbox.c.id == second
    await texts.do(lambda conn: conn.execute(update(schema.outbox).where(same).values(values)))
    await texts.report(sid, "undelivered", ErrorCode="30005", o=str(second))
    await texts.report(MINE, "undelivered", ErrorCode="30005", o=str(first))
    assert [(await texts.row(row)).state for row in (first, second or 0)] == ["unreachable"] * 2
    handed = [row for row in await texts.outbox() if row.key.startswith("next:")]
    assert [(row.channel, row.recipient, row.part) for row in handed] == [("mail", "anna@client.example", 0)]


@pytest.mark.parametrize(("again", "wish"), [(True, "start"), (False, "stop")])
async def test_a_late_refusal_undoes_no_start_that_was_said_since(texts: TextDesk, again: bool, wish: str) -> None:
    ticket = await texts.say("Не печатает")
    row = await texts.sent(ticket, MINE)
    now = texts.clock()
    same = schema.outbox.c.id == row
    await texts.do(lambda conn: conn.execute(update(schema.outbox).where(same).values(sending_at=now)))
    if again:
        texts.later(seconds=5)
        await texts.say("START")
    texts.later(seconds=5)
    await texts.report(MINE, "failed", ErrorCode="21610", o=str(row))
    assert await texts.wishes() == [("sms", OURS, ANNA, wish)]
