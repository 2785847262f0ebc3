"""How a call is led: every way through it, and that none has no end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialogs import ivr
from gateway.dialogs.ivr_states import (
    Action,
    Ask,
    Bye,
    CallBack,
    Close,
    Comment,
    Counted,
    Event,
    File,
    Filed,
    Find,
    Found,
    Known,
    Listen,
    NoMoreCalls,
    Plan,
    Ring,
    SetLanguage,
    State,
    Vote,
    as_json,
    from_json,
)
from normalizer.call import Connected, Ended, Pressed, Recorded

PLAN = Plan(people=("+380440000001", "+380440000002"))
DUTY = "+380670000009"
NUMBER = "1045285"
WIRE = (Ask, Listen, Ring, Bye)


class Call:
    """A call that is led: what the caller does goes in, what is heard next comes out."""

    def __init__(self, plan: Plan = PLAN, **known: object) -> None:
        self.plan, self.state = plan, State()
        self.done: list[Action] = []
        self.found = Found()
        self.counted = Counted(counts=True)
        self.filed = Filed(number=NUMBER)
        self.heard = self.tell(Known(**known))  # type: ignore[arg-type]

    def tell(self, event: Event) -> Action | None:
        """The one thing that is heard next; None: nobody listens any more."""
        # As the store would give it back after a restart.
        self.state = from_json(json.loads(json.dumps(as_json(self.state))))
        self.state, actions = ivr.step(self.plan, self.state, event)
        self.done += actions
        for action in actions:
            outcome = self._outcome(action)
            if outcome is not None:
                assert action is actions[-1], "what has an outcome comes last"
                return self.tell(outcome)
        heard = [action for action in actions if isinstance(action, WIRE)]
        if isinstance(event, Ended):
            assert not heard
            return None
        assert len(heard) == 1 and actions[-1] is heard[0], actions
        self.heard = heard[0]
        return self.heard

    def _outcome(self, action: Action) -> Event | None:
        match action:
            case File():
                return self.filed
            case Find():
                return replace(self.found, number=action.number)
            case Vote():
                return self.counted
            case _:
                return None

    def press(self, *digits: str) -> Action | None:
        for each in digits:
            self.tell(Pressed(digits=each))
        return self.heard

    def speak(self, recording: str = "RE1", seconds: int = 9) -> Action | None:
        return self.tell(Recorded(recording=recording, seconds=seconds))

    def said(self) -> list[str]:
        """Names of the texts that are heard now."""
        assert isinstance(self.heard, WIRE)
        return [prompt.text for prompt in self.heard.prompts]

    def kind(self) -> type[object]:
        return type(self.heard)

    def reasons(self) -> list[str]:
        return [action.reason for action in self.done if isinstance(action, Close)]

    def of(self, kind: type[Action]) -> list[Action]:
        return [action for action in self.done if isinstance(action, kind)]


def test_a_stranger_chooses_a_language_each_said_in_its_own() -> None:
    call = Call()
    assert isinstance(call.heard, Ask)
    spoken = [(prompt.language, prompt.variables["key"]) for prompt in call.heard.prompts]
    assert spoken == [("uk", "1"), ("ru", "2"), ("en", "3")]
    call.press("2")
    assert call.of(SetLanguage) == [SetLanguage(language="ru")]
    assert call.said() == ["greeting", "option_urgent", "option_report", "option_status", "option_person",
                           "option_repeat"]  # fmt: skip


def test_a_known_caller_hears_the_menu_at_once_and_nine_changes_the_language() -> None:
    call = Call(language="en")
    assert call.said()[0] == "greeting" and call.state.language == "en"
    call.press("9", "1")
    assert call.state.language == "uk"


def test_what_is_known_to_be_down_comes_before_the_menu_and_once() -> None:
    call = Call(incident={"uk": "пошта", "ru": "почта"})
    call.press("2")
    assert call.said()[:2] == ["greeting", "incident"]
    assert isinstance(call.heard, Ask) and call.heard.prompts[1].variables == {"incident": "почта"}
    call.press("*")
    assert "incident" not in call.said() and call.said()[0] == "option_urgent"


def test_a_problem_is_recorded_filed_and_its_number_said() -> None:
    call = Call(language="uk")
    call.press("2")
    assert call.kind() is Listen and call.said() == ["record"]
    call.speak()
    assert call.of(File) == [File(recording="RE1", seconds=9)]
    assert call.said() == ["number_told", "call_back"]
    assert isinstance(call.heard, Ask) and call.heard.prompts[0].variables["digits"] == "1 0, 4 5, 2 8, 5"
    call.press("1")
    assert call.of(CallBack) == [CallBack()]
    assert call.said() == ["call_back_taken", "goodbye"] and call.reasons() == ["ticket"]


def test_a_call_back_to_another_number() -> None:
    call = Call(language="uk")
    call.press("2")
    call.speak()
    call.press("2", "12", "0671234567")
    assert call.of(CallBack) == [CallBack(number="0671234567")]


def test_who_hides_the_number_is_asked_for_one() -> None:
    call = Call(language="uk")
    call.filed = Filed(number=NUMBER, hidden=True)
    call.press("2")
    call.speak()
    assert call.said() == ["number_told", "call_back_number"]


def test_a_number_that_comes_too_late_is_not_said() -> None:
    call = Call(language="uk")
    call.filed = Filed()
    call.press("2")
    call.speak()
    assert call.said()[0] == "told_without_number"


def test_everything_stopped_rings_one_after_another_and_then_records() -> None:
    call = Call(language="uk", duty=DUTY)
    rung = []
    call.press("1")
    while isinstance(call.heard, Ring):
        rung.append(call.heard.number)
        call.tell(Connected(answered=False))
    assert rung == [*PLAN.people, DUTY]
    assert call.kind() is Listen and call.said() == ["nobody_free", "record"]
    assert call.state.chosen == ("urgent",)


def test_out_of_hours_only_the_duty_number_is_rung_and_only_for_what_cannot_wait() -> None:
    call = Call(language="uk", open=False, duty=DUTY)
    assert call.said()[:2] == ["greeting", "closed"]
    call.press("1")
    assert isinstance(call.heard, Ring) and call.heard.number == DUTY
    other = Call(language="uk", open=False, duty=DUTY)
    other.press("0")
    assert other.kind() is Listen and other.said() == ["record"]


def test_who_was_put_through_has_been_helped() -> None:
    call = Call(language="uk")
    call.press("0")
    call.tell(Connected(answered=True, seconds=60))
    assert call.reasons() == ["put_through"] and isinstance(call.heard, Bye)


@pytest.mark.parametrize("vain", ["", "7", "#"])
def test_who_presses_nothing_or_something_else_is_recorded_not_dismissed(vain: str) -> None:
    for call in (Call(), Call(language="uk")):
        call.press(vain, vain)
        assert call.kind() is Ask
        call.press(vain)
        assert call.kind() is Listen and call.said() == ["nothing_pressed"]
        assert call.state.language == "uk"


def test_silence_is_asked_again_and_then_the_call_ends_with_the_reason() -> None:
    call = Call(language="uk")
    call.press("2")
    for _ in range(2):
        call.speak(recording="", seconds=0)
        assert call.said() == ["nothing_heard"] and isinstance(call.heard, Listen)
    call.speak(recording="", seconds=0)
    assert call.kind() is Bye and call.reasons() == ["unfinished"]


def test_the_state_of_a_ticket_by_its_number() -> None:
    call = Call(language="uk")
    call.found = Found(state="state_open", variables={"date": "24.11"})
    call.press("3")
    assert isinstance(call.heard, Ask) and call.heard.finish == "#"
    call.press("1045287")
    assert call.said() == ["mistyped", "enter_number"] and not call.of(Find)
    call.press(NUMBER)
    assert call.said() == ["state_open", "state_open", "goodbye"] and call.reasons() == ["status"]


def test_a_number_that_is_nobodys_three_times_rings_a_person() -> None:
    call = Call(language="uk")
    call.press("3", NUMBER, NUMBER)
    assert call.said() == ["unknown_number", "enter_number"]
    call.press(NUMBER)
    assert isinstance(call.heard, Ring)


def test_a_mark_at_the_end_of_such_a_call_can_be_changed_and_silence_accepts() -> None:
    call = Call(language="uk")
    call.found = Found(state="state_resolved", survey=5)
    call.press("3", NUMBER)
    assert call.said() == ["state_resolved", "rate"]
    call.press("4")
    assert call.said() == ["confirm"]
    call.press("2", "5", "")
    assert call.of(Vote) == [Vote(survey=5, score=4), Vote(survey=5, score=5)]
    assert call.reasons() == ["rated"] and call.said() == ["goodbye"]


def test_a_low_mark_may_be_explained() -> None:
    call = Call(language="ru", survey=5, ours=True, answered_by="person")
    call.counted = Counted(counts=True, low=True)
    assert call.said() == ["rating_call", "rate"]
    call.press("1", "")
    assert call.kind() is Listen and call.said() == ["low_score"]
    call.speak("RE7", 12)
    assert call.of(Comment) == [Comment(survey=5, recording="RE7", seconds=12)] and call.reasons() == ["rated"]


def test_nine_ends_such_calls_and_a_machine_is_told_nothing() -> None:
    call = Call(ours=True, survey=5)
    call.press("9")
    assert call.of(NoMoreCalls) and not call.of(Vote)
    machine = Call(survey=5, ours=True, answered_by="machine")
    assert machine.kind() is Bye and not machine.said() and machine.reasons() == ["machine"]


def test_a_call_of_ours_with_nothing_to_ask_any_more_ends_at_once() -> None:
    call = Call(ours=True)
    assert call.kind() is Bye and call.said() == ["survey_over", "goodbye"] and call.reasons() == ["silent"]


@given(st.lists(st.sampled_from(["", "*", "#", "0", "1", "2", "3", "4", "5", "9", "99", NUMBER, "x"]), max_size=60),
       st.booleans())  # fmt: skip
def test_a_call_of_ours_asks_for_a_mark_and_nothing_else(keys: list[str], low: bool) -> None:
    call = Call(ours=True, survey=5, answered_by="person")
    call.counted = Counted(counts=True, low=low)
    for key in keys:
        call.tell(_answers(call, key))
    only = (Ask, Listen, Bye, Vote, Comment, NoMoreCalls, Close)
    assert all(isinstance(action, only) for action in call.done)
    # Whoever says nothing more is let go.
    for _ in range(2 * PLAN.attempts):
        call.tell(_answers(call, ""))
    assert isinstance(call.heard, Bye) and len(call.reasons()) == 1


def test_nine_is_no_wish_where_nobody_said_so() -> None:
    call = Call(language="uk")
    call.found = Found(state="state_resolved", survey=5)
    call.press("3", NUMBER, "9")
    assert not call.of(NoMoreCalls) and call.said() == ["rate"]


def test_a_survey_that_is_over_counts_nothing() -> None:
    call = Call(ours=True, survey=5)
    call.counted = Counted(counts=False)
    call.press("5")
    assert call.said() == ["survey_over", "goodbye"] and call.reasons() == ["silent"]


@pytest.mark.parametrize(
    ("before", "reason"),
    [((), "silent"), (("2",), "unfinished"), (("2", "RE"), "ticket"), (("3",), "unfinished"), (("0",), "unfinished")],
)
def test_what_a_call_leaves_behind_that_ends_in_the_middle(before: tuple[str, ...], reason: str) -> None:
    call = Call(language="uk")
    for each in before:
        call.speak(each) if each == "RE" else call.press(each)
    call.tell(Ended(state="completed", seconds=9))
    assert call.reasons() == [reason]
    call.tell(Ended(state="completed", seconds=9))
    assert call.reasons() == [reason], "once"


def test_a_number_for_the_ear() -> None:
    assert ivr.spoken("10452873") == "1 0, 4 5, 2 8, 7 3"
    assert ivr.spoken("1045285") == "1 0, 4 5, 2 8, 5"


def _answers(call: Call, key: str) -> Event:
    """The caller's answer to what is heard, where a letter stands for what is no key."""
    if isinstance(call.heard, Listen):
        return Recorded(recording="RE1" if key == "5" else "", seconds=3)
    if isinstance(call.heard, Ring):
        return Connected(answered=key == "5")
    return Pressed(digits=key)


