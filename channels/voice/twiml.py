"""What is done in a call, as TwiML: https://www.twilio.com/docs/voice/twiml

Every document ends in a redirect or a hang-up: a verb that got no input falls through to the next one, and a call
whose document ends is cut off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import assert_never
from xml.etree.ElementTree import Element, SubElement, tostring

from normalizer.call import Act, Collect, Connect, HangUp, Line, Record, Speak

LONGEST_SAY = 4000
"""Characters of one `<Say>`; the limit is 4,096: https://www.twilio.com/docs/voice/twiml/say"""
WRITTEN_DOWN = frozenset({"en"})
"""Languages that `<Record transcribe>` understands: https://www.twilio.com/docs/voice/twiml/record#transcribe"""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML document can carry (XML 1.0 section 2.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """Who speaks a language."""

    tag: str
    """As in RFC 5646: "uk-UA"."""
    name: str


VOICES: Mapping[str, Voice] = MappingProxyType(
    {
        "uk": Voice(tag="uk-UA", name="Google.uk-UA-Wavenet-A"),
        "ru": Voice(tag="ru-RU", name="Google.ru-RU-Wavenet-A"),
        "en": Voice(tag="en-US", name="Polly.Joanna-Neural"),
    }
)


@dataclass(frozen=True, slots=True)
class _Urls:
    following: str
    recorded: str
    transcribed: str


def document(
    acts: Sequence[Act], *, next_url: str, recorded_url: str, transcribed_url: str = "",
    voices: Mapping[str, Voice] = VOICES,
) -> bytes:  # fmt: skip
    """The TwiML for what is done next.

    `next_url` is asked for what comes then, with the keys, the recording or the outcome of ringing, or without any of
    them when there was none; `recorded_url` is told when a recording is there, and `transcribed_url` ("": nobody writes
    it down) what is said in it. Raises KeyError for a language without a voice.
    """
    root, urls = Element("Response"), _Urls(next_url, recorded_url, transcribed_url)
    for act in acts:
        _add(root, act, urls, voices)
        if not isinstance(act, Speak):
            break  # What stands behind a verb that waits is said only when it got nothing.
    else:
        SubElement(root, "Redirect", {"method": "POST"}).text = next_url
    return str(tostring(root, encoding="unicode")).encode()


def redirect(url: str) -> bytes:
    """The TwiML that says nothing and asks there."""
    root = Element("Response")
    SubElement(root, "Redirect", {"method": "POST"}).text = url
    return str(tostring(root, encoding="unicode")).encode()


def _add(root: Element, act: Act, urls: _Urls, voices: Mapping[str, Voice]) -> None:
    next_url = urls.following
    match act:
        case Speak():
            _say(root, act.lines, voices)
        case Collect():
            # An empty finish key lets * and # count as keys.
            given = {
                "input": "dtmf", "action": next_url, "method": "POST", "timeout": str(act.seconds),
                "numDigits": str(act.most), "finishOnKey": act.finish,
            }  # fmt: skip
            _say(SubElement(root, "Gather", given), act.lines, voices)
            SubElement(root, "Redirect", {"method": "POST"}).text = next_url
        case Record():
            _say(root, act.lines, voices)
            given = {
                "action": next_url, "method": "POST", "maxLength": str(act.longest), "timeout": str(act.silence),
                "finishOnKey": act.finish, "playBeep": "true", "recordingStatusCallback": urls.recorded,
                "recordingStatusCallbackEvent": "completed absent",
            }  # fmt: skip
            if urls.transcribed and act.lines and act.lines[-1].language in WRITTEN_DOWN:
                given |= {"transcribe": "true", "transcribeCallback": urls.transcribed}
            SubElement(root, "Record", given)
            # Silence makes no request.
            SubElement(root, "Redirect", {"method": "POST"}).text = next_url
        case Connect():
            _say(root, act.lines, voices)
            given = {"action": next_url, "method": "POST", "timeout": str(act.seconds)}
            SubElement(SubElement(root, "Dial", given), "Number").text = act.number
            # Where the service leaves the action out, nobody is cut off.
            SubElement(root, "Redirect", {"method": "POST"}).text = next_url
        case HangUp():
            _say(root, act.lines, voices)
            SubElement(root, "Hangup")
        case _ as never:
            assert_never(never)


def _say(parent: Element, lines: Sequence[Line], voices: Mapping[str, Voice]) -> None:
    for number, line in enumerate(lines):
        voice = voices[line.language]
        if number:
            SubElement(parent, "Pause", {"length": "1"})
        for piece in _pieces(_NOT_XML.sub(" ", line.words)):
            SubElement(parent, "Say", {"language": voice.tag, "voice": voice.name}).text = piece


def _pieces(words: str) -> Iterator[str]:
    """The words in pieces that one `<Say>` takes, cut between words where there are any; none where there are none."""
    rest = words.strip()
    while len(rest) > LONGEST_SAY:
        at = rest.rfind(" ", 1, LONGEST_SAY) if " " in rest[1:LONGEST_SAY] else LONGEST_SAY
        yield rest[:at].rstrip()
        rest = rest[at:].lstrip()
    if rest:
        yield rest
