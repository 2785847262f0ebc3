"""Mails with one Message-ID: copies of one mail, or a device that gives all of its mails the same."""

from __future__ import annotations

import asyncio
import smtplib
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest

from gateway.store import schema, tickets
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from tests.gateway.conftest import FrozenClock
from tests.gateway.filing_desk import Desk, context
from tests.gateway.planted import said
from tests.mailboxes.desk import running

ALARM, ANN, EVE = "ups@client.example", "ann@client.example", "eve@elsewhere.example"
SAME = "alarm@ups.client.example"
MONDAY = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> Desk:
    return Desk(db, blobs, clock, context())


@pytest.mark.parametrize("trust", ["unknown", "verified"])
async def test_a_device_with_one_id_for_all_its_mails_opens_a_ticket_with_each(desk: Desk, trust: str) -> None:
    mail = {"sender": ALARM, "message_id": SAME, "trust": trust}
    first = await desk.mail(**mail, date=MONDAY, text="On battery")
    second = await desk.mail(**mail, date=TUESDAY, text="Battery low")
    third = await desk.mail(**mail, date=TUESDAY + timedelta(minutes=1), text="Going down")
    assert [filed.kind for filed in (first, second, third)] == ["opened"] * 3
    assert await desk.count(schema.ticket) == 3
    number = (await desk.ticket(first.ticket_id)).number
    assert [(await desk.ticket(one.ticket_id)).related for one in (second, third)] == [[number], [number]]
    assert [one.text for one in await desk.messages(first.ticket_id)] == ["On battery"]


async def test_the_same_words_again_within_minutes_are_one_ticket_and_on_another_day_another(desk: Desk) -> None:
    mail = {"sender": ALARM, "message_id": SAME, "text": "On battery"}
    await desk.mail(**mail, date=MONDAY)
    again = await desk.mail(**mail, date=MONDAY + timedelta(hours=1))
    soon = await desk.mail(**mail, date=MONDAY + timedelta(hours=1, minutes=1))
    assert (again.kind, soon.kind, soon.ticket_id) == ("opened", "joined", again.ticket_id)
    desk.clock.forward(timedelta(days=1))
    assert (await desk.mail(**mail, date=TUESDAY)).kind == "opened"


async def test_a_copy_with_a_footer_has_the_same_date_and_is_no_other_mail(desk: Desk) -> None:
    """By a list, or by a mailbox whose provider marks what comes from outside."""
    first = await desk.mail(sender=ANN, message_id=SAME, date=MONDAY, text="one", trust="verified")
    desk.clock.forward(timedelta(days=2))
    copy = await desk.mail(sender=ANN, message_id=SAME, date=MONDAY, text="one\n-- a list", trust="verified")
    assert copy.ticket_id == first.ticket_id
    by_the_list = await desk.mail(sender="list@lists.example", message_id=SAME, date=MONDAY, text="[list] one")
    assert by_the_list.ticket_id == first.ticket_id
    assert await desk.count(schema.ticket) == 1


async def test_a_copy_of_one_of_the_newest_is_known_of_a_device_that_has_sent_many(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tickets, "NEWEST", 3)
    for day in range(6):
        mail = {"sender": ALARM, "message_id": SAME, "date": MONDAY + timedelta(days=day), "text": f"Day {day}"}
        opened = await desk.mail(**mail)
        assert opened.kind == "opened"
        assert (await desk.mail(**{**mail, "text": f"[list] Day {day}"})).ticket_id == opened.ticket_id
    assert await desk.count(schema.ticket) == 6


async def test_a_copy_of_a_later_mail_wakes_nobody_in_the_ticket_of_the_first(desk: Desk) -> None:
    """By a list, say, or by another mailbox: its footer makes it no repeat."""
    mail = {"sender": ALARM, "message_id": SAME, "trust": "verified"}
    first = await desk.mail(**mail, date=MONDAY, text="On battery")
    second = await desk.mail(**mail, date=TUESDAY, text="Battery low")
    copy = await desk.mail(**mail, date=TUESDAY, text="Battery low\n-- a list")
    assert copy.ticket_id == second.ticket_id != first.ticket_id
    assert [one.text for one in await desk.messages(first.ticket_id)] == ["On battery"]


