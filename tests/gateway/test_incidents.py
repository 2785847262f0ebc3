"""A known incident: which tickets are about it, what their people are told, and that the promise is kept once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Row, select

from gateway import incidents
from gateway.checks import CHECKS
from gateway.desk_acts import Conflict, Invalid, NotFound
from gateway.desk_open import Registration, open_ticket, routed
from gateway.facts import NEAREST
from gateway.incidents import Described
from gateway.store import incidents as store
from gateway.store import people, schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.timers import Timers
from tests.gateway.conftest import FrozenClock
from tests.gateway.people_desk import IRA, LINE1, Desk, context

TEXTS = {"ru": "почта не приходит с 9:00.", "en": "mail has not arrived since 9:00"}
MAIL = Described(texts=TEXTS, contracts=("acme",), words=("mail", "почта"))
AFTER = 121
"""Seconds: later than the debounce time."""


class Outage(Desk):
    """A desk with incidents."""

    async def begin(self, described: Described = MAIL) -> int:
        now = self.clock()
        row = await self.do(
            lambda conn: incidents.open_incident(conn, self.ctx, described, actor="agent:olena", now=now)
        )
        return int(row.id)

    async def end(self, incident: int, **outcome: str) -> None:
        now = self.clock()
        await self.do(
            lambda conn: incidents.close_incident(
                conn, self.ctx, incident, outcome=outcome, actor="agent:pavlo", now=now
            )
        )
        await self.fire()

    async def fire(self) -> None:
        """Fire what is due."""
        await Timers(self.db, self.ctx, CHECKS, self.clock, after=lambda: None).fire()

    async def register(self, subject: str, text: str = "Help.", *, requester: str = IRA, **given: Any) -> int:
        """A ticket that staff register."""
        words = {"channel": "mail", "account": "support", "requester": requester, "subject": subject, "text": text}
        asked, now = Registration(**words, **{"contract": "acme", **given}), self.clock()
        assignment = replace(routed(self.ctx, asked, now), confidence=0.9)
        done = await self.do(lambda conn: open_ticket(conn, self.ctx, asked, assignment, actor="agent:olena", now=now))
        return int(done.ticket_id)

    async def link(self, ticket: int) -> Row[Any] | None:
        return await self.db.read(lambda conn: store.link_of(conn, ticket))


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> Outage:
    return Outage(db, blobs, clock, context())


# -- which tickets ------------------------------------------------------------------------

FITS = [
    (MAIL, {"subject": "No mails today"}, ["contract:acme", "words"]),
    (MAIL, {"subject": "Нет почты", "language": "ru"}, ["contract:acme", "words"]),
    (MAIL, {"subject": "Printer"}, None),
    (MAIL, {"subject": "No mail", "contract": None, "requester": "eve@far.example"}, None),
    (Described(texts=TEXTS, classes=(3,)), {"subject": "x", "class_": 3}, ["contract:all", "class:3"]),
    (Described(texts=TEXTS, classes=(3,)), {"subject": "x", "class_": 4}, None),
    (Described(texts=TEXTS, contracts=("acme",)), {"subject": "x"}, ["contract:acme"]),
]


@pytest.mark.parametrize(("described", "ticket", "causes"), FITS)
async def test_a_ticket_is_linked_for_a_reason(
    desk: Outage, described: Described, ticket: dict[str, Any], causes: list[str] | None
) -> None:
    incident = await desk.begin(described)
    opened = await desk.register(**ticket)
    row, link = await desk.ticket(opened), await desk.link(opened)
    told = await desk.events(opened, "incident")
    if causes is None:
        assert (link, told) == (None, [])
        assert not any(tag.startswith("incident") for tag in row.tags)
        return
    assert link is not None
    assert link.incident_id == incident
    assert f"incident:{incident}" in row.tags
    assert [reason["cause"] for reason in told[0]["because"]] == causes
    assert [reason["cause"] for reason in row.because if reason["what"] == "incident"] == causes


async def test_the_closest_incident_wins_then_the_newest(desk: Outage) -> None:
    by_words = await desk.begin()
    await desk.begin(Described(texts=TEXTS, contracts=("acme",)))
    newest = await desk.begin(Described(texts=TEXTS, contracts=("acme",)))
    mail, other = await desk.register("No mail"), await desk.register("Printer")
    assert [(await desk.link(ticket)).incident_id for ticket in (mail, other)] == [by_words, newest]  # type: ignore[union-attr]


async def test_a_proposed_class_counts_when_it_is_sure(desk: Outage) -> None:
    await desk.begin(Described(texts=TEXTS, classes=(3,)))
    [incident] = await desk.do(store.open_ones)
    ticket = await desk.ticket(await desk.open(class_=None, proposed_class=3, confidence=0.9))
    unsure = await desk.ticket(await desk.open(class_=None, proposed_class=3, confidence=0.5))
    assert incidents.concerns(desk.ctx, incident, ticket, None) is not None
    assert incidents.concerns(desk.ctx, incident, unsure, None) is None


@pytest.mark.parametrize(
    ("described", "words"),
    [
        (Described(texts={}, contracts=("acme",)), "in one language"),
        (Described(texts=TEXTS), "whom it concerns"),
        (Described(texts=TEXTS, contracts=("nobody",)), "no such contract: nobody"),
        (Described(texts=TEXTS, words=("!?",)), "words: "),
    ],
)
async def test_an_incident_says_something_about_somebody(desk: Outage, described: Described, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        await desk.begin(described)


# -- what people are told -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "known", "over", "done"),
    [
        ("ru", "Мы знаем об этом сбое: почта не приходит с 9:00. Уже", "устранён", "Что сделано: Заменили диск."),
        ("uk", "Ми знаємо про цей збій: почта не приходит с 9:00. Уже", "усунено", "Що зроблено: Заменили диск."),
        ("en", "about this outage (mail has not arrived since 9:00) and", "is over", "What we did: Заменили диск."),
    ],
)
async def test_the_promise_in_each_language(desk: Outage, language: str, known: str, over: str, done: str) -> None:
    incident = await desk.begin()
    ticket = await desk.register("No mail", language=language)
    number = (await desk.ticket(ticket)).number
    [first] = await desk.sent_to()
    assert known in first.text
    assert number in first.text
    assert first.automatic
    assert "15:00" not in first.text
    await desk.end(incident, ru="Заменили\nдиск.")
    assert await desk.sent_to() == []  # debounced
    [last] = await desk.sent_to(seconds=AFTER)
    assert over in last.text
    assert done in last.text
    assert last.in_reply_to
    assert f"[#{number}]" in last.subject
    assert set(NEAREST) == {"ru", "uk", "en"}


async def test_without_a_result_the_notice_says_only_that_it_is_over(desk: Outage) -> None:
    incident = await desk.begin()
    await desk.register("No mail", language="en")
    await desk.send()
    await desk.end(incident)
    [last] = await desk.sent_to(seconds=AFTER)
    assert "What we did" not in last.text
    assert "is over" in last.text


async def test_the_word_is_given_once_whatever_is_repeated(desk: Outage) -> None:
    incident = await desk.begin()
    ticket = await desk.register("No mail")
    await desk.end(incident)
    with pytest.raises(Conflict, match="closed already"):
        await desk.end(incident)
    with pytest.raises(NotFound):
        await desk.end(incident + 1)
    [timer] = await desk.do(lambda conn: conn.execute(select(schema.timer).where(schema.timer.c.kind == "incident")))
    again = incidents.Timer(
        id=timer.id, ticket_id=ticket, kind="incident", version=incident, due_at=timer.due_at, data={}
    )
    await desk.do(lambda conn: incidents.tell_it_is_over(conn, desk.ctx, again, desk.clock()))
    assert (await desk.told()).count("works_again") == 1
    assert len(await desk.events(ticket, "incident_over")) == 1


async def test_who_is_resolved_hears_nothing_and_who_wrote_later_is_not_linked(desk: Outage) -> None:
    incident = await desk.begin()
    resolved = await desk.register("No mail")
    await desk.act("resolve", resolved, result="Done.")
    await desk.end(incident)
    later = await desk.register("No mail")
    assert "works_again" not in await desk.told()
    assert await desk.link(later) is None
    assert (await desk.told()).count("acknowledgement") == 1


async def test_a_later_status_does_not_swallow_the_word_but_the_result_does(desk: Outage) -> None:
    incident = await desk.begin()
    ticket = await desk.register("No mail")
    await desk.act("set_status", ticket, status="open")
    assert await desk.told() == ["known_incident", "in_work"]
    await desk.end(incident)
    await desk.act("set_line", ticket, line="L2", reason="look")
    assert await desk.told() == ["known_incident", "works_again"]
    await desk.act("resolve", ticket, result="A new disk.")
    assert await desk.told() == ["known_incident", "resolved"]


async def test_a_new_requester_is_told_of_the_incident_too(desk: Outage) -> None:
    incident = await desk.begin()
    ticket = await desk.register("No mail")
    await desk.act("set_requester", ticket, address="oleh@acme.example", name="Oleh")
    await desk.end(incident)
    assert await desk.told("oleh@acme.example") == ["known_incident", "works_again"]
    assert "works_again" not in await desk.told()


# -- who is left alone --------------------------------------------------------------------


async def test_who_was_not_to_be_told_and_whom_nothing_reaches_hear_nothing(desk: Outage) -> None:
    incident = await desk.begin()
    quiet = await desk.register("No mail", notify=False)
    lost = await desk.register("No mail", requester="lost@acme.example")
    await desk.do(
        lambda conn: people.mark_unreachable(conn, "mail", "lost@acme.example", "mail", "5.1.1", desk.clock())
    )
    await desk.end(incident)
    assert await desk.told() == []
    assert await desk.told("lost@acme.example") == ["known_incident"]
    assert len(await desk.events(quiet, "incident_over")) == 1
    assert [event["reason"] for event in await desk.events(lost, "silent")] == ["unreachable"]


async def test_what_is_held_is_silent(desk: Outage) -> None:
    incident = await desk.begin()
    ticket = await desk.register("No mail", requester="odd@acme.example", notify=True)
    await desk.act("set_status", ticket, status="held")
    await desk.end(incident)
    assert await desk.told("odd@acme.example") == ["known_incident"]
    assert "held" in [event["reason"] for event in await desk.events(ticket, "silent")]


async def test_a_held_ticket_let_go_gets_the_acknowledgement_of_the_incident(desk: Outage) -> None:
    incident = await desk.begin()
    ticket = await desk.open(status="held")
    await desk.do(lambda conn: store.link(conn, incident, ticket, silent="suspect", now=desk.clock()))
    await desk.act("set_status", ticket, status="open")
    assert await desk.told() == ["known_incident"]
    await desk.end(incident)
    assert await desk.told() == ["known_incident", "works_again"]


@pytest.mark.parametrize("silent", ["robot", "imported", "old", "outbound off"])
async def test_robots_and_old_mail_hear_nothing(desk: Outage, silent: str) -> None:
    incident = await desk.begin()
    ticket = await desk.open(automatic_ok=False)
    await desk.do(lambda conn: store.link(conn, incident, ticket, silent=silent, now=desk.clock()))
    await desk.end(incident)
    assert await desk.told() == []
    assert "works_again" not in await desk.told(LINE1)


async def test_many_are_told_within_the_accounts_cap(db: Database, blobs: Blobs, clock: FrozenClock) -> None:
    desk = Outage(db, blobs, clock, context(caps={"per_account_minute": 4}))
    incident = await desk.begin()
    people_ = [f"p{number}@acme.example" for number in range(5)]
    for person in people_:
        await desk.register("No mail", requester=person)
        clock.forward(timedelta(minutes=1))
    await desk.end(incident)
    assert await _told(desk) == 2
    clock.forward(timedelta(minutes=1))
    await desk.fire()
    assert await _told(desk) == 4
    clock.forward(timedelta(minutes=1))
    await desk.fire()
    assert await _told(desk) == 5


async def _told(desk: Outage) -> int:
    return sum(row.template == "works_again" for row in await desk.rows())


def _closed(conn: Connection) -> int:
    return len(store.page(conn, only_open=True, before=None, limit=100))


async def test_there_is_an_end_to_open_incidents(desk: Outage) -> None:
    opened = [await desk.begin() for _ in range(incidents.MOST_OPEN)]
    with pytest.raises(Conflict, match="50 incidents are open"):
        await desk.begin()
    await desk.end(opened[0])
    assert await desk.db.read(_closed) == incidents.MOST_OPEN - 1
    await desk.begin()
