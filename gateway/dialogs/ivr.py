"""How a telephone call is led: `step(plan, state, event)` gives the next state and the actions, and does nothing.

Nobody is led in circles or dismissed: what is asked in vain three times is not asked again, and who presses nothing is
recorded. `*` says it again, `0` rings a person. Texts are named, not written, here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias, assert_never

from gateway.dialogs.ivr_states import (
    Action,
    Ask,
    Bye,
    CallBack,
    Close,
    Comment,
    Counted,
    Event,
    Filed,
    Find,
    Found,
    Known,
    Listen,
    Node,
    NoMoreCalls,
    Plan,
    Prompt,
    Prompts,
    Ring,
    SetLanguage,
    State,
    Vote,
)
from gateway.dialogs.ivr_states import File as FileIt
from gateway.ticket_numbers import is_number
from normalizer.call import Connected, Ended, Pressed, Recorded

Step: TypeAlias = tuple[State, tuple[Action, ...]]

REPEAT, PERSON, OTHER_LANGUAGE, STOP_CALLS, CHANGE = "*", "0", "9", "9", "2"
THIS_NUMBER, ANOTHER_NUMBER = "1", "2"
SCORES = frozenset("12345")
LONGEST_NUMBER = 12
"""Digits of a ticket's number at most."""
PHONE_DIGITS = (5, 15)
"""Digits of a number to call back (ITU-T E.164 section 6.1: fifteen at most)."""


def step(plan: Plan, state: State, event: Event) -> Step:
    """The next state and what is to be done. Never raises, whatever comes in whatever order.

    What the line waits for is answered by exactly one action that the caller hears (`Wire`), unless an action that has
    an outcome comes last: then the outcome's step gives it.
    """
    match event:
        case Known():
            return _begun(plan, state, event)
        case Ended():
            return _ended(state)
        case Filed():
            return _filed(plan, state, event)
        case Found():
            return _found(plan, state, event)
        case Counted():
            return _counted(plan, state, event)
        case Pressed() | Recorded() | Connected():
            state = replace(state, steps=state.steps + 1)
            if state.steps > plan.steps:
                return _end(state, left_behind(state), "goodbye")
            return _NODES[state.node](plan, state, event)
        case _ as never:
            assert_never(never)


def spoken(number: str) -> str:
    """A number for the ear: digit by digit, in pairs. "1045287" is "1 0, 4 5, 2 8, 7"."""
    return ", ".join(" ".join(number[at : at + 2]) for at in range(0, len(number), 2))


def left_behind(state: State) -> str:
    """What a call leaves behind that ends here."""
    if state.score:
        return "rated"
    if state.heard:
        return "ticket"
    if state.told:
        return "status"
    return "unfinished" if state.chosen else "silent"


# -- the beginning and the end ------------------------------------------------------------


def _begun(plan: Plan, state: State, event: Known) -> Step:
    language = event.language if event.language in plan.languages else ""
    state = State(
        language=language, closed=not event.open, duty=event.duty, incident=event.incident, survey=event.survey,
        rates=event.ours,
    )  # fmt: skip
    if state.rates:
        if event.answered_by == "machine":
            return _end(state, "machine")
        state = replace(state, language=language or plan.languages[0])
        if not state.survey:
            return _end(state, "silent", "survey_over", "goodbye")
        return _ask_mark(plan, state, Prompt(text="rating_call", variables={"date": event.date}))
    if not language and len(plan.languages) > 1:
        return _ask_language(plan, state)
    return _ask_menu(plan, replace(state, language=language or plan.languages[0]), Prompt(text="greeting"))


def _ended(state: State) -> Step:
    if state.node == "over":
        return state, ()
    return replace(state, node="over", left=state.node), (Close(reason=left_behind(state)),)


def _end(state: State, reason: str, *said: str) -> Step:
    prompts = tuple(Prompt(text=text) for text in said)
    return replace(state, node="over"), (Close(reason=reason), Bye(prompts=prompts))


