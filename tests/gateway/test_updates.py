"""Who is told what when a ticket changes, and who is left alone."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from gateway.store import people, schema, tickets
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.updates import REQUESTER, Change, compose
from gateway.updates_staff import STAFF
from tests.gateway.conftest import FrozenClock
from tests.gateway.people_desk import BOSS, IRA, LINE1, LINE2, OLENA, PAVLO, Desk, context

AFTER = 121
"""Seconds: later than the debounce time."""


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> Desk:
    return Desk(db, blobs, clock)


# -- acknowledgement ----------------------------------------------------------------------


async def test_a_new_ticket_is_acknowledged_once(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.change(ticket, "opened", actor="requester")
    assert await desk.told() == ["acknowledgement"]
    [row] = [row for row in await desk.rows() if row.recipient == IRA]
    assert row.automatic
    assert not row.repeatable
    assert row.message_id.endswith("@desk.example")
    keys = await desk.do(lambda conn: {(key.kind, key.recipient) for key in _issued(conn)})
    assert {("message_id", IRA), ("reply_token", IRA)} <= keys


def _issued(conn: Connection) -> Any:
    return conn.execute(select(schema.thread_key).where(schema.thread_key.c.issued)).all()


async def test_nothing_automatic_goes_out_when_rule_nine_forbids_it(desk: Desk) -> None:
    ticket = await desk.open(automatic_ok=False)
    assert await desk.told() == []
    assert await desk.told(LINE1) == ["staff_new"]  # staff hear of it all the same
    await desk.change(ticket, "reopened", actor="requester", ok=False)
    assert await desk.told() == []


async def test_composing_the_same_change_twice_tells_once(desk: Desk) -> None:
    ticket = await desk.open()
    done = await desk.act("reply", ticket, text="Yes.")
    before = len(await desk.rows())
    change = Change(ticket_id=ticket, event_id=done.event_id, kind="reply", actor="agent:olena", data={"text": "Yes."})
    await desk.do(lambda conn: compose(conn, desk.ctx, change, desk.clock()))
    nothing = Change(ticket_id=ticket, event_id=None, kind="reply", actor="agent:olena", data={"text": "Yes."})
    await desk.do(lambda conn: compose(conn, desk.ctx, nothing, desk.clock()))
    assert len(await desk.rows()) == before


SILENT: dict[str, Callable[[Desk], dict[str, Any]]] = {
    "staff": lambda desk: {"requester": OLENA},
    "own address": lambda desk: {"requester": "support@desk.example"},
    "no address": lambda desk: {"requester": ""},
}


@pytest.mark.parametrize("reason", SILENT)
async def test_some_are_never_written_to_by_a_robot(desk: Desk, reason: str) -> None:
    columns = SILENT[reason](desk)
    ticket = await desk.open(**columns)
    await desk.act("resolve", ticket, actor="agent:pavlo", result="Done.")
    assert await desk.told(columns["requester"]) == []
    assert [event["reason"] for event in await desk.events(ticket, "silent")] == [reason] * 2


async def test_an_address_that_nothing_reaches_gets_no_robots_mail_but_a_persons(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.do(lambda conn: people.mark_unreachable(conn, "mail", IRA, "mail", "5.1.1", desk.clock()))
    await desk.act("reply", ticket, text="Are you there?")
    await desk.act("resolve", ticket, result="Done.")
    assert await desk.told() == ["acknowledgement", "reply"]


async def test_caps_hold_for_what_staff_cause_too_and_the_ticket_shows_it(
    db: Database, blobs: Blobs, clock: FrozenClock
) -> None:
    desk = Desk(db, blobs, clock, context(caps={"per_address_minute": 2}))
    opened = [await desk.open() for _ in range(4)]
    for ticket in opened:
        await desk.act("resolve", ticket, result="Done.")
    assert (await desk.told()).count("resolved") == 2
    assert [event["reason"] for event in await desk.events(opened[-1], "silent")] == ["cap"]


async def test_a_held_ticket_is_acknowledged_when_staff_let_it_go(desk: Desk) -> None:
    ticket = await desk.open(status="held")
    assert await desk.told() == []
    await desk.act("set_status", ticket, status="open")
    assert await desk.told() == ["acknowledgement"]


async def test_an_old_held_ticket_is_not(desk: Desk) -> None:
    ticket = await desk.open(status="held")
    desk.clock.forward(timedelta(hours=25))
    await desk.act("set_status", ticket, status="open")
    assert await desk.told() == []


async def test_a_new_requester_learns_the_number(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.act("set_requester", ticket, address="oleh@acme.example", name="Oleh")
    assert await desk.told("oleh@acme.example") == ["acknowledgement"]


# -- what people write --------------------------------------------------------------------


async def test_a_reply_goes_at_once_to_the_requester_and_people_in_copy(desk: Desk) -> None:
    ticket = await desk.open()

    def add(conn: Connection) -> None:
        for address in ("oleh@acme.example", PAVLO, "support@desk.example"):
            tickets.add_participant(conn, ticket, address, tickets.CC, "")
        tickets.add_participant(conn, ticket, "vendor@cloud.example", tickets.VENDOR, "")

    await desk.do(add)
    await desk.act("reply", ticket, text="Try now.")
    replies = [row for row in await desk.rows() if row.template == "reply"]
    assert [row.recipient for row in replies] == [IRA, "oleh@acme.example"]
    assert all(not row.automatic and row.repeatable and row.due_at == desk.clock() for row in replies)
    assert len({row.reply_token for row in replies}) == 2


async def test_a_persons_words_need_no_permission_of_rule_nine(desk: Desk) -> None:
    ticket = await desk.open(requester="support@desk.example")
    await desk.act("reply", ticket, text="Testing.")
    assert await desk.told("support@desk.example") == ["reply"]


async def test_a_question_and_its_reminder(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.act("ask", ticket, text="Which floor?")
    await desk.change(ticket, "question", reminder=True, text="Which floor?", closes_at=None)
    rows = [row for row in await desk.rows() if row.recipient == IRA]
    assert [(row.template, row.automatic) for row in rows[1:]] == [("question", False), ("question_reminder", True)]


async def test_a_note_is_nobodys_business(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.act("note", ticket, text="Difficult client.")
    assert await desk.told() == ["acknowledgement"]


# -- status -------------------------------------------------------------------------------


async def test_several_changes_within_two_minutes_are_one_notice_with_the_last_state(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.act("set_status", ticket, status="open")
    desk.clock.forward(timedelta(seconds=30))
    await desk.act("set_line", ticket, line="L2", reason="needs an engineer")
    desk.clock.forward(timedelta(seconds=30))
    await desk.act("set_line", ticket, line="L3", reason="needs a developer")
    assert await desk.told() == ["acknowledgement", "handed_developers"]
    [status] = [row for row in await desk.rows() if row.kind == "status"]
    assert status.due_at == desk.clock() + timedelta(seconds=60)  # two minutes after the first change


async def test_the_result_takes_the_place_of_what_was_waiting_and_goes_at_once(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.act("set_line", ticket, line="L2", reason="needs an engineer")
    await desk.act("resolve", ticket, result="Cable.")
    assert await desk.told() == ["acknowledgement", "resolved"]
    assert "resolved" in [notice.kind for notice in await desk.sent_to()]


async def test_nothing_takes_the_place_of_a_result_that_waits(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.act("set_status", ticket, status="open")
    await desk.sent_to(seconds=130)
    await desk.act("resolve", ticket, result="")
    start = desk.clock() + timedelta(hours=20)
    await desk.act("set_visit", ticket, agreed=(start, start + timedelta(hours=2)))
    await desk.act("set_class", ticket, class_=6)
    assert await desk.told() == ["resolved"]


async def test_two_status_notices_are_two_minutes_apart(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.act("resolve", ticket, result="Cable.")
    await desk.send()
    await desk.act("set_status", ticket, status="open")
    desk.clock.forward(timedelta(seconds=20))
    await desk.act("resolve", ticket, result="Another cable.")
    assert await desk.sent_to(seconds=1) == []
    [notice] = await desk.sent_to(seconds=AFTER)
    assert notice.kind == "resolved"
    assert "Another cable." in notice.text


async def test_handing_back_and_inner_changes_are_not_told(desk: Desk) -> None:
    ticket = await desk.open(line="L3")
    await desk.act("set_line", ticket, line="L2", reason="too high")
    await desk.act("set_line", ticket, line="L1", reason="too high")
    await desk.act("assign", ticket, agent="pavlo")
    await desk.act("set_onsite", ticket, onsite=True)
    await desk.act("set_class", ticket, class_=3)
    assert await desk.told() == ["acknowledgement"]


STATUS = [
    ("visit", lambda desk: {"agreed": (desk.clock(), desk.clock() + timedelta(hours=2))}, "set_visit"),
    ("in_work", lambda _: {"status": "open"}, "set_status"),
    ("closed", lambda _: {}, "close"),
    ("handed_provider", lambda _: {"line": "L4", "reason": "provider"}, "set_line"),
]


@pytest.mark.parametrize(("template", "given", "act"), STATUS, ids=[row[0] for row in STATUS])
async def test_status_notices(desk: Desk, template: str, given: Callable[[Desk], Any], act: str) -> None:
    ticket = await desk.open()
    await desk.act(act, ticket, **given(desk))
    assert await desk.told() == ["acknowledgement", template]


async def test_closing_after_the_result_says_nothing_new(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.act("resolve", ticket, result="Cable.")
    await desk.act("close", ticket, actor="gateway")
    assert await desk.told() == ["acknowledgement", "resolved"]


async def test_later_than_promised_is_told_and_earlier_is_not(desk: Desk) -> None:
    ticket = await desk.open(class_=4)
    await desk.act("set_class", ticket, class_=3)
    assert await desk.told() == ["acknowledgement"]
    await desk.act("set_class", ticket, class_=6)
    assert await desk.told() == ["acknowledgement", "later"]
    notice = (await desk.sent_to(seconds=AFTER))[-1]
    assert "Ответим завтра до 9:30." in notice.text


async def test_a_broken_promise_is_admitted_only_if_there_was_one(desk: Desk) -> None:
    promised = await desk.open()
    silent = await desk.open(contract=None, class_=None)
    for ticket in (promised, silent):
        await desk.change(ticket, "breach", clock="reaction", due=desk.clock().isoformat())
        await desk.change(ticket, "breach", clock="resolution", due=desk.clock().isoformat())
    assert (await desk.told()).count("later") == 1


# -- staff --------------------------------------------------------------------------------


async def test_the_line_is_told_of_a_new_ticket_and_watchers_of_a_severe_one(desk: Desk) -> None:
    await desk.open(class_=4)
    assert await desk.told(LINE1) == ["staff_new"]
    assert await desk.told(BOSS) == []
    await desk.open(class_=3, line="L2")
    assert await desk.told(LINE2) == ["staff_new"]
    assert await desk.told(BOSS) == ["staff_severe"]


async def test_a_line_without_recipients_is_the_business_of_the_one_below(desk: Desk) -> None:
    await desk.open(line="L4")
    assert await desk.told(LINE2) == ["staff_new"]


async def test_a_new_ticket_of_a_severe_class_by_staffs_decision(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.act("set_class", ticket, class_=3)
    assert await desk.told(BOSS) == ["staff_severe"]


async def test_the_next_line_hears_of_an_escalation_with_its_reason(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.act("set_line", ticket, line="L2", reason="The switch is dead")
    [notice] = await desk.sent_to(LINE2)
    assert "The switch is dead" in notice.text
    assert "L1 → L2" in notice.text
    assert "It prints nothing." in notice.text


async def test_the_assignee_is_told_and_then_hears_what_the_customer_says(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.act("assign", ticket, actor="agent:olena", agent="pavlo")
    await desk.change(ticket, "message", actor="requester", message=1)
    assert await desk.told(PAVLO) == ["staff_assigned", "staff_message"]
    assert await desk.told(LINE1) == ["staff_new"]


async def test_who_did_it_is_not_told_of_it(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.act("assign", ticket, actor="agent:pavlo", agent="pavlo")
    assert await desk.told(PAVLO) == []


async def test_a_vote_by_mail_is_no_message_to_staff(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.change(ticket, "message", actor="requester", message=1, rated=True)
    assert await desk.told(LINE1) == ["staff_new"]


@pytest.mark.parametrize("kind", ["warning", "breach"])
async def test_deadlines_reach_line_assignee_and_watchers(desk: Desk, kind: str) -> None:
    ticket = await desk.open()
    await desk.act("assign", ticket, agent="pavlo")
    await desk.change(ticket, kind, clock="resolution", due=desk.clock().isoformat())
    for recipient in (LINE1, PAVLO, BOSS):
        assert (await desk.told(recipient))[-1] == f"staff_{kind}"


async def test_answers_to_alerts_go_to_nobody_by_mistake(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.act("assign", ticket, agent="pavlo")
    await desk.change(ticket, "warning", clock="resolution", due=desk.clock().isoformat())
    rows = {(row.recipient, row.template): row for row in await desk.rows()}
    warning, assigned = rows[PAVLO, "staff_warning"], rows[PAVLO, "staff_assigned"]
    assert (warning.message_id, warning.reply_token) == (None, None)
    assert assigned.reply_token
    # Neither can somebody who is no agent write to the customer through us.
    assert rows[LINE1, "staff_new"].reply_token is None


async def test_an_unreadable_message_is_told_to_the_first_line(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.change(ticket, "unreadable", ok=False, reason="time limit")
    assert (await desk.told(LINE1))[-1] == "staff_unreadable"
    assert "time limit" in (await desk.sent_to(LINE1))[-1].text


async def test_what_did_not_arrive_is_told_to_others_than_the_one_it_did_not_reach(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.change(ticket, "undelivered", ok=False, recipient=IRA, detail="550 no such user")
    await desk.change(ticket, "undelivered", ok=False, recipient=LINE1, detail="550 no such user")
    rows = [row for row in await desk.rows() if row.template == "staff_undelivered"]
    assert [(row.recipient, row.kind) for row in rows] == [(LINE1, "undelivered")]


async def test_staff_notices_are_in_the_agents_language(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.act("assign", ticket, actor="agent:pavlo", agent="olena")
    [notice] = await desk.sent_to(OLENA)
    assert notice.language == "uk"
    assert "призначено вам" in notice.text


async def test_staff_are_told_by_mail_of_tickets_of_other_channels(desk: Desk) -> None:
    await desk.open(requester=IRA)

    def elsewhere(conn: Connection) -> None:
        tickets.update(conn, 1, channel="telegram", account="bot")

    await desk.do(elsewhere)
    await desk.change(1, "message", actor="requester", message=1)
    assert await desk.told(LINE1) == ["staff_new", "staff_message"]


async def test_nobody_to_tell_is_no_trouble(db: Database, blobs: Blobs, clock: FrozenClock) -> None:
    desk = Desk(db, blobs, clock, context(lines={}, watchers=[], agents={}))
    ticket = await desk.open()
    await desk.change(ticket, "breach", clock="resolution", due=clock().isoformat())
    assert await desk.do(lambda conn: conn.scalar(select(func.count()).select_from(schema.outbox))) == 1


def test_every_kind_of_change_is_known_to_somebody_or_meant_for_nobody() -> None:
    documented = (inspect.getdoc(Change.kind) or "") + inspect.getsource(Change)
    for kind in {*REQUESTER, *STAFF}:
        assert re.search(rf"\b{kind}\b", documented), kind
