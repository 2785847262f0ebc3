"""`*` says it again, `0` rings a person and 9 stops calls of ours wherever a key is waited for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.dialogs.ivr_states import Ask, Bye, CallBack, Counted, Filed, Found, Listen, NoMoreCalls, Ring, Vote
from normalizer.call import Connected, Ended
from tests.gateway.dialogs.test_ivr import NUMBER, PLAN, Call


def told(*, hidden: bool = False, **known: object) -> Call:
    """Up to the ticket's number."""
    call = Call(language="uk", **known)
    call.filed = Filed(number=NUMBER, hidden=hidden)
    call.press("2")
    call.speak()
    return call


def rated(*, ours: bool) -> Call:
    """Up to the confirmation of a four."""
    call = Call(ours=True, survey=5, answered_by="person") if ours else Call(language="uk")
    call.found = Found(state="state_resolved", survey=5)
    if not ours:
        call.press("3", NUMBER)
    call.press("4")
    assert call.said() == ["confirm"]
    return call


@pytest.mark.parametrize("hidden", [False, True])
def test_who_wants_a_person_behind_the_tickets_number_is_put_through(hidden: bool) -> None:
    call = told(hidden=hidden)
    call.press("0")
    assert isinstance(call.heard, Ring) and call.heard.number == PLAN.people[0]
    call.tell(Connected(answered=True, seconds=9))
    assert call.reasons() == ["put_through"] and not call.of(CallBack)


def test_a_key_that_means_nothing_behind_the_tickets_number_is_asked_again_and_silence_is_a_farewell() -> None:
    call = told()
    call.press("7")
    assert call.said() == ["number_told", "call_back"]
    call.press("2", "0671234567")
    assert call.of(CallBack) == [CallBack(number="0671234567")]
    silent = told()
    silent.press("")
    assert silent.said() == ["goodbye"] and silent.reasons() == ["ticket"]


@pytest.mark.parametrize("ours", [False, True])
def test_a_confirmation_is_said_again_and_ends_all_the_same(ours: bool) -> None:
    call = rated(ours=ours)
    call.press("*")
    assert isinstance(call.heard, Ask) and call.said() == ["confirm"]
    assert call.heard.prompts[0].variables["score"] == 4
    call.press("*", "*")
    assert call.reasons() == ["rated"] and len(call.of(Vote)) == 1


def test_nine_behind_the_mark_ends_calls_of_ours_and_the_mark_counts() -> None:
    call = rated(ours=True)
    call.press("9")
    assert call.of(NoMoreCalls) and call.reasons() == ["rated"] and call.said() == ["no_more_calls", "goodbye"]
    other = rated(ours=False)
    other.press("9")
    assert not other.of(NoMoreCalls) and other.reasons() == ["rated"]


def test_a_low_mark_with_nine_behind_it_is_not_asked_about_any_more() -> None:
    call = Call(ours=True, survey=5, answered_by="person")
    call.counted = Counted(counts=True, low=True)
    call.press("1", "9")
    assert call.of(NoMoreCalls) and not isinstance(call.heard, Listen) and call.reasons() == ["rated"]


def test_who_wants_a_person_behind_the_mark_is_put_through_and_what_they_say_is_no_comment() -> None:
    call = rated(ours=False)
    call.press("0")
    assert isinstance(call.heard, Ring)
    for _ in PLAN.people:
        call.tell(Connected(answered=False))
    assert isinstance(call.heard, Listen) and not call.state.score


def test_a_talk_counts_although_its_end_was_told_before_it() -> None:
    call = Call(language="uk")
    call.press("0")
    call.tell(Ended(state="completed", seconds=70))
    call.tell(Connected(answered=True, seconds=60))
    assert call.reasons() == ["unfinished", "put_through"]
    vain = Call(language="uk")
    vain.press("0")
    vain.tell(Ended(state="completed", seconds=70))
    vain.tell(Connected(answered=False))
    assert vain.reasons() == ["unfinished"]


def hung_up(call: Call) -> Call:
    """The end of the call is told while the keys that were pressed before it are still on their way."""
    call.tell(Ended(state="completed", seconds=9))
    return call


def test_a_mark_counts_although_the_end_of_the_call_was_told_before_it() -> None:
    call = hung_up(Call(ours=True, survey=5, answered_by="person"))
    call.press("4")
    assert call.of(Vote) == [Vote(survey=5, score=4)] and isinstance(call.heard, Bye)
    assert call.reasons() == ["silent", "rated"]
    call.press("5")
    assert len(call.of(Vote)) == 1, "nobody is on the line"
    late = Call(ours=True, survey=5, answered_by="person")
    late.counted = Counted(counts=False)
    hung_up(late).press("4")
    assert late.reasons() == ["silent"] and late.state.score == 0


def test_a_wish_counts_although_the_end_of_the_call_was_told_before_it() -> None:
    call = hung_up(Call(ours=True, survey=5, answered_by="person"))
    call.press("9")
    assert call.of(NoMoreCalls) and isinstance(call.heard, Bye)
    back = hung_up(told())
    back.press("1")
    assert back.of(CallBack) == [CallBack()] and isinstance(back.heard, Bye)
    menu = hung_up(Call(language="uk"))
    menu.press("1")
    assert isinstance(menu.heard, Bye) and not menu.said()


def test_a_menu_that_is_changed_while_it_is_heard_means_what_was_said() -> None:
    call = Call(language="uk")
    call.plan = replace(PLAN, menu=("status", "report"))
    call.press("2")
    assert isinstance(call.heard, Listen) and call.state.chosen == ("report",)
    other = Call(language="uk")
    other.plan = replace(PLAN, menu=("status", "report"))
    other.press("1")
    assert isinstance(other.heard, Ring) and other.state.chosen == ("urgent",)
    again = Call(language="uk")
    again.plan = replace(PLAN, menu=("status", "report"))
    again.press("*", "1")
    assert isinstance(again.heard, Ask) and again.said() == ["enter_number"]
