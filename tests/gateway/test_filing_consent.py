"""STOP, START and HELP: kept for the person and our number, answered once, and never a ticket."""

from __future__ import annotations

import pytest

from gateway import surveys
from gateway.store import consents, schema, tickets
from tests.gateway.text_desk import ANNA, BOB, OTHER, OURS, TextDesk, texts

__all__ = ["texts"]


@pytest.mark.parametrize("word", ["СТОП", "стоп.", "Отписаться", "ВІДМОВА"])
async def test_a_stop_is_kept_and_answered_once(texts: TextDesk, word: str) -> None:
    assert [(await texts.say(word)).kind for _ in range(3)] == ["consent"] * 3
    assert await texts.wishes() == [("sms", OURS, ANNA, "stop")]
    assert await texts.answers() == [("word_stop", ANNA, "waiting")]
    assert await texts.count(schema.ticket) == 0
    assert await texts.count(schema.entry) == 3


async def test_what_twilio_answers_itself_is_kept_and_not_answered_again(texts: TextDesk) -> None:
    await texts.say("STOP")
    assert await texts.wishes() == [("sms", OURS, ANNA, "stop")]
    await texts.say("Halt", OptOutType="START")
    assert await texts.wishes() == [("sms", OURS, ANNA, "start")]
    await texts.say("HELP")
    assert await texts.answers() == []


async def test_a_wish_concerns_one_number_of_ours_one_person_and_one_channel(texts: TextDesk) -> None:
    await texts.say("СТОП")
    await texts.say("СТОП", to=OTHER)
    await texts.say("СТОП", sender=BOB, channel="whatsapp")
    await texts.say("СТАРТ", to=OTHER)
    assert sorted(await texts.wishes()) == [
        ("sms", OURS, ANNA, "stop"), ("sms", OTHER, ANNA, "start"), ("whatsapp", OURS, BOB, "stop"),
    ]  # fmt: skip
    assert [row[0] for row in await texts.answers()] == ["word_stop", "word_stop", "word_stop", "word_start"]


async def test_who_changes_their_mind_is_answered_each_time(texts: TextDesk) -> None:
    for word in ("СТОП", "СТАРТ", "СТОП"):
        await texts.say(word)
    assert [row[0] for row in await texts.answers()] == ["word_stop", "word_start", "word_stop"]
    assert await texts.wishes() == [("sms", OURS, ANNA, "stop")]


async def test_help_and_an_idle_start_are_answered_once_a_day(texts: TextDesk) -> None:
    for _ in range(3):
        await texts.say("ДОПОМОГА")
        await texts.say("СТАРТ")
    assert [row[0] for row in await texts.answers()] == ["word_help", "word_start"]
    texts.later(days=1)
    await texts.say("Помощь")
    assert [row[0] for row in await texts.answers()] == ["word_help", "word_start", "word_help"]
    assert await texts.wishes() == [("sms", OURS, ANNA, "start")]


async def test_an_answer_goes_out_from_the_number_that_was_written_to(texts: TextDesk) -> None:
    await texts.say("СТОП", to=OTHER)
    (row,) = await texts.outbox()
    assert (row.channel, row.account, row.recipient) == ("sms", "main", ANNA)
    assert row.destination == {"to": ANNA, "from": OTHER}


async def test_a_replay_changes_no_wish_and_a_second_reading_says_nothing_more(texts: TextDesk) -> None:
    stop = texts.network.message("СТОП", sender=ANNA, to=OURS)
    entry_id = await texts.taken(stop, "message", "sms")
    await texts.filed(entry_id)
    await texts.filed(entry_id)
    await texts.say("СТАРТ")
    await texts.replay(entry_id)
    assert (await texts.filed(entry_id)).because in ("a replay changes no wish", "answered before")
    assert await texts.wishes() == [("sms", OURS, ANNA, "start")]
    assert [row[0] for row in await texts.answers()] == ["word_stop", "word_start"]
    # Nothing was said to this one, so nothing but the replay itself tells that it is old.
    answered_there = await texts.taken(texts.network.message("STOP", sender=ANNA, to=OURS), "message", "sms")
    await texts.filed(answered_there)
    await texts.say("START")
    await texts.replay(answered_there)
    await texts.filed(answered_there)
    assert await texts.wishes() == [("sms", OURS, ANNA, "start")]


@pytest.mark.parametrize("mail", [True, False])
async def test_who_stopped_is_told_by_another_channel_or_not_at_all(texts: TextDesk, mail: bool) -> None:
    await texts.say("STOP")
    if mail:
        await texts.also_by_mail()
    filed = await texts.say("Не печатает принтер")
    told = [(row.channel, row.recipient, row.template) for row in await texts.outbox()]
    assert told == ([("mail", "anna@client.example", "acknowledgement")] if mail else [])
    silent = [one.data["reason"] for one in await texts.events(filed.ticket_id) if one.kind == "silent"]
    assert silent == ([] if mail else ["stopped"])
    ways = [one.data for one in await texts.events(filed.ticket_id) if one.kind == "redirected"]
    next_way = {"channel": "mail", "recipient": "anna@client.example"}
    shown = {"notice": "acknowledgement", "reason": "stopped", "channel": "sms", "next": next_way}
    assert ways == ([shown] if mail else [])
    # The other number of ours was not told to stop.
    await texts.say("STOP", sender=BOB)
    await texts.say("Не печатает сканер", sender=BOB, to=OTHER)
    assert ("sms", BOB) in [(row.channel, row.recipient) for row in await texts.outbox()]


