"""From a row of the outbox to what goes out: the ticket's present state, threading, files, and a failing text."""

from __future__ import annotations

import hashlib
import inspect
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from gateway import survey_asking, texts, updates, updates_staff
from gateway.facts import plain_subject
from gateway.outbox_results import apply
from gateway.rendering import render
from gateway.store import outbox, people, schema, tickets
from gateway.store.blobs import Blobs
from gateway.store.database import Database, open_database
from gateway.store.migrate import migrate
from gateway.texts import Texts
from normalizer.message import Attachment
from router.policy import Calendar
from tests.gateway.conftest import FrozenClock
from tests.gateway.people_desk import IRA, LINE1, PAVLO, POLICY, Desk, context

MORNING = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
"""Monday, 11:30 in Kyiv."""


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> Desk:
    return Desk(db, blobs, clock)


async def test_an_acknowledgement_in_working_hours(desk: Desk) -> None:
    await desk.open()
    [notice] = await desk.sent_to()
    assert notice.subject == "Re: Printer [#10000016]"
    assert "номер заявки — 10000016. Ответим сегодня до 13:30." in notice.text
    assert "нерабочее" not in notice.text
    assert "Acme care, +380 44 000 00 00" in notice.text
    assert notice.language == "ru"
    assert '<html lang="ru">' in notice.html
    assert notice.automatic


async def test_an_acknowledgement_out_of_hours_names_them_and_the_next_reply(desk: Desk) -> None:
    desk.clock.now = datetime(2026, 3, 6, 20, 0, tzinfo=UTC)  # Friday evening
    await desk.open()
    [notice] = await desk.sent_to()
    assert "Сейчас нерабочее время, ответим в понедельник, 9 марта, до 11:00." in notice.text
    assert "Мы работаем по будням с 9:00 до 18:00." in notice.text
    assert "позвоните дежурному: +380 44 000 00 99" in notice.text


async def test_who_is_answered_before_the_office_opens_hears_of_no_closed_door(
    db: Database, blobs: Blobs, clock: FrozenClock
) -> None:
    always = Calendar(key="always", zone="Europe/Kyiv", week=(((0, 1440),),) * 7)
    acme = POLICY.contracts["acme"]
    severe = replace(acme.terms[3], calendar="always")
    policy = replace(
        POLICY,
        calendars={**POLICY.calendars, "always": always},
        contracts={"acme": replace(acme, terms={**acme.terms, 3: severe})},
    )
    desk = Desk(db, blobs, clock, context(policy=policy))
    desk.clock.now = datetime(2026, 3, 6, 20, 0, tzinfo=UTC)  # Friday evening
    await desk.open(class_=None)  # the strictest plausible deadline runs: that of class 3, round the clock
    [notice] = await desk.sent_to()
    assert "Ответим сегодня до 22:15." in notice.text
    assert "нерабочее" not in notice.text and "Мы работаем" not in notice.text


async def test_opening_hours_name_their_zone_when_no_time_of_reply_does(
    db: Database, blobs: Blobs, clock: FrozenClock
) -> None:
    accounts = {"mail": {"support": {"addresses": ["support@desk.example"], "timezone": "Europe/Warsaw"}}}
    desk = Desk(db, blobs, clock, context(channels=accounts))
    desk.clock.now = datetime(2026, 3, 6, 20, 0, tzinfo=UTC)
    await desk.open(contract=None, class_=None)
    [notice] = await desk.sent_to()
    assert "Сейчас нерабочее время. Мы работаем по будням с 9:00 до 18:00 по киевскому времени." in notice.text


async def test_without_a_promise_the_sentence_is_left_out(desk: Desk) -> None:
    await desk.open(contract=None, class_=None)
    [notice] = await desk.sent_to()
    assert "Ответим" not in notice.text
    assert "None" not in notice.text


async def test_what_is_said_is_true_when_it_goes_out(desk: Desk) -> None:
    ticket = await desk.open()
    [early] = [row for row in await desk.rows() if row.recipient == IRA]
    desk.clock.forward(timedelta(hours=2, minutes=1))  # an outage: the promised time has passed
    [notice] = await desk.sent_to()
    assert early.ticket_id == ticket
    assert "Ответим" not in notice.text


async def test_a_registered_ticket_does_not_speak_of_a_letter(desk: Desk) -> None:
    await desk.open(registered_by="olena", actor="agent:olena")
    [notice] = await desk.sent_to()
    assert "Мы зарегистрировали вашу заявку" in notice.text


LANGUAGES = [
    ("ru", None, "ru"),
    ("uk", None, "uk"),
    ("ru", "en", "en"),  # the person's own choice
    ("de", None, "en"),  # a language that there are no texts in
    ("uk", "de", "uk"),
]


