"""Where a telephone call stands, what can happen in it, and what can be done about it: plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias, get_args

from normalizer.call import Answered, Connected, Ended, Pressed, Recorded
from normalizer.message import Json

# -- the plan -----------------------------------------------------------------------------

Way: TypeAlias = Literal["urgent", "report", "status", "person"]
"""What a key of a menu leads to. urgent: everything has stopped, somebody is rung first; report: a message is recorded;
status: what is with a ticket; person: somebody is rung."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a desk wants its calls led (`ivr.yaml`)."""

    languages: tuple[str, ...] = ("uk", "ru", "en")
    """In the order of their keys."""
    menu: tuple[Way, ...] = ("urgent", "report", "status")
    """In the order of their keys, 1 first; 0 is always a person, * the same again, 9 the languages."""
    closed_menu: tuple[Way, ...] = ("urgent", "report", "status")
    """Out of hours."""
    announcement: Mapping[str, str] = field(default_factory=dict)
    """Language -> what every caller hears behind the greeting; empty: nothing."""
    people: tuple[str, ...] = ()
    """Numbers that are rung in hours, one after another."""
    attempts: int = 3
    """How often something is asked before the caller is recorded instead."""
    steps: int = 40
    """Answers of the caller after which a call is led to its end."""
    wait: int = 6
    """Seconds for one key."""
    wait_number: int = 8
    """Seconds between the keys of a number."""
    ring: int = 20
    """Seconds that somebody is rung."""
    longest: int = 180
    """Seconds of one recording."""
    silence: int = 5
    """Seconds of silence that end a recording."""
    call_back: bool = True
    """Whether a call back to another number is offered."""
    other_numbers: bool = False
    """Tickets have numbers of another store, too, which may be any."""


# -- state --------------------------------------------------------------------------------

