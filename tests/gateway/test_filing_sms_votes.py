"""A survey that is answered by text message or WhatsApp: a digit, a word, a button, or no more of them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from gateway import surveys
from gateway.store import people, schema, tickets
from gateway.survey_asking import open_survey, token_of
from tests.gateway.text_desk import ANNA, BOB, TextDesk, texts

__all__ = ["texts"]


async def asked(texts: TextDesk, channel: str = "sms") -> tuple[int, str]:
    """A resolved ticket whose requester was asked; (ticket, token of the survey)."""
    filed = await texts.say("Не печатает принтер", channel=channel)
    assert filed.ticket_id is not None
    ticket_id = filed.ticket_id

    def job(conn: Any) -> str:
        tickets.update(conn, ticket_id, status="resolved", resolutions=1)
        survey_id = open_survey(conn, texts.ctx, tickets.get(conn, ticket_id), texts.clock())
        assert survey_id is not None
        nonce = conn.execute(select(schema.survey.c.nonce).where(schema.survey.c.id == survey_id)).scalar_one()
        return token_of(texts.ctx, nonce)

    return ticket_id, await texts.do(job)


async def votes(texts: TextDesk) -> list[tuple[int, str, bool]]:
    def look(conn: Any) -> Any:
        rows = conn.execute(select(schema.rating).order_by(schema.rating.c.id)).all()
        return [(row.score, row.comment, row.current) for row in rows]

    found: list[tuple[int, str, bool]] = await texts.db.read(look)
    return found


@pytest.mark.parametrize("channel", ["sms", "whatsapp"])
@pytest.mark.parametrize(
    ("text", "score"), [("5", 5), (" 5. ", 5), ("5 спасибо", 5), ("пять", 5), ("п'ять", 5), ("2", 2)]
)
async def test_a_digit_or_a_word_is_a_vote(texts: TextDesk, channel: str, text: str, score: int) -> None:
    ticket_id, _ = await asked(texts, channel)
    filed = await texts.say(text, channel=channel)
    assert (filed.kind, filed.ticket_id) == ("rating", ticket_id)
    assert [vote[0] for vote in await votes(texts)] == [score]
    assert (await texts.ticket(ticket_id)).status == "resolved"


async def test_the_last_vote_counts_and_the_others_are_kept(texts: TextDesk) -> None:
    await asked(texts)
    for text in ("3", "5"):
        await texts.say(text)
    assert [(score, current) for score, _, current in await votes(texts)] == [(3, False), (5, True)]


@pytest.mark.parametrize("channel", ["sms", "whatsapp"])
async def test_a_vote_can_be_changed_for_a_day(texts: TextDesk, channel: str) -> None:
    ticket_id, _ = await asked(texts, channel)
    await texts.say("3", channel=channel)
    texts.later(hours=23)
    await texts.say("4", channel=channel)
    texts.later(hours=2)
    assert (await texts.say("5", channel=channel)).ticket_id == ticket_id
    assert [(score, current) for score, _, current in await votes(texts)] == [(3, False), (4, True)]
    assert [row[0] for row in await texts.answers()] == ["bot_rated", "bot_rated", "bot_press_closed"]
    assert (await texts.ticket(ticket_id)).status == "resolved"


async def test_who_says_that_it_still_fails_is_heard_and_no_vote_counts(texts: TextDesk) -> None:
    ticket_id, _ = await asked(texts)
    filed = await texts.say("5, но принтер опять не печатает")
    assert (filed.kind, filed.ticket_id) == ("appended", ticket_id)
    assert await votes(texts) == []
    assert (await texts.ticket(ticket_id)).status == "open"


@pytest.mark.parametrize("word", ["9", "9.", "Больше не спрашивайте", "більше не питайте", "no more surveys"])
async def test_nine_or_words_end_the_surveys_of_a_person(texts: TextDesk, word: str) -> None:
    ticket_id, _ = await asked(texts)
    assert (await texts.say(word)).kind == "rating"
    assert await texts.wishes() == [], "that is no STOP: answers still go to this telephone"
    ticket = await texts.ticket(ticket_id)
    contact = await texts.db.read(lambda conn: people.get(conn, ticket.requester_id))
    assert contact.no_surveys
    assert await votes(texts) == []


async def test_a_digit_without_a_survey_is_a_message(texts: TextDesk) -> None:
    filed = await texts.say("5")
    assert filed.kind == "opened"
    assert await votes(texts) == []


async def test_a_button_of_whatsapp_votes_for_the_one_who_was_asked_only(texts: TextDesk) -> None:
    _, token = await asked(texts, "whatsapp")
    button = {"MessageType": "button", "ButtonText": "4", "ButtonPayload": f"rate:{token}:4"}
    assert (await texts.say("4", sender=BOB, channel="whatsapp", **button)).because == "somebody else's survey"
    assert await votes(texts) == []
    assert (await texts.say("4", sender=ANNA, channel="whatsapp", **button)).because == "counted"
    assert [vote[0] for vote in await votes(texts)] == [4]
    assert surveys.SCORES.stop == 6
