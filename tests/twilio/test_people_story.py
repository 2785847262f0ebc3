"""Whole exchanges by text message and WhatsApp: bursts, surveys, STOP, numbers that are nobody's."""

from __future__ import annotations

from pathlib import Path

import pytest

from channels.segments import segments
from gateway.demo.twilio_api import Reports
from tests.twilio.exchange import OTHER, exchange
from tests.twilio.provider import ANNA, OURS

BOB = "+380670000002"
LANDLINE = "+380440000009"
MAIL = "anna@client.example"
CHANNELS = pytest.mark.parametrize("channel", ["sms", "whatsapp"])


@CHANNELS
async def test_a_burst_is_one_ticket_and_one_acknowledgement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channel: str
) -> None:
    async with exchange(tmp_path / "var", monkeypatch, "outbox.chat_acknowledgement_delay=2s") as people:
        for words in ("Не печатает", "принтер на третьем этаже", "и сканер тоже"):
            await people.says(words, channel=channel)
        ticket = await people.ticket()
        text = await people.reads(ticket["number"])
        assert channel == "whatsapp" or (segments(text) == 1 and "принтер" not in text)
        await people.says("ещё и копир", channel=channel)
        await people.settled()
        assert [one["text"] for one in (await people.ticket())["messages"] if one["direction"] == "in"] == [
            "Не печатает", "принтер на третьем этаже", "и сканер тоже", "ещё и копир",
        ]  # fmt: skip
        assert people.unread() == []
        assert [(one.sender.rpartition(":")[2], one.to.rpartition(":")[2]) for one in people.api.sent] == [(OURS, ANNA)]


@CHANNELS
async def test_a_survey_is_answered_by_a_digit_and_the_last_one_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channel: str
) -> None:
    async with exchange(tmp_path / "var", monkeypatch) as people:
        await people.says("Не печатает принтер", channel=channel)
        number = (await people.ticket())["number"]
        await people.reads(number)
        await people.resolve(number)
        asked = await people.reads("5 — отлично")
        assert number in asked
        assert ("заменили" in asked) == (channel == "whatsapp"), "a text message says no more than it must"
        await people.says("3", channel=channel)
        await people.reads("ваша оценка — 3")
        await people.says("5 спасибо", channel=channel)
        thanks = await people.reads("ваша оценка — 5")
        assert channel == "whatsapp" or (segments(thanks) == 1 and number not in thanks)
        assert [(score, current) for score, _, current in people.votes()] == [(3, False), (5, True)]
        shown = await people.call("GET", f"/tickets/{number}/ratings")
        assert [one["score"] for one in shown["items"]][-1:] == [5]
        assert (await people.ticket())["status"] == "resolved"
        await people.says("9", channel=channel)
        await people.reads("Просьб об оценке больше не будет")
        assert people.gateway.store.one("SELECT no_surveys FROM contact c JOIN ticket t ON t.requester_id = c.id")
        assert len(people.votes()) == 2


async def test_a_word_is_a_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"пять": 5, "4, дякую": 4, "п'ять": 5, "three": 3, "П’ять!": 5, "четыре": 4, "five": 5, "Оценка 3": 3}
    async with exchange(tmp_path / "var", monkeypatch) as people:
        await people.says("Не печатает принтер")
        number = (await people.ticket())["number"]
        await people.reads(number)
        await people.resolve(number)
        await people.reads("Оцените")
        for word, score in words.items():
            await people.says(word)
            await people.reads(f"ваша оценка — {score}")
        assert [one[0] for one in people.votes()] == list(words.values())


async def test_who_writes_that_it_still_fails_reopens_the_ticket_and_casts_no_vote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with exchange(tmp_path / "var", monkeypatch) as people:
        await people.says("Не печатает принтер")
        number = (await people.ticket())["number"]
        await people.reads(number)
        await people.resolve(number)
        await people.reads("Оцените")
        await people.says("5, но принтер опять не печатает")
        await people.reads("снова в работе")
        assert people.votes() == []
        assert (await people.ticket())["status"] == "open"
        await people.says("5", sender=BOB)
        second = await people.ticket(2)
        assert second["requester"]["address"] == BOB, "a digit without a survey is a message"
        await people.reads(second["number"], BOB)


@pytest.mark.parametrize(("comment", "status"), [("Ждали два дня", "resolved"), ("Он опять не печатает", "open")])
async def test_a_low_mark_is_asked_about_and_words_that_it_fails_reopen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comment: str, status: str
) -> None:
    async with exchange(tmp_path / "var", monkeypatch) as people:
        await people.says("Не печатает принтер")
        number = (await people.ticket())["number"]
        await people.reads(number)
        await people.resolve(number)
        await people.reads("Оцените")
        await people.says("2")
        asked = await people.reads("Что было не так?")
        assert segments(asked) == 1
        await people.says(comment)
        told = await people.reads("передали руководителю")
        assert (number in told) == (status == "open")
        assert segments(told) == 1
        await people.settled()
        assert people.unread() == []
        assert (await people.ticket())["status"] == status
        assert [(score, words) for score, words, current in people.votes() if current] == [(2, comment)]