Node: TypeAlias = Literal[
    "start", "language", "menu", "ringing", "recording", "number", "told", "back", "back_number", "rating", "confirm",
    "comment", "over",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One call. Everything that the next step depends on, and nothing that can be read elsewhere."""

    node: Node = "start"
    left: Node | Literal[""] = ""
    """The node in which the caller hung up; "" where the call ended otherwise, or goes on."""
    language: str = ""
    """"" until it is known."""
    tries: int = 0
    """How often this node has asked in vain, or was asked to say it again."""
    steps: int = 0
    """Answers of the caller so far."""
    offered: tuple[str, ...] = ()
    """What the keys of the menu that was said lead to, whatever the plan says by now."""
    chosen: tuple[str, ...] = ()
    """What was chosen in menus, in order; it goes on the ticket."""
    rung: tuple[str, ...] = ()
    """Numbers that were rung in vain."""
    queue: tuple[str, ...] = ()
    """Numbers still to be rung."""
    told: str = ""
    """Number of the ticket that this call is about."""
    survey: int = 0
    """The survey that this call asks about; 0: none."""
    score: int = 0
    low: bool = False
    """The mark is one that somebody should hear more about."""
    rates: bool = False
    """The call is ours, and only asks for a mark."""
    heard: bool = False
    """Something was recorded."""
    closed: bool = False
    """It is out of hours."""
    duty: str = ""
    """Number of the engineer on duty; "" when there is none."""
    incident: Mapping[str, str] = field(default_factory=dict)
    """Language -> what is known to be down; said once, then forgotten."""


# -- events beside those of the line ------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A call has begun, and this is what is known of it."""

    answered_by: Answered = ""
    language: str = ""
    """The caller's own; "" when nobody knows."""
    open: bool = True
    """The desk has opened."""
    duty: str = ""
    """Number of the engineer on duty for this caller's contract; "" when there is none."""
    incident: Mapping[str, str] = field(default_factory=dict)
    """Language -> what everybody knows is down, in words for callers; empty when nothing is."""
    ours: bool = False
    """We called, to ask for a mark."""
    survey: int = 0
    """Beside it, the survey that is asked about; 0: there is nothing to ask any more."""
    date: str = ""
    """Beside it, the day of the request, in words for the person who is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """The ticket of this call is there, or it takes too long to wait for it."""

    number: str = ""
    sms: bool = False
    """The number goes out by SMS, too."""
    hidden: bool = False
    """The caller's number is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What there is about the number that was keyed in."""

    number: str = ""
    state: str = ""
    """Name of the text that says it; "": no ticket that this caller may hear of."""
    variables: Mapping[str, Json] = field(default_factory=dict)
    survey: int = 0
    """A survey that is open for this caller; 0: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A mark was kept, or not: the survey is over."""

    counts: bool
    low: bool = False


Event: TypeAlias = Known | Pressed | Recorded | Connected | Ended | Filed | Found | Counted

# -- actions ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A text by its name, in the call's language unless another is said."""

    text: str
    variables: Mapping[str, Json] = field(default_factory=dict)
    language: str = ""


Prompts: TypeAlias = tuple[Prompt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Say these and wait for keys. Ends in `Pressed`."""

    prompts: Prompts
    most: int = 1
    finish: str = ""
    seconds: int = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Say these, then record. Ends in `Recorded`."""

    prompts: Prompts
    longest: int
    silence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """Say these, then ring a number. Ends in `Connected`."""

    prompts: Prompts
    number: str
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bye:
    """Say these and hang up."""

    prompts: Prompts = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLanguage:
    """The caller's own choice."""

    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """This call has a ticket from now on, with what was chosen and recorded so far. Ends in `Filed`."""

    recording: str = ""
    seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """Look for a ticket by its number. Ends in `Found`."""

    number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBack:
    """The caller wants to be called; "" is the number that they called from."""

    number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A mark for the call's survey. Ends in `Counted`."""

    survey: int
    score: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A recording is the comment on the call's mark."""

    survey: int
    recording: str
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoMoreCalls:
    """The person wants no calls that ask for marks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """The call is over: what it leaves behind is a ticket, or the reason why there is none."""

    reason: str
    """"ticket", "put_through", "status", "rated", "machine", "silent" (nothing chosen, nothing said), "unfinished"."""


Wire: TypeAlias = Ask | Listen | Ring | Bye
"""What the caller hears next. Exactly one ends each step that the line waits for."""
Action: TypeAlias = Wire | SetLanguage | File | Find | CallBack | Vote | Comment | NoMoreCalls | Close


# -- as the store keeps it ----------------------------------------------------------------

_USUAL: Mapping[str, Any] = {each.name: getattr(State(), each.name) for each in fields(State)}
"""Field of a state -> what stands in it when a call begins."""
_NODES = frozenset(get_args(Node))


def as_json(state: State) -> dict[str, Json]:
    """What `from_json` reads."""
    return {name: _as_json(getattr(state, name)) for name in _USUAL}


def _as_json(value: Any) -> Json:
    match value:
        case tuple():
            return list(value)
        case Mapping():
            return dict(value)
        case _:
            plain: Json = value
            return plain


def from_json(kept: object) -> State:
    """The state; what an older version wrote and nobody understands any more is the first state."""
    if not isinstance(kept, Mapping):
        return State()
    taken: dict[str, object] = {}
    for name, usual in _USUAL.items():
        value = kept.get(name)
        if isinstance(usual, tuple) and isinstance(value, list) and _is_text(value):
            taken[name] = tuple(value)
        elif isinstance(usual, Mapping) and isinstance(value, Mapping) and _is_text([*value, *value.values()]):
            taken[name] = dict(value)
        elif type(value) is type(usual) and (name not in ("node", "left") or value in _NODES):
            taken[name] = value
    return State(**taken)  # type: ignore[arg-type]


def _is_text(values: Iterable[object]) -> bool:
    return all(isinstance(one, str) for one in values)