def _over(plan: Plan, state: State, event: object) -> Step:
    if isinstance(event, Connected) and event.answered:
        # The end of the call was told before the end of the talk in it.
        return state, (Close(reason="put_through"), Bye())
    if not state.left:
        return state, (Bye(),)
    # So with keys: what was asked for with them is done, and nobody hears any more of it.
    keyed, actions = _NODES[state.left](plan, replace(state, node=state.left, left=""), event)
    state = replace(state, left="")
    for action in actions:
        if isinstance(action, Vote):
            return replace(state, score=keyed.score), (action,)
        if isinstance(action, CallBack | NoMoreCalls):
            return state, (action, Bye())
    return state, (Bye(),)


def _goto(state: State, node: Node) -> State:
    """Another node begins with no vain tries; the same one goes on counting."""
    return state if state.node == node else replace(state, node=node, tries=0)


def _tried(plan: Plan, state: State) -> tuple[State, bool]:
    """One more vain try; True when it was the last."""
    state = replace(state, tries=state.tries + 1)
    return state, state.tries >= plan.attempts


def _digits(event: object) -> str:
    return event.digits if isinstance(event, Pressed) else ""


# -- language and menu --------------------------------------------------------------------


def _ask_language(plan: Plan, state: State) -> Step:
    prompts = tuple(
        Prompt(text="language", variables={"key": str(key)}, language=language)
        for key, language in enumerate(plan.languages, 1)
    )
    return _goto(state, "language"), (Ask(prompts=prompts, seconds=plan.wait),)


def _language(plan: Plan, state: State, event: object) -> Step:
    key = _digits(event)
    if key.isascii() and key.isdigit() and 1 <= int(key) <= len(plan.languages):
        language = plan.languages[int(key) - 1]
        state, actions = _ask_menu(plan, replace(state, language=language), Prompt(text="greeting"))
        return state, (SetLanguage(language=language), *actions)
    first = replace(state, language=state.language or plan.languages[0])
    if key == PERSON:
        return _ring_people(plan, first)
    state, last = _tried(plan, state)
    return _listen(plan, first, "nothing_pressed") if last else _ask_language(plan, state)


def _ask_menu(plan: Plan, state: State, *before: Prompt) -> Step:
    said = [*before]
    if state.incident:
        known = state.incident.get(state.language) or next(iter(state.incident.values()))
        said.append(Prompt(text="incident", variables={"incident": known}))
    if before and (words := plan.announcement.get(state.language)):
        # With the greeting, and not with a question that is repeated.
        said.append(Prompt(text="announcement", variables={"announcement": words}))
    if state.closed:
        said.append(Prompt(text="closed"))
    ways = plan.closed_menu if state.closed else plan.menu
    said += [Prompt(text=f"option_{way}", variables={"key": str(key)}) for key, way in enumerate(ways, 1)]
    said += [Prompt(text="option_person", variables={"key": PERSON}), Prompt(text="option_repeat")]
    return _goto(replace(state, incident={}, offered=ways), "menu"), (Ask(prompts=tuple(said), seconds=plan.wait),)


def _menu(plan: Plan, state: State, event: object) -> Step:
    key = _digits(event)
    offered = {str(number): way for number, way in enumerate(state.offered, 1)}
    way = "person" if key == PERSON else offered.get(key, "")
    if (leads := _WAYS.get(way)) is not None:
        return leads(plan, replace(state, chosen=(*state.chosen, way)))
    if key == OTHER_LANGUAGE and len(plan.languages) > 1:
        return _ask_language(plan, state)
    state, last = _tried(plan, state)
    return _listen(plan, state, "nothing_pressed") if last else _ask_menu(plan, state)


# -- a person, or a recording -------------------------------------------------------------


def _ring_people(plan: Plan, state: State) -> Step:
    """Somebody in hours; out of hours nobody is rung for what can wait."""
    return _ring(plan, replace(state, queue=() if state.closed else plan.people))


def _ring_at_once(plan: Plan, state: State) -> Step:
    """Somebody at any hour: everything has stopped."""
    duty = (state.duty,) if state.duty else ()
    return _ring(plan, replace(state, queue=duty if state.closed else (*plan.people, *duty)))


def _ring(plan: Plan, state: State) -> Step:
    """The next number, or a recording where there is none."""
    waiting = tuple(number for number in state.queue if number not in state.rung)
    if not waiting:
        return _listen(plan, state, *(("nobody_free",) if not state.closed or state.rung else ()), "record")
    said = () if state.rung else (Prompt(text="ringing"),)
    state = replace(_goto(state, "ringing"), queue=waiting[1:], rung=(*state.rung, waiting[0]))
    return state, (Ring(prompts=said, number=waiting[0], seconds=plan.ring),)