async def test_stop_holds_for_what_waits_too_and_the_rest_goes_by_mail_until_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with exchange(tmp_path / "var", monkeypatch, "outbox.chat_acknowledgement_delay=1h") as people:
        await people.says("Не печатает принтер")
        number = (await people.ticket())["number"]
        people.also_by_mail(MAIL)
        await people.says("СТОП")
        await people.reads("Больше не пишем")
        # The hour goes by; somebody writes, and the gateway looks what is due.
        people.gateway.store.change("UPDATE outbox SET due_at = 1 WHERE state = 'waiting'")
        await people.says("Стоп")
        await people.settled()
        assert people.unread() == [], "the acknowledgement was queued before; and a second STOP is not answered"
        assert people.mails() == [("acknowledgement", MAIL)]
        (told,) = people.events("undelivered")
        assert told["next"] == {"channel": "mail", "recipient": MAIL}
        assert "wants no messages" in told["detail"]
        await people.call("POST", f"/tickets/{number}/reply", {"text": "Смотрим."})
        await people.settled()
        assert people.mails()[-1] == ("reply", MAIL)
        assert people.events("redirected")[-1]["reason"] == "stopped"
        assert people.unread() == []
        # What was said to one number of ours leaves the other as it was.
        await people.says("А сканер?", sender=ANNA, to=OTHER)
        await people.settled()
        await people.says("СТАРТ")
        await people.reads("Снова будем писать")
        await people.call("POST", f"/tickets/{number}/reply", {"text": "Готово, проверьте."})
        await people.reads("Готово, проверьте.")
        assert await people.gateway.until(lambda: people.unread() == [], "no more")
        marks = people.gateway.store.rows("SELECT * FROM unreachable")
        assert marks == [], "the telephone is as good as before"


async def test_who_stopped_and_has_no_other_channel_is_told_nothing_and_staff_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with exchange(tmp_path / "var", monkeypatch) as people:
        await people.says("СТОП")
        await people.reads("Больше не пишем")
        await people.says("Не печатает принтер")
        number = (await people.ticket())["number"]
        await people.call("POST", f"/tickets/{number}/reply", {"text": "Смотрим."})
        await people.settled()
        assert people.unread() == []
        assert [one["reason"] for one in people.events("silent")] == ["stopped"]
        (told,) = people.events("undelivered")
        assert (told["notice"], told["state"]) == ("reply", "unreachable")


async def test_who_gets_no_text_messages_is_answered_on_whatsapp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = "outbox.next_channel=[whatsapp, mail]"
    async with exchange(tmp_path / "var", monkeypatch, more) as people:
        await people.says("Доброго дня, у мене питання", channel="whatsapp")
        await people.reads((await people.ticket())["number"])
        people.api.report(Reports(states=("sent", "undelivered"), code="30005"))
        await people.says("Не печатает принтер")
        ticket = await people.ticket(2)
        await people.reads(ticket["number"])
        again = await people.reads(ticket["number"])
        assert again
        assert [one.to for one in people.api.sent][1:] == [ANNA, f"whatsapp:{ANNA}"]
        assert people.gateway.store.rows("SELECT channel, value FROM unreachable") == [("sms", ANNA)]
        await people.resolve(ticket["number"])
        await people.reads("выполнена")
        assert people.api.sent[-1].to == f"whatsapp:{ANNA}", "another text message would not arrive either"


async def test_a_number_that_is_nobodys_opens_a_ticket_and_gets_nothing_until_staff_say_whose_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with exchange(tmp_path / "var", monkeypatch) as people:
        await people.says("Не печатает принтер", sender=LANDLINE)
        ticket = await people.ticket()
        assert "shared-number" in ticket["tags"]
        await people.call("POST", f"/tickets/{ticket['number']}/reply", {"text": "Смотрим."})
        await people.settled()
        assert people.got(LANDLINE) == []
        assert people.events("opened")[0]["shared"] == "no mobile"
        assert people.events("silent")[0]["reason"] == "a shared number: no mobile"
        assert people.events("undelivered")[0]["detail"] == "a shared number: no mobile"
        shown = await people.call("POST", "/contacts/phones", {"value": LANDLINE, "shared": False})
        assert shown["identities"][0]["shared"] == ""
        await people.call("POST", f"/tickets/{ticket['number']}/reply", {"text": "Готово."})
        await people.reads("Готово.", LANDLINE)
