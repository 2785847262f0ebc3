"""Marks by button and by digit in a chat: whose they are, what is said to them, comments, and reopening."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway import desk as staff
from gateway.store import people, threads
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from normalizer.message import Attachment
from tests.gateway.bot_desk import ANN, BOB, BotDesk, data_of, labels
from tests.gateway.conftest import FrozenClock

EXCELLENT, POOR, AGAIN, NEVER = "5 – excellent", "2 – poor", "Still not working", "Do not ask again"


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> BotDesk:
    return BotDesk(db, blobs, clock)


async def asked(desk: BotDesk, **where: bool) -> tuple[int, dict[str, str]]:
    """Ann's resolved ticket, and what the buttons of the question send back."""
    filed = await desk.writes("The printer does not print", **where)
    said = await desk.resolved(filed.ticket_id)
    [question] = [notice for notice in said if notice.buttons]
    assert filed.ticket_id is not None
    return filed.ticket_id, {label: data_of(question, label) for label in labels(question)}


async def test_the_question_has_five_marks_in_words_the_best_first(desk: BotDesk) -> None:
    _, buttons = await asked(desk)
    assert list(buttons)[:5] == [EXCELLENT, "4 – good", "3 – fair", POOR, "1 – very poor"]
    assert list(buttons)[5:] == [AGAIN, NEVER]
    assert all(len(data.encode()) <= 64 for data in buttons.values()), "Bot API, InlineKeyboardButton"


async def test_a_vote_is_kept_once_shown_and_can_be_changed(desk: BotDesk) -> None:
    ticket_id, buttons = await asked(desk)
    shown, toast = await desk.presses(buttons[EXCELLENT])
    assert (shown.act, shown.target, toast.act, toast.text) == ("edit", "under", "press", "Your rating: 5")
    assert "The cable was replaced." in shown.text and "you gave us 5" in shown.text
    assert labels(shown) == ["Add a comment", "Change my rating"]
    await desk.presses(buttons[EXCELLENT])
    assert await desk.votes() == [(5, "")]
    marks, _ = await desk.presses(data_of(shown, "Change my rating"))
    assert (marks.act, labels(marks)[0]) == ("edit", EXCELLENT)
    await desk.presses(buttons["3 – fair"])
    assert await desk.votes() == [(3, "")]
    assert (await desk.ticket(ticket_id)).status == "resolved", "a vote reopens nothing"


async def test_only_the_one_who_was_asked_has_a_vote(desk: BotDesk) -> None:
    _, buttons = await asked(desk, group=True)
    for data in (buttons[EXCELLENT], buttons[AGAIN], buttons[NEVER]):
        [toast] = await desk.presses(data, who=BOB, group=True)
        assert (toast.act, toast.recipient.address) == ("press", BOB)
        assert "Only the person" in toast.text
    assert await desk.votes() == []
    assert not (await desk.presses("rate:" + "a" * 26 + ":5"))[0].text.startswith("Your rating")
    await desk.presses(buttons[EXCELLENT], group=True)
    assert await desk.votes() == [(5, "")]


async def test_an_old_survey_takes_no_vote_and_says_so(desk: BotDesk) -> None:
    _, buttons = await asked(desk)
    desk.clock.forward(timedelta(days=31))
    [toast] = await desk.presses(buttons[EXCELLENT])
    assert "over" in toast.text and await desk.votes() == []
    [gone] = await desk.presses(buttons[AGAIN].replace("reopen", "change"))
    assert "no longer works" in gone.text


async def test_a_vote_that_can_no_longer_be_changed_stays(desk: BotDesk) -> None:
    _, buttons = await asked(desk)
    await desk.presses(buttons[EXCELLENT])
    desk.clock.forward(timedelta(days=8))
    [toast] = await desk.presses(buttons[POOR])
    assert toast.act == "press" and await desk.votes() == [(5, "")]


async def test_a_low_mark_asks_and_the_next_words_are_the_comment(desk: BotDesk) -> None:
    ticket_id, buttons = await asked(desk)
    shown, _ = await desk.presses(buttons[POOR])
    assert "What went wrong?" in shown.text
    filed = await desk.writes("Nobody called back.")
    assert (filed.kind, filed.ticket_id) == ("rating", ticket_id)
    [thanks] = await desk.heard()
    assert "passed it on" in thanks.text and not thanks.buttons
    assert await desk.votes() == [(2, "Nobody called back.")]
    assert (await desk.ticket(ticket_id)).status == "resolved"
    texts = [row.text for row in await desk.messages(ticket_id)]
    assert "Nobody called back." in texts, "staff see it where everything else is"


async def test_a_comment_that_says_it_still_fails_is_kept_and_offers_to_reopen(desk: BotDesk) -> None:
    ticket_id, buttons = await asked(desk)
    await desk.presses(buttons[POOR])
    await desk.writes("Принтер всё ещё не печатает")
    [thanks] = await desk.heard()
    assert labels(thanks) == [AGAIN]
    assert await desk.votes() == [(2, "Принтер всё ещё не печатает")]
    assert (await desk.ticket(ticket_id)).status == "resolved", "only a press reopens"
    said = await desk.presses(data_of(thanks, AGAIN))
    assert (await desk.ticket(ticket_id)).status == "open"
    assert ["open again" in notice.text for notice in said if notice.act == "send"] == [True], "said once"
    more = await desk.writes("It beeps twice")
    assert more.ticket_id == ticket_id