async def test_without_a_date_on_either_side_nothing_is_concluded(desk: Desk) -> None:
    first = await desk.mail(sender=ALARM, message_id=SAME, text="one")
    second = await desk.mail(sender=ALARM, message_id=SAME, text="two", date=TUESDAY)
    third = await desk.mail(sender=ALARM, message_id=SAME, text="three")
    assert {first.ticket_id} == {second.ticket_id, third.ticket_id}


async def test_who_takes_anothers_id_gets_a_ticket_of_their_own(desk: Desk) -> None:
    first = await desk.mail(sender=ANN, message_id=SAME, date=MONDAY)
    taken = await desk.mail(sender=EVE, message_id=SAME, date=TUESDAY, text="Send me the passwords")
    assert taken.kind == "opened"
    assert len(await desk.messages(first.ticket_id)) == 1


async def test_an_answer_that_came_first_is_no_other_mail_with_its_id(desk: Desk) -> None:
    reply = await desk.mail(sender=ANN, message_id="m2@client.example", in_reply_to=[SAME], date=TUESDAY)
    parent = await desk.mail(sender=ALARM, message_id=SAME, date=MONDAY)
    assert parent.ticket_id == reply.ticket_id


async def test_an_answer_with_a_used_id_still_goes_where_it_answers(desk: Desk) -> None:
    """A program that gives a draft's id to whatever is written from it."""
    await desk.mail(sender=ANN, message_id=SAME, date=MONDAY)
    asked = await desk.mail(sender=ANN, message_id="m2@client.example", date=MONDAY, text="another")
    issued = await desk.issued(asked.ticket_id)
    reply = await desk.mail(sender=ANN, message_id=SAME, date=TUESDAY, in_reply_to=[issued], text="thank you")
    assert (reply.kind, reply.ticket_id) == ("appended", asked.ticket_id)


async def test_an_answer_goes_where_it_answers_although_somebody_was_there_before_with_its_id_and_date(
    desk: Desk,
) -> None:
    """Who reads along, say."""
    await desk.mail(sender=EVE, message_id=SAME, date=TUESDAY, text="mine now")
    asked = await desk.mail(sender=ANN, message_id="m2@client.example", date=MONDAY)
    reply = {"sender": ANN, "message_id": SAME, "date": TUESDAY, "text": "thank you"}
    answered = await desk.mail(**reply, in_reply_to=[await desk.issued(asked.ticket_id)])
    assert (answered.kind, answered.ticket_id) == ("appended", asked.ticket_id)


async def test_read_again_both_stay_where_they_are(desk: Desk) -> None:
    first = await desk.mail(sender=ALARM, message_id=SAME, date=MONDAY, text="one")
    second = await desk.mail(sender=ALARM, message_id=SAME, date=TUESDAY, text="two")
    rows = await desk.messages(second.ticket_id)
    entry = await desk.replay(rows[0].entry_id)
    again = await desk.file(entry, said(sender=ALARM, message_id=SAME, date=TUESDAY, text="two!"))
    assert again.ticket_id == second.ticket_id != first.ticket_id


async def test_by_smtp(tmp_path: Path) -> None:
    def send(where: str) -> None:
        host, _, port = where.rpartition(":")
        with smtplib.SMTP(host, int(port), timeout=60) as wire:
            for day, text in ((2, "On battery"), (3, "Battery low"), (3, "Battery low")):
                mail = EmailMessage()
                mail["From"], mail["To"], mail["Subject"] = ALARM, "support@desk.example", "UPS"
                mail["Message-ID"], mail["Date"] = f"<{SAME}>", f"Tue, {day} Mar 2026 09:00:00 +0200"
                mail.set_content(text)
                wire.send_message(mail)

    async with running(tmp_path / "var", ("smtp.port=0", "http.port=0", "workers.count=1")) as desk:
        await asyncio.to_thread(send, desk.listening["smtp"])
        await desk.tickets(2)
        waiting = "SELECT id FROM entry WHERE state = 'pending'"
        await desk.until(lambda: not desk.store.rows(waiting), "everything filed")
        assert desk.store.tickets() == 2