def _starts() -> Iterator[Call]:
    for known in ({}, {"language": "uk"}, {"open": False, "duty": DUTY}, {"ours": True, "survey": 5}):
        for found in (Found(), Found(state="state_resolved", survey=5)):
            for low in (False, True):
                call = Call(**known)
                call.found, call.counted = found, Counted(counts=True, low=low)
                yield call


@pytest.mark.parametrize("number", range(16))
def test_every_way_of_pressing_the_same_few_keys_has_an_end(number: int) -> None:
    for cycle in product(("", "*", "0", "1", "2", "3", "5", "9", NUMBER), repeat=2):
        call = list(_starts())[number]
        for turn in range(2 * PLAN.steps):
            if isinstance(call.heard, Bye):
                break
            call.tell(_answers(call, cycle[turn % len(cycle)]))
        assert isinstance(call.heard, Bye), cycle
        assert len(call.reasons()) == 1, cycle


@given(st.lists(st.sampled_from(["", "*", "#", "0", "1", "2", "3", "4", "5", "9", "99", NUMBER, "x"]), max_size=60),
       st.integers(0, 15))  # fmt: skip
def test_whatever_is_pressed_the_call_ends_once_and_says_one_thing_at_a_time(keys: list[str], number: int) -> None:
    call = list(_starts())[number]
    for key in keys:
        call.tell(_answers(call, key))
    call.tell(Ended(state="completed"))
    assert len(call.reasons()) == 1


@given(st.dictionaries(st.sampled_from([*as_json(State()), "other"]), st.none() | st.booleans() | st.integers()
                       | st.text() | st.lists(st.text() | st.integers()), max_size=12))  # fmt: skip
def test_whatever_the_store_gives_back_is_a_state(kept: dict[str, object]) -> None:
    state = from_json(kept)
    assert from_json(as_json(state)) == state
    ivr.step(PLAN, state, Pressed(digits="1"))


def test_a_number_that_goes_out_by_sms_too_is_said_to() -> None:
    call = Call(language="uk")
    call.filed = Filed(number=NUMBER, sms=True)
    call.press("2")
    call.speak()
    assert call.said() == ["number_told", "number_by_sms", "call_back"]
