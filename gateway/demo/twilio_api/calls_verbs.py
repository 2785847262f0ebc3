"""What the verbs of a call do with a person on the line: https://www.twilio.com/docs/voice/twiml"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from xml.etree.ElementTree import Element

from gateway.demo.twilio_api.calls_person import (
    LETTERS_A_SECOND,
    LONGEST_CALL,
    Did,
    Doing,
    HungUp,
    Leave,
    Line,
    Press,
    Rung,
    Said,
    Talk,
)

PLAYED, BEEP = 3.0, 0.5
"""Seconds of a sound whose length nobody knows, and of the tone before a recording."""
THINKING = 1.0
"""Seconds from the last word to the first key."""
FINISHING = "1234567890*#"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Keys; none when the time ran out, or when the finishing key came first."""

    digits: str
    finished_on: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Speech. `digits`: the key that ended it, "hangup", or "" for silence behind it or the longest time."""

    seconds: float
    digits: str
    sound: bytes = b""

    @property
    def hung_up(self) -> bool:
        """The line is gone."""
        return self.digits == "hangup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialled:
    """What came of ringing somebody."""

    outcome: Literal["completed", "no-answer", "busy", "failed", "canceled"]
    seconds: float
    hung_up: bool = False


def say(verbs: Iterable[Element], line: Line, until: float | None = None) -> None:
    """Say, Play and Pause, in turn, up to a moment of the line's clock. Raises HungUp."""
    for verb in verbs:
        left = LONGEST_CALL if until is None else until - line.elapsed
        if left <= 0:
            return
        lasts = _length(verb)
        if verb.tag != "Pause":
            cut = lasts > min(left, line.ends - line.elapsed)
            words, get = " ".join("".join(verb.itertext()).split()), verb.attrib.get
            kind: Literal["say", "play"] = "say" if verb.tag == "Say" else "play"
            line.story.append(
                Said(kind=kind, words=words, language=get("language", ""), voice=get("voice", ""), cut=cut)
            )
        line.spend(min(lasts, left))


def gather(verb: Element, doing: Doing, line: Line) -> Gathered:
    """The prompts, and the keys pressed during them or behind. Raises HungUp."""
    if isinstance(doing, Leave):
        line.leave_in(doing.wait)
    heard = isinstance(doing, Press) and "dtmf" in verb.get("input", "dtmf")
    if not isinstance(doing, Press) or not heard or not doing.keys:
        say(verb, line)
        line.spend(float(verb.get("timeout", "5")))
        line.story.append(Did(kind="silent"))
        return Gathered(digits="")
    first = None if doing.wait is None else line.elapsed + doing.wait
    say(verb, line, until=first)
    timeout = float(verb.get("timeout", "5"))
    at = line.elapsed + min(THINKING, timeout) if first is None else first
    found = _keys(verb, doing, line, at, timeout)
    keys = found.digits + found.finished_on
    line.story.append(Did(kind="press", keys=keys) if keys else Did(kind="silent"))
    return found


def _keys(verb: Element, doing: Press, line: Line, at: float, timeout: float) -> Gathered:
    """Keys from `at` on; each must come within the time-out. Those behind the end are lost. Raises HungUp."""
    finish, most = verb.get("finishOnKey", "#"), int(verb.get("numDigits", "0"))
    digits = ""
    for key in doing.keys:
        if at - line.elapsed > timeout:
            break
        line.spend(max(0.0, at - line.elapsed))
        if key == finish:
            return Gathered(digits=digits, finished_on=key)
        digits += key
        if len(digits) == most:
            return Gathered(digits=digits)
        at = line.elapsed + doing.gap
    line.spend(timeout)
    return Gathered(digits=digits)


def record(verb: Element, doing: Doing, line: Line) -> Recorded | None:
    """What is recorded; None for silence. Raises HungUp when the person hung up without a word."""
    if verb.get("playBeep", "true") == "true":
        line.story.append(Said(kind="beep"))
        line.spend(BEEP)
    heard = _listen(verb, doing, line)
    key = heard.digits if heard is not None and not heard.hung_up else ""
    line.story += [Did(kind="talk", seconds=heard.seconds)] if heard is not None else [Did(kind="silent")]
    line.story += [Did(kind="press", keys=key)] if key else []
    return heard


def _listen(verb: Element, doing: Doing, line: Line) -> Recorded | None:
    finish, longest = verb.get("finishOnKey", FINISHING), float(verb.get("maxLength", "3600"))
    silence = min(float(verb.get("timeout", "5")), longest)
    if not isinstance(doing, Talk) or doing.seconds <= 0:
        _nothing_said(doing, line, finish, silence)
        return None
    began, spoken = line.elapsed, min(doing.seconds, longest)
    try:
        if doing.leaves and doing.seconds <= longest:
            line.leave_in(doing.seconds)
        line.spend(spoken)
        key = doing.key if spoken < longest and doing.key and doing.key in finish else ""
        if not key:
            line.spend(min(silence, longest - spoken))
    except HungUp:
        return Recorded(seconds=min(line.elapsed - began, spoken), digits="hangup", sound=doing.sound)
    return Recorded(seconds=spoken, digits=key, sound=doing.sound)


def _nothing_said(doing: Doing, line: Line, finish: str, silence: float) -> None:
    if isinstance(doing, Leave):
        line.leave_in(doing.wait)
    key = doing.keys[:1] if isinstance(doing, Press) else doing.key if isinstance(doing, Talk) else ""
    line.spend(min(THINKING, silence) if key and key in finish else silence)


def dial(verb: Element, rung: Rung, line: Line) -> Dialled:
    """What comes of ringing."""
    rings = float(verb.get("timeout", "30"))
    answered = rung.outcome == "completed"
    lasts = rung.seconds if answered or 0 < rung.seconds < rings else rings
    began = line.elapsed
    try:
        if rung.leaves:
            line.leave_in(lasts)
        line.spend(lasts)
    except HungUp:
        seconds = line.elapsed - began if answered else 0.0
        return Dialled(outcome="completed" if answered else "canceled", seconds=seconds, hung_up=True)
    return Dialled(outcome=rung.outcome, seconds=lasts if answered else 0.0)


def _length(verb: Element) -> float:
    """Seconds that it lasts; a loop of zero goes on until the call ends."""
    times = int(verb.get("loop", "1"))
    if verb.tag == "Pause":
        return float(verb.get("length", "1"))
    once = len("".join(verb.itertext()).strip()) / LETTERS_A_SECOND if verb.tag == "Say" else PLAYED
    return once * times if times else LONGEST_CALL