async def test_the_comment_filed_twice_is_one_comment(desk: BotDesk) -> None:
    ticket_id, buttons = await asked(desk)
    await desk.presses(buttons[POOR])
    words = desk.words("Nobody called back.")
    entry = await desk.accept(words, **await desk.wire(ANN))
    await desk.file(entry, words)
    count = len(await desk.messages(ticket_id))
    await desk.file(entry, words)
    assert len(await desk.messages(ticket_id)) == count
    assert len(await desk.heard()) == 1


async def test_what_is_no_comment_goes_to_the_ticket(desk: BotDesk) -> None:
    ticket_id, buttons = await asked(desk)
    await desk.presses(buttons[POOR])
    photo = Attachment(filename="p.jpg", content_type="image/jpeg", size=1, sha256="0" * 64, content=b"x")
    filed = await desk.writes("Look at this", attachments=(photo,))
    assert (filed.kind, filed.ticket_id) == ("appended", ticket_id)
    assert (await desk.ticket(ticket_id)).status == "open"
    desk.clock.forward(timedelta(minutes=61))
    late = await desk.writes("And now the phone, too")
    assert late.kind == "appended"


async def test_an_answer_to_another_ticket_is_no_comment(desk: BotDesk) -> None:
    other = await desk.writes("The phone is dead")
    await desk.do(lambda conn: _tie(conn, other.ticket_id))
    await desk.types("/new")
    _, buttons = await asked(desk)
    await desk.presses(buttons[POOR])
    filed = await desk.writes("Any news?", answers="telegram:bot:101:known")
    assert (filed.kind, filed.ticket_id) == ("appended", other.ticket_id)


def _tie(conn: object, ticket_id: int | None) -> object:
    from gateway.store import threads

    assert ticket_id is not None
    return threads.add_key(conn, ticket_id, "external", "telegram:bot:101:known", issued=True, recipient=ANN)  # type: ignore[arg-type]


async def test_a_digit_is_a_vote_and_is_thanked_for(desk: BotDesk) -> None:
    ticket_id, _ = await asked(desk)
    filed = await desk.writes("2", rating=2)
    assert (filed.kind, filed.ticket_id) == ("rating", ticket_id)
    [thanks] = await desk.heard()
    assert "What went wrong?" in thanks.text and thanks.act == "send"
    await desk.writes("Slow")
    assert await desk.votes() == [(2, "Slow")]


async def test_a_comment_can_be_added_to_a_good_mark(desk: BotDesk) -> None:
    _, buttons = await asked(desk)
    shown, _ = await desk.presses(buttons[EXCELLENT])
    ask, _ = await desk.presses(data_of(shown, "Add a comment"))
    assert ask.act == "send"
    await desk.writes("Olena was great")
    assert await desk.votes() == [(5, "Olena was great")]


async def test_no_more_questions_is_a_wish_that_is_kept(desk: BotDesk) -> None:
    ticket_id, buttons = await asked(desk)
    said, toast = await desk.presses(buttons[NEVER])
    assert (said.act, toast.act) == ("send", "press")
    contact = (await desk.ticket(ticket_id)).requester_id
    assert await desk.db.read(lambda conn: people.get(conn, contact).no_surveys)


async def test_a_question_about_a_group_is_asked_in_private_where_that_is_possible(desk: BotDesk) -> None:
    await desk.types("/start")
    filed = await desk.writes("The printer does not print", group=True)
    result, question = await desk.resolved(filed.ticket_id)
    assert (result.kind, result.destination, result.buttons) == ("resolved", {"chat": -500}, ())
    assert (question.kind, question.destination, question.answers) == ("survey", {"chat": int(ANN)}, "")
    await desk.presses(data_of(question, POOR))
    await desk.writes("Slow")
    assert await desk.votes() == [(2, "Slow")]


async def test_without_a_private_chat_it_is_asked_in_the_group(desk: BotDesk) -> None:
    filed = await desk.writes("The printer does not print", group=True)
    [question] = await desk.resolved(filed.ticket_id)
    assert question.destination == {"chat": -500} and EXCELLENT in labels(question)


async def test_a_made_up_press_changes_nobody_elses_message_and_tells_a_group_nothing(desk: BotDesk) -> None:
    # A press bears whatever data its sender makes up, below any message that has buttons.
    _, buttons = await asked(desk)
    ann = await desk.writes("The lamp is broken", who=BOB, group=True)
    key = "telegram:bot:-500:77"
    await desk.do(lambda conn: threads.add_key(conn, ann.ticket_id or 0, "external", key, issued=True, recipient=BOB))
    await desk.heard()
    said = await desk.presses(buttons[EXCELLENT], group=True, under=key)
    assert [notice.act for notice in said] == ["send", "press"]
    assert not any("The cable was replaced." in notice.text for notice in said)
    assert await desk.votes() == [(5, "")]


async def test_staff_may_ask_in_private_too(desk: BotDesk) -> None:
    await desk.types("/start")
    filed = await desk.writes("The printer does not print", group=True)
    desk.ctx = replace(desk.ctx, surveys=desk.ctx.surveys.model_copy(update={"enabled": False}))
    await desk.resolved(filed.ticket_id)
    ticket_id, now = filed.ticket_id or 0, desk.clock()
    await desk.do(lambda conn: staff.ask_survey(conn, desk.ctx, ticket_id, actor="agent:olena", now=now))
    [question] = await desk.heard()
    assert (question.kind, question.destination) == ("survey", {"chat": int(ANN)})