@pytest.mark.parametrize(("of_ticket", "chosen", "expected"), LANGUAGES)
async def test_language(desk: Desk, of_ticket: str, chosen: str | None, expected: str) -> None:
    def choose(conn: Connection) -> None:
        people.set_language(conn, people.contact_for(conn, "mail", IRA, "Ira", desk.clock()), chosen)

    await desk.do(choose)
    await desk.open(language=of_ticket)
    [notice] = await desk.sent_to()
    assert notice.language == expected


async def test_the_zone_is_the_contracts_and_named_when_the_readers_clock_differs(
    db: Database, blobs: Blobs, clock: FrozenClock
) -> None:
    accounts = {"mail": {"support": {"addresses": ["support@desk.example"], "timezone": "Europe/Warsaw"}}}
    desk = Desk(db, blobs, clock, context(channels=accounts))
    await desk.open()
    [notice] = await desk.sent_to()
    assert "Ответим сегодня до 13:30 по киевскому времени." in notice.text


async def test_a_reply_carries_the_words_the_author_and_the_files(desk: Desk) -> None:
    ticket = await desk.open()
    stored = b"large" * 100
    name = await desk.do(lambda conn: desk.blobs.put(stored))
    files = [
        Attachment(filename="a.txt", content_type="text/plain", size=3, sha256=hashlib.sha256(b"abc").hexdigest(),
                   content=b"abc"),
        Attachment(filename="b.bin", content_type="application/x", size=len(stored), sha256=name),
    ]  # fmt: skip
    await desk.act("reply", ticket, text="Try:\n\n  ping {{ host }} <b>", attachments=files)
    notice = (await desk.sent_to())[-1]
    assert notice.text.startswith("Try:\n\n  ping {{ host }} <b>\n")
    assert "&lt;b&gt;" in notice.html
    assert "Olena, Acme care" in notice.text
    assert [(file.filename, file.content) for file in notice.attachments] == [("a.txt", b"abc"), ("b.bin", stored)]
    assert not notice.automatic


