"""Every state that any keys can lead a call to, in any order: each says valid TwiML, and none is without an end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pytest

from channels.voice.twiml import document
from gateway import call_answers, call_words, texts
from gateway.demo.twilio_api.twiml_grammar import faults
from gateway.dialogs import ivr
from gateway.dialogs.ivr_states import (
    Action,
    Ask,
    Bye,
    Close,
    Counted,
    Event,
    File,
    Filed,
    Find,
    Found,
    Known,
    Listen,
    Plan,
    Ring,
    State,
    Vote,
    Wire,
    as_json,
    from_json,
)
from normalizer.call import Connected, Pressed, Recorded

# The states are looked for once, by one worker.
pytestmark = pytest.mark.xdist_group("ivr-paths")

CONFIG = Path(__file__).parents[3] / "config"
NUMBER, DUTY = "1045285", "+380670000009"
KEYS = ("", "*", "#", *"0123456789", "12", NUMBER, "1045284", "0671234567", "9" * 20, "x")
NEXT, TOLD = "https://desk.example/channels/voice/main?s=1#rc=3&rp=all", "https://desk.example/channels/voice/main/told"
PLANS = {
    "usual": Plan(people=("+380440000001", "+380440000002")),
    "nobody to ring, one language": Plan(languages=("ru",), call_back=False),
    "another menu, asked once": Plan(menu=("person", "status"), closed_menu=("report",), attempts=1),
}
STARTS = {
    "a stranger": Known(),
    "a known caller in an outage": Known(language="uk", incident={"uk": "mail & <chat>"}),
    "out of hours": Known(language="en", open=False, duty=DUTY),
    "our own call": Known(ours=True, survey=5, answered_by="person", date="24.11"),
    "our own call to a machine": Known(ours=True, survey=5, answered_by="machine", date="24.11"),
}


@dataclass
class Ways:
    """The states that can be reached, steps aside, and where each answer of the caller leads from there."""

    plan: Plan
    heard: dict[State, set[Wire]] = field(default_factory=dict)
    leads: dict[State, dict[Event, set[State]]] = field(default_factory=dict)

    def add(self, known: Known) -> None:
        new = self._after(State(), known)
        while new:
            state = new.pop()
            self.leads[state] = {}
            for event in {event for wire in self.heard[state] for event in answers(wire)}:
                before = {*self.leads}
                found = self._after(state, event)
                self.leads[state][event] = found
                new |= found - before

    def _after(self, state: State, event: Event) -> set[State]:
        """Where the event leads, whatever comes of what is looked for and counted on the way."""
        found: set[State] = set()
        for reached, wire, actions in taken(self.plan, state, event):
            assert isinstance(wire, Bye) == any(isinstance(one, Close) for one in actions), (state, event)
            kept = from_json(json.loads(json.dumps(as_json(reached))))
            assert kept == reached
            assert reached.steps == state.steps + (not isinstance(event, Known))
            kept = replace(kept, steps=0, incident=Told(kept.incident))
            self.heard.setdefault(kept, set()).add(frozen(wire))
            found.add(kept)
        return found


def frozen(wire: Wire) -> Wire:
    """The same, to be put into a set."""
    return replace(wire, prompts=tuple(replace(one, variables=Told(one.variables)) for one in wire.prompts))


class Told(dict[str, object]):
    """Variables of a text that can be compared in a set."""

    def __init__(self, said: Mapping[str, object]) -> None:
        super().__init__(said)

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(sorted((name, str(value)) for name, value in self.items())))


def taken(plan: Plan, state: State, event: Event) -> Iterator[tuple[State, Wire, tuple[Action, ...]]]:
    """Each way that one event can go: the state, the one thing that is heard, all actions."""
    reached, actions = ivr.step(plan, state, event)
    outcomes = outcomes_of(actions[-1]) if actions else ()
    wires = [action for action in actions if isinstance(action, Ask | Listen | Ring | Bye)]
    if not outcomes:
        assert len(wires) == 1
        assert actions[-1] is wires[0]
        yield reached, wires[0], actions
        return
    assert not wires, "the outcome says what is heard"
    for outcome in outcomes:
        for last, wire, more in taken(plan, reached, outcome):
            yield last, wire, (*actions, *more)


def outcomes_of(action: Action) -> Sequence[Event]:
    match action:
        case File():
            return [Filed(number=number, sms=sms, hidden=hidden) for number in (NUMBER, "") for sms, hidden in
                    ((True, False), (False, False), (False, True))]  # fmt: skip
        case Find():
            said = {"date": "24.11"}
            return (
                Found(), Found(number=NUMBER, state="state_open", variables=said),
                Found(number=NUMBER, state="state_resolved", variables=said, survey=5),
            )  # fmt: skip
        case Vote():
            return Counted(counts=True), Counted(counts=True, low=True), Counted(counts=False)
        case _:
            return ()


def answers(wire: Wire) -> Sequence[Event]:
    match wire:
        case Ask():
            return [Pressed(digits=key) for key in KEYS]
        case Listen():
            # Silence comes without a recording, as if nothing was pressed.
            return Recorded(recording="RE1", seconds=3), Recorded(recording="RE1", hung_up=True), Pressed(digits="")
        case Ring():
            return Connected(answered=True, seconds=9), Connected(answered=False), Pressed(digits="")
        case Bye():
            return ()


@cache
def ways(plan: str) -> Ways:
    made = Ways(PLANS[plan])
    for known in STARTS.values():
        made.add(known)
    return made


@pytest.mark.parametrize("plan", PLANS)
def test_every_document_of_every_state_is_valid_and_ends_in_a_redirect_or_a_hang_up(plan: str) -> None:
    loaded, problems = texts.load(CONFIG)
    assert loaded is not None, problems
    told = {(wire, state.language) for state, wires in ways(plan).heard.items() for wire in wires}
    assert len(told) > 20
    for wire, language in told:
        act = call_words.act(wire, loaded, language=language or PLANS[plan].languages[0], desk="Desk & Co")
        assert call_answers.from_json(json.loads(json.dumps(call_answers.as_json(act)))) == act
        assert faults(document([act], next_url=NEXT, recorded_url=TOLD)) == [], wire


@pytest.mark.parametrize("plan", PLANS)
def test_whoever_stops_pressing_keys_is_led_to_an_end_from_every_state(plan: str) -> None:
    """In a dozen answers: no circle goes on by itself, and nobody is dismissed before they could speak."""
    found = ways(plan)

    @cache
    def rest(state: State) -> int:
        """Answers that are still to be given by somebody who does nothing."""
        quiet = [event for event in found.leads[state] if event in (Pressed(digits=""), Connected(answered=False))]
        return max((1 + rest(after) for event in quiet for after in found.leads[state][event]), default=0)

    longest = max(rest(state) for state in found.leads)  # A circle would be a RecursionError.
    assert 0 < longest <= 12
    ends = {state for state, wires in found.heard.items() if any(isinstance(wire, Bye) for wire in wires)}
    assert all(state.node == "over" and not found.leads[state] for state in ends)


@pytest.mark.parametrize("plan", PLANS)
def test_from_every_state_a_call_ends_within_the_steps_of_its_plan(plan: str) -> None:
    """Keys may go round (another language, again; another mark, again): the count of answers closes that, too."""
    found = ways(plan)
    for state, events in found.leads.items():
        for event in events:
            for reached, wire, actions in taken(found.plan, replace(state, steps=found.plan.steps), event):
                assert isinstance(wire, Bye), (state, event)
                assert reached.node == "over"
                assert any(isinstance(one, Close) for one in actions)


def test_the_ways_are_many() -> None:
    assert {state.node for state in ways("usual").leads} >= {
        "language", "menu", "ringing", "recording", "number", "back", "back_number", "rating", "confirm", "comment",
        "over",
    }  # fmt: skip