async def test_who_stopped_still_has_their_ticket_and_is_asked_for_no_rating(texts: TextDesk) -> None:
    first = await texts.say("Не печатает принтер")
    await texts.say("СТОП")
    assert (await texts.say("И сканер тоже")).ticket_id == first.ticket_id
    ticket = await texts.ticket(first.ticket_id)
    (shown,) = [one for one in await texts.events(ticket.id) if one.kind == "consent"]
    assert (shown.actor, shown.data) == ("requester", {"wish": "stop", "channel": "sms", "endpoint": OURS})
    assert ticket.conversation["answer_to"] == {"to": ANNA, "from": OURS}

    def why(conn: object) -> str:
        return surveys.why_not(conn, texts.ctx, tickets.get(conn, ticket.id), texts.clock())  # type: ignore[arg-type]

    assert await texts.db.read(why) == "stopped"
    assert consents.endpoint("main", None) == "main"


async def test_people_are_known_by_their_number_whatever_channel_they_use(texts: TextDesk) -> None:
    by_text = await texts.say("Не печатает принтер")
    by_whatsapp = await texts.say("Не працює сканер", channel="whatsapp", ProfileName="Анна")
    assert by_text.ticket_id != by_whatsapp.ticket_id
    rows = [await texts.ticket(one.ticket_id) for one in (by_text, by_whatsapp)]
    assert rows[0].requester_id == rows[1].requester_id


async def test_nobody_who_hides_their_number_is_taken_for_another_or_answered(texts: TextDesk) -> None:
    filed = [
        await texts.say("Перезвоните", sender=sender) for sender in ("+266696687", "anonymous", "", "BANK", "12345")
    ]
    assert len({one.ticket_id for one in filed}) == 5
    rows = [await texts.ticket(one.ticket_id) for one in filed]
    assert len({row.requester_id for row in rows}) == 5
    assert await texts.outbox() == []


async def test_a_burst_is_one_ticket_and_a_repeat_is_nothing(texts: TextDesk) -> None:
    first = await texts.say("Не печатает")
    assert {(await texts.say(word)).ticket_id for word in ("принтер", "на третьем этаже")} == {first.ticket_id}
    fields = texts.network.message("ещё", sender=ANNA, to=OURS)
    one = await texts.taken(fields, "message", "sms")
    assert await texts.taken({**fields, "ErrorCode": "11200", "ErrorUrl": "x"}, "message", "sms") == one
    assert await texts.count(schema.ticket) == 1


@pytest.mark.parametrize("channel", ["sms", "whatsapp"])
async def test_an_open_ticket_of_the_number_goes_on_within_a_window(texts: TextDesk, channel: str) -> None:
    first = await texts.say("Не печатает принтер", channel=channel)
    texts.later(hours=23)
    assert (await texts.say("Он на складе", channel=channel)).ticket_id == first.ticket_id
    texts.later(hours=23)
    assert (await texts.say("Его видно?", channel=channel)).ticket_id == first.ticket_id, "from the last word on"
    texts.later(hours=25)
    second = await texts.say("Не открывается сайт", channel=channel)
    assert (second.kind, second.ticket_id == first.ticket_id) == ("opened", False)
    assert (await texts.say("Совсем", channel=channel)).ticket_id == second.ticket_id
    assert (await texts.say("И у меня", channel=channel, sender=BOB)).kind == "opened"


async def test_a_reply_to_a_message_of_ours_belongs_to_its_ticket(texts: TextDesk) -> None:
    old = await texts.say("Не працює пошта", channel="whatsapp")
    await texts.sent(old, "SM" + "f" * 32)
    texts.later(days=3)
    new = await texts.say("Не друкує принтер", channel="whatsapp")
    assert new.ticket_id != old.ticket_id
    answer = {"OriginalRepliedMessageSid": "SM" + "f" * 32, "OriginalRepliedMessageSender": f"whatsapp:{OURS}"}
    assert (await texts.say("Так, досі не працює", channel="whatsapp", **answer)).ticket_id == old.ticket_id


async def test_who_changes_their_mind_all_day_costs_us_little(texts: TextDesk) -> None:
    for _ in range(30):
        await texts.say("СТОП")
        await texts.say("СТАРТ")
        texts.later(minutes=1)
    states = [row[2] for row in await texts.answers()]
    assert states.count("waiting") == 30
    assert set(states[30:]) == {"suppressed"}
    assert await texts.wishes() == [("sms", OURS, ANNA, "start")], "what they wish for is kept all the same"