async def test_people_in_copy_get_no_link_to_the_ticket(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.do(lambda conn: tickets.add_participant(conn, ticket, "oleh@acme.example", tickets.CC, ""))
    await desk.act("reply", ticket, text="Done.")
    notices = {notice.recipient.address: notice for notice in await desk.send() if notice.kind == "reply"}
    assert "https://help.example/t/" in notices[IRA].text
    assert "https://" not in notices["oleh@acme.example"].text


async def test_a_visit_and_a_reminder_with_their_days(desk: Desk) -> None:
    ticket = await desk.open()
    start = datetime(2026, 3, 3, 8, 0, tzinfo=UTC)
    await desk.act("set_visit", ticket, agreed=(start, start + timedelta(hours=2)), office="lviv")
    closes = datetime(2026, 3, 16, 9, 0, tzinfo=UTC).isoformat()
    await desk.change(ticket, "question", reminder=True, text="Which floor?", closes_at=closes)
    by_kind = {notice.kind: notice.text for notice in await desk.sent_to(seconds=121)}
    assert "приедет специалист завтра с 10:00 до 12:00." in by_kind["status"]
    assert "Which floor?" in by_kind["reminder"]
    assert "16 марта закроем" in by_kind["reminder"]


# -- threading ----------------------------------------------------------------------------


def _entry(conn: Connection, ticket: int, external_id: str, at: datetime, *, verified: bool = True) -> None:
    values: dict[str, Any] = {
        "channel": "mail", "account": "support", "format": "mail/1", "external_id": external_id,
        "fingerprint": external_id, "dedupe": hashlib.sha256(external_id.encode()).digest(), "peer": IRA,
        "received_at": at, "accepted_at": at, "size": 1, "sha256": "", "facts": {}, "state": "done",
    }  # fmt: skip
    entry = conn.execute(insert(schema.entry).values(values).returning(schema.entry.c.id)).scalar_one()
    tickets.add_message(
        conn, ticket, direction="in", kind="message", author=IRA, text="x", at=at, entry_id=entry, verified=verified
    )


async def test_a_notice_stands_under_what_the_person_wrote_last(desk: Desk) -> None:
    ticket = await desk.open()
    now = desk.clock()

    def write(conn: Connection) -> None:
        _entry(conn, ticket, "one@acme.example", now)
        _entry(conn, ticket, "smtp:17", now)  # a mail without a Message-ID
        _entry(conn, ticket, "stranger@evil.example", now, verified=False)

    await desk.do(write)
    [ack] = await desk.sent_to()
    assert ack.in_reply_to == "one@acme.example"
    assert ack.references == ("one@acme.example",)
    later = desk.clock.forward(timedelta(minutes=1))
    await desk.do(lambda conn: _entry(conn, ticket, "two@acme.example", later))
    desk.clock.forward(timedelta(minutes=1))
    await desk.act("reply", ticket, text="Yes.")
    [reply] = await desk.sent_to()
    assert reply.in_reply_to == "two@acme.example"
    assert reply.references == ("one@acme.example", ack.message_id, "two@acme.example")
    assert reply.message_id not in reply.references
    assert reply.reply_to.startswith("support+")
    assert reply.reply_to.endswith("@desk.example")


async def test_references_of_a_long_thread_stay_short(desk: Desk) -> None:
    ticket = await desk.open()

    def write(conn: Connection) -> None:
        for number in range(40):
            _entry(conn, ticket, f"{number}@acme.example", desk.clock() + timedelta(seconds=number))

    await desk.do(write)
    [ack] = await desk.sent_to()
    assert len(ack.references) == 10
    assert ack.references[0] == "0@acme.example"
    assert ack.references[-1] == ack.in_reply_to == "39@acme.example"


async def test_a_repeat_is_the_same_notice(desk: Desk) -> None:
    await desk.open()
    [row] = [row for row in await desk.rows() if row.recipient == IRA]

    def twice(conn: Connection) -> list[Any]:
        claimed = outbox.claim(conn, [row.id], "test", desk.clock())
        return [render(conn, desk.ctx, claimed[0], desk.blobs) for _ in range(2)]

    first, second = await desk.do(twice)
    assert first == second


async def test_after_a_restored_backup_no_new_notice_bears_the_ids_of_a_lost_one(
    tmp_path: Path, blobs: Blobs, clock: FrozenClock
) -> None:
    ids: list[str] = []
    for name in ("lost", "restored"):  # one key file, and the same row ids again
        url = f"sqlite:///{tmp_path / name}.db"
        migrate(url, backup_to=tmp_path / "backups")
        database = open_database(url, readers=1, busy_timeout=30.0)
        desk = Desk(database, blobs, clock)
        await desk.open(requester=f"{name}@acme.example", class_=3)
        for notice in await desk.send():
            ids += [notice.message_id, *([notice.reply_to] if notice.reply_to else [])]
        await database.close()
        clock.forward(timedelta(hours=1))
    assert len(ids) == len(set(ids)) >= 8


async def test_alerts_to_staff_thread_with_nothing_and_cannot_be_answered(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.act("assign", ticket, agent="pavlo")
    await desk.change(ticket, "warning", clock="reaction", due=desk.clock().isoformat())
    notices = await desk.sent_to(PAVLO)
    warning = next(notice for notice in notices if notice.kind == "staff_warning")
    assert (warning.reply_to, warning.in_reply_to, warning.references) == ("", "", ())
    assert warning.message_id.endswith("@desk.example")
    known = await desk.do(
        lambda conn: conn.scalar(
            select(schema.thread_key.c.ticket_id).where(schema.thread_key.c.value == warning.message_id)
        )
    )
    assert known is None
    assigned = next(notice for notice in notices if notice.kind == "staff_assigned")
    assert "support+note+" in assigned.text
    assert assigned.reply_to.replace("support+", "support+note+") in assigned.text


async def test_staff_see_what_people_do_not(desk: Desk) -> None:
    await desk.open(class_=3)
    [notice] = await desk.sent_to(LINE1)
    assert "class 3" in notice.text
    assert "Ira <ira@acme.example>" in notice.text
    assert "contract Acme" in notice.text
    assert "It prints nothing." in notice.text


# -- chats and text messages --------------------------------------------------------------


async def test_the_same_notice_in_a_chat_in_a_group_and_in_a_text_message(desk: Desk) -> None:
    ticket = await desk.open()
    await desk.send()
    await desk.act("resolve", ticket, result="Ольга заменила кабель.")
    desk.clock.forward(timedelta(minutes=5))
    [waiting] = [row for row in await desk.rows() if row.template == "resolved"]

    def in_each(conn: Connection) -> list[Any]:
        [row] = outbox.claim(conn, [waiting.id], "test", desk.clock())
        made = [render(conn, desk.ctx, row, desk.blobs)]
        for channel, private in (("telegram", True), ("telegram", False), ("sms", True)):
            talk = {"id": "-5:1", "private": private, "answer_to": {}}
            tickets.update(conn, ticket, conversation=talk)
            made.append(render(conn, desk.ctx, replace(row, channel=channel), desk.blobs))
        return made

    mail, chat, group, text = await desk.do(in_each)
    assert mail.subject and mail.html and "Ольга заменила кабель." in mail.text
    assert (chat.subject, chat.html) == (group.subject, group.html) == (text.subject, text.html) == ("", "")
    assert chat.text.startswith("Заявка 10000016 выполнена.\nЧто сделано: Ольга заменила кабель.")
    assert group.text.startswith("Заявка 10000016 выполнена.") and "Ольга" not in group.text
    assert text.text.startswith("Заявка 10000016 выполнена.") and "Ольга" not in text.text
    assert len(text.text) <= 70


async def test_a_text_message_says_the_time_in_fewer_words(desk: Desk) -> None:
    ticket = await desk.open()
    [waiting] = [row for row in await desk.rows() if row.template == "acknowledgement"]
    start = datetime(2026, 3, 3, 8, 0, tzinfo=UTC)
    await desk.act("set_visit", ticket, agreed=(start, start + timedelta(hours=2)), office="lviv")

    def short(conn: Connection) -> list[str]:
        row = replace(outbox.claim(conn, [waiting.id], "test", desk.clock())[0], channel="sms")
        visit = replace(row, template="visit")
        return [render(conn, desk.ctx, one, desk.blobs).text for one in (row, visit)]

    acknowledged, visit = await desk.do(short)
    assert acknowledged == "Заявка 10000016 принята. Ответим сегодня до 13:30."
    assert visit == "Заявка 10000016: приедет специалист 03.03 10:00-12:00."


# -- a text that fails --------------------------------------------------------------------


async def test_a_failing_text_goes_out_plain_and_staff_are_told(desk: Desk) -> None:
    desk.configure(texts=Texts())
    ticket = await desk.open()
    await desk.act("reply", ticket, text="Press the green button.")

    def carry_out(conn: Connection) -> list[Any]:
        now = desk.clock()
        made = []
        while ids := outbox.due(conn, "mail", "support", now, 100):
            for row in outbox.claim(conn, ids, "test", now):
                made.append(render(conn, desk.ctx, row, desk.blobs))
                done = outbox.Settlement(id=row.id, owner="test", attempts=row.attempts, state="sent")
                assert apply(conn, desk.ctx, updates.compose, row, done, now)
        return made

    made = await desk.do(carry_out)
    reply = next(notice for notice in made if notice.kind == "reply")
    assert "Press the green button." in reply.text
    assert "10000016" in reply.subject
    assert "По заявке 10000016 есть новости" in reply.text
    failed = await desk.events(ticket, "text_failed")
    assert {event["template"] for event in failed} == {"acknowledgement", "reply", "staff_new"}
    assert "there is no text" in failed[0]["detail"]


@pytest.mark.parametrize("failing", [False, True])
async def test_an_alert_without_a_ticket_is_rendered(desk: Desk, failing: bool) -> None:
    if failing:
        desk.configure(texts=Texts())
    draft = outbox.Draft(
        key="alert:1", lane="", kind="alert", channel="mail", account="support", recipient="ops@desk.example",
        language="uk", template="alert", repeatable=False, automatic=True,
        variables={"alert": "quarantine", "state": "raised", "detail": "3 messages", "since": MORNING.isoformat()},
    )  # fmt: skip
    await desk.do(lambda conn: outbox.put(conn, draft, desk.clock()))
    [notice] = await desk.sent_to("ops@desk.example")
    assert "3 messages" in notice.text
    assert ("Несправність" in notice.text) is not failing
    assert ("2 березня, 11:30" in notice.text) is not failing
    assert "Заявка" not in notice.subject
    assert notice.subject


SUBJECTS = [
    ("Printer", "Printer"),
    ("Re: RE: Fwd: Printer", "Printer"),
    ("Отв: Re[2]: Принтер", "Принтер"),
    ("Re: [#10000016] Printer", "Printer"),
    ("Re:", ""),
    ("  a \r\n b ", "a b"),
    ("Request: all", "Request: all"),
]


@pytest.mark.parametrize(("subject", "expected"), SUBJECTS)
def test_plain_subject(subject: str, expected: str) -> None:
    assert plain_subject(subject) == expected


def test_every_template_that_is_drafted_has_a_text_and_the_other_way_round() -> None:
    drafted = {"alert", "reply", "acknowledgement"}  # named more than once where they are drafted
    for module in (updates, updates_staff, survey_asking):
        drafted |= set(re.findall(r'"([a-z_]+)"', inspect.getsource(module))) & set(texts.TEMPLATES)
        named = re.findall(r'"(staff_[a-z]+)"', inspect.getsource(module))
        assert set(named) <= set(texts.TEMPLATES)
    assert set(updates.HANDED.values()) <= set(texts.TEMPLATES)
    assert drafted == set(texts.TEMPLATES)