def _ringing(plan: Plan, state: State, event: object) -> Step:
    if isinstance(event, Connected) and event.answered:
        return _end(state, "put_through")
    return _ring(plan, state)


def _ask_to_speak(plan: Plan, state: State) -> Step:
    return _listen(plan, state, "record")


def _listen(plan: Plan, state: State, *said: str) -> Step:
    prompts = tuple(Prompt(text=text) for text in said)
    return _goto(state, "recording"), (Listen(prompts=prompts, longest=plan.longest, silence=plan.silence),)


def _recording(plan: Plan, state: State, event: object) -> Step:
    if isinstance(event, Recorded) and event.recording:
        state = replace(_goto(state, "told"), heard=True)
        return state, (FileIt(recording=event.recording, seconds=event.seconds),)
    state, last = _tried(plan, state)
    return _end(state, left_behind(state), "nothing_heard") if last else _listen(plan, state, "nothing_heard")


# -- the number of the ticket, and a call back --------------------------------------------


def _filed(plan: Plan, state: State, event: Filed) -> Step:
    told = (Prompt(text="told_without_number"),)
    if event.number:
        by_sms = (Prompt(text="number_by_sms"),) if event.sms else ()
        told = (Prompt(text="number_told", variables={"digits": spoken(event.number)}), *by_sms)
    state = replace(state, told=event.number)
    if not plan.call_back:
        return replace(state, node="over"), (Close(reason="ticket"), Bye(prompts=(*told, Prompt(text="goodbye"))))
    if event.hidden:
        return _ask_back_number(plan, state, *told)
    asked = Prompt(text="call_back", variables={"this": THIS_NUMBER, "another": ANOTHER_NUMBER})
    return _goto(state, "back"), (Ask(prompts=(*told, asked), seconds=plan.wait),)


def _back(plan: Plan, state: State, event: object) -> Step:
    match _digits(event):
        case "1":
            state, actions = _end(state, "ticket", "call_back_taken", "goodbye")
            return state, (CallBack(), *actions)
        case "2":
            return _ask_back_number(plan, state)
        case "0":
            return _ring_people(plan, state)
        case "":
            return _end(state, "ticket", "goodbye")
        case _:
            state, last = _tried(plan, state)
            return _end(state, "ticket", "goodbye") if last else _filed(plan, state, Filed(number=state.told))


def _ask_back_number(plan: Plan, state: State, *before: Prompt) -> Step:
    asked = Ask(
        prompts=(*before, Prompt(text="call_back_number")), most=PHONE_DIGITS[1] + 1, finish="#",
        seconds=plan.wait_number,
    )  # fmt: skip
    return _goto(state, "back_number"), (asked,)


def _back_number(plan: Plan, state: State, event: object) -> Step:
    number = _digits(event)
    if number.isascii() and number.isdigit() and PHONE_DIGITS[0] <= len(number) <= PHONE_DIGITS[1]:
        state, actions = _end(state, "ticket", "call_back_taken", "goodbye")
        return state, (CallBack(number=number), *actions)
    if number == PERSON:
        return _ring_people(plan, state)
    state, last = _tried(plan, state)
    return _end(state, "ticket", "goodbye") if last or not number else _ask_back_number(plan, state)


# -- what is with a ticket ----------------------------------------------------------------


def _ask_number(plan: Plan, state: State, *before: Prompt) -> Step:
    asked = Ask(
        prompts=(*before, Prompt(text="enter_number")), most=LONGEST_NUMBER, finish="#", seconds=plan.wait_number
    )
    return _goto(state, "number"), (asked,)


def _number(plan: Plan, state: State, event: object) -> Step:
    number = _digits(event)
    if is_number(number):
        return state, (Find(number=number),)
    if number == PERSON:
        return _ring_people(plan, state)
    if plan.other_numbers and number.isascii() and number.isdigit():
        return state, (Find(number=number),)  # a store's numbers have no check digit
    return _asked_in_vain(plan, state, () if number in ("", REPEAT) else (Prompt(text="mistyped"),))


