"""The bot as a function: every event is answered, whatever the order, and the state stays small."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialogs import bot
from gateway.dialogs.bot import step, still_broken
from gateway.dialogs.states import (
    AboutSurvey,
    Action,
    AwaitsCode,
    AwaitsComment,
    Commanded,
    Edit,
    Event,
    Heard,
    Nothing,
    Outcome,
    Pass,
    Result,
    Say,
    SendCode,
    SetLanguage,
    SetWish,
    ShowTickets,
    State,
    TakeComment,
    Toast,
    TryCode,
    Unlink,
    UseLink,
    UsePhone,
    Voted,
    as_json,
    from_json,
)
from gateway.text_names import BOT_TEXTS, TO_REQUESTER
from normalizer.message import OWN_NUMBER

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
TOKEN = "0123456789abcdef" * 3
ENDING = (UseLink, SendCode, TryCode, UsePhone, Unlink, AboutSurvey, ShowTickets)
"""Actions whose end is told by another step, or by the shell."""


def told(name: str, argument: str = "", **more: object) -> Commanded:
    return Commanded(name=name, argument=argument, at=NOW, **more)  # type: ignore[arg-type]


def heard(text: str, *, at: datetime = NOW, **more: object) -> Heard:
    return Heard(text=text, at=at, **more)  # type: ignore[arg-type]


def after(*events: Event) -> tuple[State, Sequence[Action]]:
    state, actions = State(), tuple[Action, ...]()
    for event in events:
        state, actions = step(state, event)
    return state, actions


# -- any order --------------------------------------------------------------------------------

moments = st.integers(0, 200).map(lambda minutes: NOW + timedelta(minutes=minutes))
texts = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["123456", " 12 34 56 ", "5", "не работает", "anna@client.example", "\x00", "/start"]),
)
commands = st.builds(
    Commanded,
    name=st.one_of(
        st.sampled_from([*bot.COMMANDS, OWN_NUMBER, "no_surveys", "reopen", "change", "comment", "", "rate"]),
        st.text(max_size=10),
    ),
    argument=st.one_of(texts, st.just(TOKEN), st.sampled_from(["ru", "UK", "+380 67 000 00 00", "x" * 400])),
    private=st.booleans(),
    pressed=st.booleans(),
    edits=st.booleans(),
    language_known=st.booleans(),
    stopped=st.booleans(),
    at=moments,
)
events = st.one_of(
    commands,
    st.builds(Heard, text=texts, plain=st.booleans(), opens=st.booleans(), votes=st.booleans(), at=moments),
    st.builds(
        Voted,
        outcome=st.sampled_from(["counted", "fixed", "expired", "not_yours", "gone"]),
        survey=st.integers(0, 3),
        score=st.integers(0, 5),
        low=st.booleans(),
        pressed=st.booleans(),
        edits=st.booleans(),
        at=moments,
    ),
    st.builds(
        Outcome,
        result=st.sampled_from(get_args(Result)),
        survey=st.integers(0, 3),
        address=texts,
        pressed=st.booleans(),
        edits=st.booleans(),
        at=moments,
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(events, max_size=30))
def test_every_event_is_answered_and_the_state_stays_small(history: list[Event]) -> None:
    state = State()
    for event in history:
        before = state
        state, actions = step(state, event)
        assert from_json(json.loads(json.dumps(as_json(state)))) == state
        assert len(json.dumps(as_json(state))) < 200
        _is_answered(event, actions)
        _has_texts(actions)
        if isinstance(event, Heard) and any(isinstance(action, Pass) for action in actions):
            assert len(actions) == 1, "what is for the desk is the desk's alone"
        if isinstance(before.awaits, AwaitsCode) and isinstance(state.awaits, AwaitsCode):
            assert state.awaits.tries <= bot.TRIES


def _is_answered(event: Event, actions: Sequence[Action]) -> None:
    toasts = [action for action in actions if isinstance(action, Toast)]
    ends = [action for action in actions if isinstance(action, ENDING)]
    if not isinstance(event, Heard) and event.pressed:
        assert toasts or ends, f"nobody answers the press of {event}"
    else:
        assert not toasts
        spoken = (Say, Edit, Pass, TakeComment, *ENDING)
        assert any(isinstance(action, spoken) for action in actions), f"nobody answers {event}"


def _has_texts(actions: Sequence[Action]) -> None:
    for action in actions:
        match action:
            case Say(text=text) | Edit(text=text):
                assert f"bot_{text}" in BOT_TEXTS or text in TO_REQUESTER
            case Toast(text=text):
                assert f"bot_press_{text}" in BOT_TEXTS


NAMES = [*bot.COMMANDS, OWN_NUMBER, "no_surveys", "reopen", "change", "comment", "unknown"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("argument", ["", "ru", TOKEN, "+380670000000", "anna@client.example"])
@pytest.mark.parametrize("pressed", [True, False])
@pytest.mark.parametrize("private", [True, False])
def test_every_command_is_answered_in_words_that_there_are(
    name: str, argument: str, pressed: bool, private: bool
) -> None:
    for edits, known in ((True, True), (False, False)):
        event = told(name, argument, pressed=pressed, private=private, edits=edits and pressed, language_known=known)
        _, actions = step(State(), event)
        _is_answered(event, actions)
        _has_texts(actions)


keys = st.sampled_from(["code", "comment", "until", "tries", "fresh", "address"]) | st.text()
plain = st.none() | st.booleans() | st.integers() | st.text()


@given(st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(keys, inner)))
def test_any_stored_state_can_be_read(kept: object) -> None:
    assert isinstance(from_json(kept), State)


# -- commands ---------------------------------------------------------------------------------


def test_start_asks_for_the_language_until_one_is_chosen() -> None:
    _, first = after(told("start"))
    assert first == (SetWish(stop=False), Say(text="start", choices=bot.language_choices()))
    _, later = after(told("start", language_known=True))
    assert later == (SetWish(stop=False), Say(text="start"))
    _, again = after(told("start", language_known=True, stopped=True))
    assert Say(text="resumed") in again


def test_a_deep_link_counts_in_private_only_and_an_advertisement_is_none() -> None:
    _, actions = after(told("start", TOKEN, language_known=True))
    assert UseLink(token=TOKEN) in actions
    for other in (told("start", TOKEN, private=False), told("start", "site-banner")):
        assert not any(isinstance(action, UseLink) for action in after(other)[1])


@pytest.mark.parametrize("name", ["status", "link", "unlink"])
def test_what_others_must_not_read_is_asked_for_in_private(name: str) -> None:
    argument = "anna@client.example" if name == "link" else ""
    assert after(told(name, argument, private=False))[1] == (Say(text="private"),)


def test_new_counts_for_one_message_that_can_open_a_ticket() -> None:
    assert after(told("new"), heard("thanks", opens=False))[1] == (Pass(),)
    assert after(told("new"), heard("thanks", opens=False), heard("It broke"))[1] == (Pass(fresh=True),)
    assert after(told("new"), heard("It broke"), heard("and this"))[1] == (Pass(),)


def test_a_language_is_chosen_by_button_or_word() -> None:
    assert after(told("language", "UK"))[1] == (SetLanguage(language="uk"), Say(text="language_set"))
    _, pressed = after(told("language", "ru", pressed=True, edits=True))
    assert pressed == (SetLanguage(language="ru"), Edit(text="language_set"), Toast())
    _, in_group = after(told("language", "ru", pressed=True, edits=True, private=False))
    assert not any(isinstance(action, Edit) for action in in_group), "the question was somebody else's"
    assert after(told("language", "de"))[1] == (Say(text="language", choices=bot.language_choices()),)


@pytest.mark.parametrize(
    "name", ["no_surveys", "reopen", "change", "comment", "phone", OWN_NUMBER, "rate", "ünknown", ""]
)
def test_what_is_no_command_gets_the_help_line(name: str) -> None:
    assert after(told(name))[1] == (Say(text="unknown"),)


def test_an_unknown_button_is_answered() -> None:
    assert after(told("nonsense", "x", pressed=True))[1] == (Toast(text="expired"),)


def test_the_menu_has_only_commands() -> None:
    assert set(bot.MENU) <= set(bot.COMMANDS)


# -- codes ------------------------------------------------------------------------------------


def test_an_address_may_come_with_the_command_or_after_it() -> None:
    wanted = (SendCode(address="anna@client.example"),)
    assert after(told("link", " anna@client.example "))[1] == wanted
    assert after(told("link"), heard("anna@client.example"))[1] == wanted
    state, actions = after(told("link"), heard("My printer is broken"))
    assert (actions, state.awaits) == ((Pass(),), Nothing())


def test_only_digits_are_taken_for_a_code() -> None:
    asked = told("link", "anna@client.example")
    assert after(asked, heard("123 456"))[1] == (TryCode(code="123456"),)
    for other in (heard("The printer does not print"), heard("5", votes=True), heard("123456", plain=False)):
        assert after(asked, other)[1] == (Pass(),)
    late = heard("123456", at=NOW + bot.CODE_LIFE + timedelta(seconds=1))
    assert after(asked, late)[1] == (Say(text="link_expired"),)


def test_the_fifth_wrong_code_is_the_last() -> None:
    wrong = Outcome(result="code_wrong", at=NOW)
    history: list[Event] = [told("link", "anna@client.example")]
    for number in range(1, bot.TRIES + 1):
        history += [heard(f"00000{number}"), wrong]
        assert after(*history)[1] == (Say(text="link_wrong", variables={"left": bot.TRIES - number}),)
    assert after(*history, heard("000006"))[1] == (Pass(),), "nothing is asked any more"


# -- marks ------------------------------------------------------------------------------------


def low(survey: int = 7, **more: object) -> Voted:
    return Voted(outcome="counted", survey=survey, score=1, low=True, at=NOW, **more)  # type: ignore[arg-type]


def test_the_next_words_after_a_low_mark_are_the_comment() -> None:
    state, actions = after(low(edits=True))
    assert [type(action) for action in actions] == [Edit, Toast]
    assert state.awaits == AwaitsComment(survey=7, until=NOW + bot.COMMENT_LIFE)
    assert after(low(), heard("Nobody called back."))[1] == (TakeComment(survey=7),)
    assert after(low(), heard("Nobody called back."), heard("Another thing"))[1] == (Pass(),)


@pytest.mark.parametrize(
    "other",
    [
        heard("late", at=NOW + bot.COMMENT_LIFE + timedelta(seconds=1)),
        heard("with a photo", plain=False),
        heard("5", votes=True),
        heard("ok", opens=False),
    ],
)
def test_what_is_no_comment_goes_to_the_desk(other: Heard) -> None:
    assert after(low(), other)[1] == (Pass(),)


def test_a_better_mark_asks_for_nothing_more() -> None:
    better = Voted(outcome="counted", survey=7, score=5, at=NOW)
    assert after(low(), better)[0].awaits == Nothing()
    other = Voted(outcome="counted", survey=8, score=5, at=NOW)
    assert after(low(), other)[0].awaits == AwaitsComment(survey=7, until=NOW + bot.COMMENT_LIFE)


def test_the_best_mark_comes_first() -> None:
    assert [row[0].word for row in bot.MARKS][:5] == ["mark5", "mark4", "mark3", "mark2", "mark1"]


BROKEN = [
    "Не работает", "всё ещё не печатает", "опять сломалось", "проблема осталась", "не помогло", "Не працює досі",
    "знову те саме", "принтер не друкує", "It is still not working", "does not work", "still the same problem",
]  # fmt: skip
FINE = ["Долго ждал", "грубый оператор", "довго чекав", "Nobody called back.", "slow", "работает, но медленно", ""]


@pytest.mark.parametrize("text", BROKEN)
def test_words_that_the_problem_remains_offer_to_reopen(text: str) -> None:
    assert still_broken(text)
    assert bot.comment_taken(text, 7).choices


@pytest.mark.parametrize("text", FINE)
def test_other_comments_offer_nothing(text: str) -> None:
    assert not still_broken(text)
    assert not bot.comment_taken(text, 7).choices
