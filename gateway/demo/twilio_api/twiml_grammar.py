"""What a TwiML document for a call may hold, verb by verb: https://www.twilio.com/docs/voice/twiml"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element, fromstring


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """What stands in one, and whether text does."""

    attributes: Mapping[str, str] = field(default_factory=dict)
    """Name -> a pattern of the whole value."""
    children: frozenset[str] = frozenset()
    text: bool = False


URL = r"https?://\S+|(?![a-zA-Z][\w+.-]*:)\S+"
"""Relative ones count from the current one; no other scheme does."""
COUNT, YES, KEYS, METHOD = r"[0-9]+", "true|false", r"[0-9*#]*", "GET|POST"
SAID = frozenset({"Say", "Play", "Pause"})
VERBS: Mapping[str, Verb] = {
    "Response": Verb(children=SAID | {"Gather", "Record", "Redirect", "Dial", "Hangup", "Reject"}),
    "Say": Verb(attributes={"language": r"[a-z]{2}-[A-Z]{2}", "voice": r"[\w.-]+", "loop": COUNT}, text=True),
    "Play": Verb(attributes={"loop": COUNT, "digits": r"[0-9*#w]*"}, text=True),
    "Pause": Verb(attributes={"length": COUNT}),
    "Gather": Verb(
        attributes={
            "action": URL, "method": METHOD, "input": r"dtmf|speech|dtmf speech", "timeout": COUNT, "numDigits": COUNT,
            "finishOnKey": r"[0-9*#]?", "actionOnEmptyResult": YES, "language": r"[a-z]{2}-[A-Z]{2}",
        },
        children=SAID,
    ),
    "Record": Verb(
        attributes={
            "action": URL, "method": METHOD, "timeout": COUNT, "finishOnKey": KEYS, "maxLength": COUNT,
            "playBeep": YES, "trim": "trim-silence|do-not-trim", "recordingStatusCallback": URL,
            "recordingStatusCallbackMethod": METHOD,
            "recordingStatusCallbackEvent": r"(in-progress|completed|absent)( (in-progress|completed|absent))*",
            "transcribe": YES, "transcribeCallback": URL,
        }
    ),
    "Redirect": Verb(attributes={"method": METHOD}, text=True),
    "Dial": Verb(
        attributes={"action": URL, "method": METHOD, "timeout": COUNT, "callerId": r"\+?[0-9]+"},
        children=frozenset({"Number"}),
    ),
    "Number": Verb(text=True),
    "Hangup": Verb(),
    "Reject": Verb(attributes={"reason": "rejected|busy"}),
}  # fmt: skip
LAST = frozenset({"Redirect", "Hangup", "Dial", "Reject"})
"""Verbs after which the call does not simply break off: a redirect, an end, or a Dial with an action."""
LONGEST_SAY, LONGEST_DOCUMENT = 4096, 64 * 1024


def faults(document: bytes) -> list[str]:
    """Everything in a document that the service would complain about, or that would cut a call off.

    Raises ParseError.
    """
    root = fromstring(document)
    found = [*schema_faults(root), *_breaks_off(root)]
    if len(document) > LONGEST_DOCUMENT:
        found.append("it is too long")
    return found


def schema_faults(root: Element) -> list[str]:
    """Verbs, attributes and values that there are none of, and texts where none belongs."""
    return [said for each in root.iter() for said in _of_verb(each)]


def _breaks_off(root: Element) -> Iterator[str]:
    """What is lawful and yet cuts a caller off, or is never reached."""
    verbs = list(root)
    if root.tag != "Response" or not verbs:
        yield "it does nothing"
    elif verbs[-1].tag not in LAST or (verbs[-1].tag == "Dial" and "action" not in verbs[-1].attrib):
        yield "it ends in the middle of the call"
    yield from (f"nothing behind <{each.tag}> is reached" for each in verbs[:-1] if each.tag in {"Redirect", "Hangup"})


def _of_verb(each: Element) -> Iterator[str]:
    verb = VERBS.get(each.tag)
    if verb is None:
        yield f"there is no <{each.tag}>"
        return
    for name, value in each.attrib.items():
        if name not in verb.attributes:
            yield f"<{each.tag}> has no {name}"
        elif not re.fullmatch(verb.attributes[name], value):
            yield f"<{each.tag} {name}> cannot be {value!r}"
    if bool((each.text or "").strip()) != verb.text:
        yield f"<{each.tag}> {'is empty' if verb.text else 'takes no text'}"
    if each.tag == "Redirect" and not re.fullmatch(URL, (each.text or "").strip()):
        yield f"<Redirect> cannot go to {(each.text or '').strip()!r}"
    if each.tag == "Say" and len(each.text or "") > LONGEST_SAY:
        yield "<Say> is too long"
    yield from (f"<{child.tag}> may not stand in <{each.tag}>" for child in each if child.tag not in verb.children)