def _asked_in_vain(plan: Plan, state: State, why: Prompts) -> Step:
    state, last = _tried(plan, state)
    return _ring_people(plan, state) if last else _ask_number(plan, state, *why)


def _found(plan: Plan, state: State, event: Found) -> Step:
    if not event.state:
        return _asked_in_vain(plan, state, (Prompt(text="unknown_number"),))
    variables = {**event.variables, "digits": spoken(event.number)}
    said = Prompt(text=event.state, variables=variables)
    state = replace(state, told=event.number)
    if event.survey:
        return _ask_mark(plan, replace(state, survey=event.survey), said)
    return _end_after(state, said)


def _end_after(state: State, said: Prompt) -> Step:
    return replace(state, node="over"), (Close(reason="status"), Bye(prompts=(said, said, Prompt(text="goodbye"))))


# -- a mark -------------------------------------------------------------------------------


def _ask_mark(plan: Plan, state: State, *before: Prompt) -> Step:
    return _goto(state, "rating"), (Ask(prompts=(*before, Prompt(text="rate")), seconds=plan.wait),)


def _rating(plan: Plan, state: State, event: object) -> Step:
    key = _digits(event)
    if key in SCORES:
        state = replace(state, score=int(key))
        return state, (Vote(survey=state.survey, score=state.score),)
    if key == STOP_CALLS and state.rates:
        return _stop_calls(state)
    if key == PERSON and not state.rates:
        return _ring_behind_mark(plan, state)
    state, last = _tried(plan, state)
    return _end(state, left_behind(state), "goodbye") if last else _ask_mark(plan, state)


def _stop_calls(state: State) -> Step:
    state, actions = _end(state, left_behind(state), "no_more_calls", "goodbye")
    return state, (NoMoreCalls(), *actions)


def _ring_behind_mark(plan: Plan, state: State) -> Step:
    """What is said from here on is no comment on the mark, which counts all the same."""
    return _ring_people(plan, replace(state, score=0))


def _counted(plan: Plan, state: State, event: Counted) -> Step:
    if state.node == "over":
        return _end(state, "rated") if event.counts else (replace(state, score=0), (Bye(),))
    if not event.counts:
        return _end(replace(state, score=0), "status" if state.told else "silent", "survey_over", "goodbye")
    return _ask_to_confirm(plan, replace(state, low=event.low))


def _ask_to_confirm(plan: Plan, state: State) -> Step:
    said = Prompt(text="confirm", variables={"score": state.score, "key": CHANGE})
    return _goto(state, "confirm"), (Ask(prompts=(said,), seconds=plan.wait),)


def _confirm(plan: Plan, state: State, event: object) -> Step:
    key = _digits(event)
    if key == CHANGE:
        return _ask_mark(plan, state)
    if key == STOP_CALLS and state.rates:
        return _stop_calls(state)
    if key == PERSON and not state.rates:
        return _ring_behind_mark(plan, state)
    state, last = _tried(plan, state)
    if key == REPEAT and not last:
        return _ask_to_confirm(plan, state)
    if state.low:
        said = Listen(prompts=(Prompt(text="low_score"),), longest=plan.longest, silence=plan.silence)
        return _goto(state, "comment"), (said,)
    return _end(state, "rated", "goodbye")


def _comment(plan: Plan, state: State, event: object) -> Step:
    ended, actions = _end(state, "rated", "goodbye")
    if isinstance(event, Recorded) and event.recording:
        said = Comment(survey=state.survey, recording=event.recording, seconds=event.seconds)
        return ended, (said, *actions)
    return ended, actions


_Handler: TypeAlias = Callable[[Plan, State, object], Step]
_NODES: Mapping[Node, _Handler] = {
    "start": _menu, "language": _language, "menu": _menu, "ringing": _ringing, "recording": _recording,
    "number": _number, "told": _back, "back": _back, "back_number": _back_number, "rating": _rating,
    "confirm": _confirm, "comment": _comment, "over": _over,
}  # fmt: skip
_WAYS: Mapping[str, Callable[[Plan, State], Step]] = {
    "urgent": _ring_at_once, "report": _ask_to_speak, "status": _ask_number, "person": _ring_people,
}  # fmt: skip
