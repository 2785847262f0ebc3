"""sip_call/1: something that happened in a call of our own telephone, one JSON object each. Its writer is the channel.

Who calls is said by the exchange, where it says so (`P-Asserted-Identity`, RFC 3325 section 9.1), else by `From`; who
wants to be hidden (`Privacy`, RFC 3323 section 4.2; an address at anonymous.invalid, section 4.1.1.3) stays so.
Facts used: `country`, the calling code of numbers that are written without one; `trunk`, what stands before them then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, get_args

from normalizer.call import Begun, CallState, Connected, Ended, Happening, Pressed, Recorded
from normalizer.message import Address, CallEvent, Event, Ignored, InlineBody, RawMessage

MOST_KEYS, MOST_STEPS, MOST_SECONDS = 64, 9_999, 7 * 86_400
HIDDEN = frozenset({"anonymous", "unknown", "unavailable", "restricted", "private", "withheld", "blocked"})
"""Users that stand for nobody; exchanges write them where a number would be."""
HIDES = frozenset({"id", "user", "header"})
"""Words of `Privacy` that ask for the caller to be hidden (RFC 3323 section 4.2, RFC 3325 section 9.3)."""
STATES: Mapping[str, CallState] = {each: each for each in get_args(CallState)}
_ADDRESS = re.compile(r"(?:sips?|tel):(?P<user>[^@;?>\s]*)(?:@(?P<host>[^;?>\s:]*))?", re.IGNORECASE)
_NAMED = re.compile(r'^\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^"<]*))\s*<')
_FILLERS = re.compile(r"[\s().-]")
_NOT_KEYS = re.compile(r"[^0-9*#]")
_RECORDING = re.compile(r"[0-9a-f-]{1,60}\.wav")

Fields: TypeAlias = Mapping[str, object]
SHORT = 6
"""Digits of a number that means something inside the exchange only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """How numbers without a plus sign are meant."""

    country: str
    trunk: str


def read(raw: RawMessage) -> Event:
    """What the record says. Raises TypeError for a body that is still on disk."""
    if not isinstance(raw.body, InlineBody):
        raise TypeError("the body of a call is read from memory")
    try:
        said = json.loads(raw.body.content)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        return Ignored(reason="call:unreadable")
    call, kind = _word(said, "call", 64), _word(said, "kind", 20)
    make = HAPPENINGS.get(kind)
    if not call or make is None:
        return Ignored(reason="call:unreadable" if call else "call:without_id")
    plan = Numbering(country=str(raw.facts.get("country", "")), trunk=str(raw.facts.get("trunk", "0")))
    return _event(said, call, make(said), plan)


def _event(said: Fields, call: str, happening: Happening, plan: Numbering) -> CallEvent:
    recording = happening.recording if isinstance(happening, Recorded) else ""
    return CallEvent(
        call=call,
        happening=happening,
        step=_count(said, "step", MOST_STEPS),
        aside=isinstance(happening, Ended) or said.get("aside") is True,
        caller=_caller(said, plan),
        called=_number(_word(said, "to", 400), plan),
        forwarded_from=_number(_word(said, "diversion", 400), plan),
        source=recording if _RECORDING.fullmatch(recording) else "",
    )


# -- what happened ------------------------------------------------------------------------


def _recorded(said: Fields) -> Happening:
    return Recorded(recording=_word(said, "recording", 64), seconds=_seconds(said), hung_up=said.get("hung_up") is True)


def _ended(said: Fields) -> Happening:
    return Ended(state=STATES.get(_word(said, "state", 20), "completed"), seconds=_seconds(said))


HAPPENINGS: Mapping[str, Callable[[Fields], Happening]] = {
    "begun": lambda said: Begun(),
    "pressed": lambda said: Pressed(digits=_NOT_KEYS.sub("", _word(said, "digits", MOST_KEYS))),
    "recorded": _recorded,
    "connected": lambda said: Connected(answered=said.get("answered") is True, seconds=_seconds(said)),
    "ended": _ended,
}
"""`kind` of a record -> what happened."""


# -- who called ---------------------------------------------------------------------------


def _caller(said: Fields, plan: Numbering) -> Address:
    privacy = {word.strip().lower() for word in re.split(r"[;,]", _word(said, "privacy", 100))}
    asserted = _word(said, "asserted", 400)
    number = _number(asserted or _word(said, "from", 400), plan)
    if privacy & HIDES or not number:
        return Address(address="")
    return Address(address=number, name=_name(_word(said, "from", 400)))


def _number(address: str, plan: Numbering) -> str:
    """The number in international form where it is one, else the SIP address; "" for nobody."""
    # A name in front of the address may look like one itself.
    found = _ADDRESS.match(address.rpartition("<")[2].strip())
    if found is None:
        return ""
    user, host = found["user"], (found["host"] or "").lower()
    if not user or user.lower() in HIDDEN or host == "anonymous.invalid":
        return ""
    dialled = _FILLERS.sub("", user)
    if not re.fullmatch(r"\+?[0-9]{1,20}", dialled):
        return f"sip:{user}@{host}" if host else ""
    return _international(dialled, plan)


def _international(dialled: str, plan: Numbering) -> str:
    """ "0441234567" with the code +380 is "+380441234567"; a short number of the exchange stays as it is."""
    if dialled.startswith("00"):
        return f"+{dialled[2:]}"
    code = plan.country.removeprefix("+")
    if not code or dialled.startswith("+") or len(dialled) <= SHORT:
        return dialled
    if dialled.startswith(code) and len(dialled) > len(code) + SHORT:
        return f"+{dialled}"
    return f"+{code}{dialled.removeprefix(plan.trunk)}"


def _name(address: str) -> str:
    found = _NAMED.match(address)
    said = "" if found is None else (found["quoted"] or found["plain"] or "")
    return re.sub(r"\\(.)", r"\1", said).strip()[:200]


# -- fields -------------------------------------------------------------------------------


def _word(said: Fields, name: str, longest: int) -> str:
    value = said.get(name)
    text = value if isinstance(value, str) else ""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:longest].strip()


def _seconds(said: Fields) -> int:
    return _count(said, "seconds", MOST_SECONDS)


def _count(said: Fields, name: str, most: int) -> int:
    value = said.get(name)
    return min(max(value, 0), most) if type(value) is int else 0
