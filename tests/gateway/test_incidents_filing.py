"""Messages that are filed while an incident is open: people's, robots', doubtful and repeated ones; and kill -9."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select

from gateway import incidents
from gateway.incidents import Described
from gateway.store import incidents as store
from gateway.store import schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.timers import Timers
from tests import ready
from tests.gateway.conftest import FrozenClock
from tests.gateway.filing_desk import Desk, context
from tests.gateway.incidents_child import COUNT
from tests.gateway.planted import said

ROOT = Path(__file__).parents[2]
WORDS = Described(texts={"en": "mail is down"}, words=("mail",))


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> Desk:
    return Desk(db, blobs, clock, context())


async def begin(desk: Desk) -> int:
    row = await desk.do(
        lambda conn: incidents.open_incident(conn, desk.ctx, WORDS, actor="agent:olena", now=desk.clock())
    )
    return int(row.id)


async def end(desk: Desk, incident: int) -> None:
    await desk.do(
        lambda conn: incidents.close_incident(
            conn, desk.ctx, incident, outcome={}, actor="agent:olena", now=desk.clock()
        )
    )
    await Timers(desk.db, desk.ctx, incidents.CHECKS, desk.clock, after=lambda: None).fire()


async def templates(desk: Desk) -> list[str]:
    wanted = select(schema.outbox.c.template).order_by(schema.outbox.c.id)
    return [name for name in await desk.do(lambda conn: conn.scalars(wanted).all()) if not name.startswith("staff_")]


async def test_a_mail_about_it_is_linked_and_answered_so_and_an_answer_to_it_is_not_linked_again(desk: Desk) -> None:
    incident = await begin(desk)
    filed = await desk.mail(subject="No mail", text="since nine")
    other = await desk.mail(
        subject="Printer", text="no paper", sender="bob@client.example", message_id="2@client.example"
    )
    linked = await desk.do(lambda conn: [row.id for row in store.linked(conn, incident)])
    assert linked == [filed.ticket_id]
    assert other.ticket_id not in linked
    assert await templates(desk) == ["known_incident", "acknowledgement"]
    await end(desk, incident)
    assert await templates(desk) == ["known_incident", "acknowledgement", "works_again"]


async def test_filing_the_same_entry_twice_links_once(desk: Desk) -> None:
    await begin(desk)
    message = said(subject="No mail")
    entry = await desk.accept(message)
    first, second = await desk.file(entry, message), await desk.file(entry, message)
    assert first.ticket_id == second.ticket_id
    assert [event.kind for event in await desk.events(first.ticket_id)].count("incident") == 1
    assert await templates(desk) == ["known_incident"]


@pytest.mark.parametrize("odd", [{"robot": True}, {"trust": "suspect"}])
async def test_robots_and_what_is_held_are_linked_and_hear_nothing(desk: Desk, odd: dict[str, Any]) -> None:
    incident = await begin(desk)
    filed = await desk.mail(subject="No mail", **odd)
    assert [event.kind for event in await desk.events(filed.ticket_id)].count("incident") == 1
    await end(desk, incident)
    assert await templates(desk) == []


def child(url: str, *bomb: str) -> int:
    """Run the child; its return code."""
    command = ["-m", "tests.gateway.incidents_child", url, *bomb]
    return ready.run(*command, timeout=100).returncode


@pytest.mark.parametrize(("point", "count"), [("after-commit", 1), ("before-commit", 2)])
def test_killed_while_the_word_is_given_everybody_hears_it_once(db_url: str, point: str, count: int) -> None:
    assert child(db_url, point, str(count)) == -signal.SIGKILL
    assert child(db_url) == 0
    engine = create_engine(db_url)
    try:
        with engine.connect() as conn:
            told = conn.scalars(
                select(schema.outbox.c.ticket_id).where(schema.outbox.c.template == "works_again")
            ).all()
            events = conn.scalars(select(schema.event.c.ticket_id).where(schema.event.c.kind == "incident_over")).all()
    finally:
        engine.dispose()
    assert Counter(told) == Counter(events)
    assert len(told) == len(set(told)) == COUNT
