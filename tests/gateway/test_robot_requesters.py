"""A machine that asked hears nothing automatic, not only at the start (rule 9, I6); a person's words reach it."""

from __future__ import annotations

import pytest

from gateway import desk as acts
from gateway import survey_asking
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from tests.gateway.conftest import FrozenClock
from tests.gateway.filing_desk import SUPPORT, Desk, context

ANN, ROBOT = "ann@client.example", "zabbix@client.example"
SEEN = "m1@client.example"


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> Desk:
    return Desk(db, blobs, clock, context())


async def asked_by_a_robot(desk: Desk) -> int:
    filed = await desk.mail(sender=ROBOT, message_id=SEEN, to=[SUPPORT], robot=True)
    assert filed.ticket_id is not None
    return filed.ticket_id


async def resolve(desk: Desk, ticket: int) -> None:
    now = desk.clock()
    await desk.do(lambda conn: acts.resolve(conn, desk.ctx, ticket, actor="agent:petro", now=now, result="Done."))


async def test_a_robot_hears_no_status_no_result_and_is_not_asked_for_a_rating(desk: Desk) -> None:
    ticket = await asked_by_a_robot(desk)
    now = desk.clock()
    await desk.do(lambda conn: acts.set_status(conn, desk.ctx, ticket, actor="agent:petro", now=now, status="open"))
    await resolve(desk, ticket)
    assert await desk.to(ROBOT) == []
    silent = [event.data["reason"] for event in await desk.events(ticket) if event.kind == "silent"]
    assert silent == ["robot", "robot"]
    asked = await desk.do(lambda conn: survey_asking.ask(conn, desk.ctx, ticket, now))
    assert asked.refused == "robot"


async def test_a_persons_words_reach_whatever_asked(desk: Desk) -> None:
    ticket = await asked_by_a_robot(desk)
    now = desk.clock()
    await desk.do(lambda conn: acts.reply(conn, desk.ctx, ticket, actor="agent:petro", now=now, text="Look."))
    assert await desk.to(ROBOT) == ["reply"]


async def test_a_person_who_writes_from_there_is_told(desk: Desk) -> None:
    ticket = await asked_by_a_robot(desk)
    ours = await desk.issued(ticket, recipient=ROBOT)
    await desk.mail(sender=ROBOT, message_id="m2@client.example", in_reply_to=[ours])
    await resolve(desk, ticket)
    assert await desk.to(ROBOT) == ["resolved"]


async def test_a_robot_that_goes_on_is_still_one(desk: Desk) -> None:
    ticket = await asked_by_a_robot(desk)
    ours = await desk.issued(ticket, recipient=ROBOT)
    await desk.mail(sender=ROBOT, message_id="m2@client.example", in_reply_to=[ours], robot=True)
    await resolve(desk, ticket)
    assert await desk.to(ROBOT) == []


async def test_whom_staff_make_the_requester_is_told(desk: Desk) -> None:
    ticket = await asked_by_a_robot(desk)
    now = desk.clock()
    await desk.do(
        lambda conn: acts.set_requester(conn, desk.ctx, ticket, actor="agent:petro", now=now, address=ANN, name="Ann")
    )
    await resolve(desk, ticket)
    assert "resolved" in await desk.to(ANN)


async def test_nothing_automatic_goes_to_a_plus_address_of_ours(desk: Desk) -> None:
    filed = await desk.mail(sender="support+abc@desk.example", message_id="o1@desk.example")
    assert filed.ticket_id is not None
    await resolve(desk, filed.ticket_id)
    assert await desk.outbox() == []
