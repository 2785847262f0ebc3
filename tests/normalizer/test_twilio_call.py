"""What requests about calls mean; whatever stands in one, it is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.explain import explain, raw_of
from normalizer.call import Answered, Begun, Connected, Ended, Pressed, Recorded, Transcribed
from normalizer.message import CallEvent, Event, Ignored
from normalizer.normalize import normalize
from tests.normalizer.telegram_cases import AT

CALL = "CA" + "0" * 32
ANNA, DESK = "+380670000001", "+380440000001"
API = "https://api.twilio.example/2010-04-01/Accounts/AC0/Recordings/RE1"


def read(route: str = "main", query: str = "", body: bytes | None = None, **fields: str) -> Event:
    said = urlencode({"CallSid": CALL, "From": ANNA, "To": DESK, **fields}).encode() if body is None else body
    facts = {"route": route, **({"query": query} if query else {})}
    raw = raw_of("twilio_call/1", said, received_at=AT, facts=facts)
    explain(raw, source="a call")
    return normalize(replace(raw, channel="voice"))


def call(*args: Any, **fields: str) -> CallEvent:
    event = read(*args, **fields)
    assert isinstance(event, CallEvent)
    return event


@pytest.mark.parametrize(
    ("query", "fields", "wanted"),
    [
        ("", {"CallStatus": "ringing"}, Begun()),
        ("s=1", {"Digits": "2"}, Pressed(digits="2")),
        ("s=1", {}, Pressed(digits="")),
        ("s=1", {"Digits": "12*#w9"}, Pressed(digits="12*#9")),
        ("s=2", {"DialCallStatus": "completed", "DialCallDuration": "65"}, Connected(answered=True, seconds=65)),
        ("s=2", {"DialCallStatus": "no-answer"}, Connected(answered=False)),
        ("s=3", {"RecordingSid": "RE1", "RecordingDuration": "7", "Digits": "#"}, Recorded(recording="RE1", seconds=7)),
        ("s=3", {"RecordingSid": "RE1", "Digits": "hangup"}, Recorded(recording="RE1", hung_up=True)),
    ],
)
def test_what_came_of_an_answer(query: str, fields: dict[str, str], wanted: object) -> None:
    event = call("main", query, **fields)
    assert (event.happening, event.aside, event.caller.address) == (wanted, False, ANNA)
    assert event.step == int(query.partition("=")[2] or 0)


@pytest.mark.parametrize(
    ("said", "by"),
    [("human", "person"), ("machine_start", "machine"), ("machine_end_beep", "machine"), ("fax", "machine"),
     ("unknown", ""), ("", "")],
)  # fmt: skip
def test_a_call_of_ours_is_with_whom_we_called_and_names_its_notice(said: str, by: Answered) -> None:
    told = {"From": DESK, "To": ANNA, "Direction": "outbound-api", "AnsweredBy": said}
    event = call("main", "o=17", **told)
    assert event.happening == Begun(answered_by=by)
    assert (event.caller.address, event.called, event.ours, event.notice) == (ANNA, DESK, True, 17)
    ended = call("status", "o=17", CallStatus="no-answer", **told)
    assert (ended.happening, ended.aside, ended.notice) == (Ended(state="no_answer"), True, 17)


@pytest.mark.parametrize("query", ["o=x", "o=-1", "o=", "o=1234567890123456789"])
def test_what_is_no_notice_of_ours_names_none(query: str) -> None:
    assert call("main", query, Direction="outbound-api").notice == 0


def test_nobody_names_a_notice_by_calling_us() -> None:
    event = call("main", "o=17", Direction="inbound")
    assert (event.ours, event.notice, event.caller.address) == (False, 0, ANNA)


@pytest.mark.parametrize("query", ["s=x", "s=-1", "s=99999", "s="])
def test_a_step_that_is_none_of_ours_is_in_nobodys_turn(query: str) -> None:
    assert call("main", f"{query}&t=1").step == -1


@pytest.mark.parametrize(
    "number",
    ["+266696687", "anonymous", "Restricted", "", "+7378742833", "266696687", "withheld", "client:Anonymous",
     "sip:anonymous@anonymous.invalid", "sip:+266696687@sip.example;user=phone", "sip:unknown@pbx.example:5060",
     "sips:7@anonymous.invalid"],
)  # fmt: skip
def test_who_hides_the_number_has_none(number: str) -> None:
    assert call(From=number).caller.address == ""


def test_what_is_told_beside() -> None:
    ended = call("status", CallStatus="no-answer", CallDuration="12")
    assert (ended.happening, ended.aside) == (Ended(state="no_answer", seconds=12), True)
    there = call("recorded", RecordingSid="RE1", RecordingStatus="completed", RecordingUrl=API, RecordingDuration="9")
    assert (there.happening, there.source) == (Recorded(recording="RE1", seconds=9), f"{API}.mp3")
    assert read("status", CallStatus="ringing") == Ignored(reason="call:ringing")
    assert read("status", CallStatus="no such!") == Ignored(reason="call:unreadable")
    assert read("recorded", RecordingSid="RE1", RecordingStatus="absent") == Ignored(reason="recording:absent")
    assert read(CallSid="") == Ignored(reason="call:without_id")


@pytest.mark.parametrize(("said", "seconds"), [("9999", 9999), ("14400", 14400), ("86400", 86400), ("9" * 12, 0)])
def test_a_call_of_hours_has_its_length(said: str, seconds: int) -> None:
    """Twilio ends calls after four hours, or after a day where it is asked to."""
    assert call("status", CallStatus="completed", CallDuration=said).happening == Ended(
        state="completed", seconds=seconds
    )
    talked = call(query="s=2", DialCallStatus="completed", DialCallDuration=said)
    assert talked.happening == Connected(answered=True, seconds=seconds)


@given(st.binary(max_size=300), st.sampled_from(["main", "status", "recorded"]), st.text(max_size=20))
def test_nothing_raises(body: bytes, route: str, query: str) -> None:
    read(route, query, b"CallSid=CA1&" + body)


def test_a_transcript_is_told_beside_the_call_and_names_its_recording() -> None:
    written = {"RecordingSid": "RE1", "RecordingUrl": API, "TranscriptionSid": "TR1"}
    event = call("transcribed", TranscriptionStatus="completed", TranscriptionText="It is\r\ndown\x00", **written)
    assert event.happening == Transcribed(recording="RE1", text="It is\ndown") and event.aside
    assert event.source == f"{API}.mp3"
    failed = call("transcribed", TranscriptionStatus="failed", TranscriptionText="x", **written)
    assert failed.happening == Transcribed(recording="RE1")
    for odd in ({"TranscriptionStatus": "in-progress"}, {}, {"TranscriptionStatus": "completed"}):
        said = written if odd != {"TranscriptionStatus": "completed"} else {}
        assert isinstance(read("transcribed", **said, **odd), Ignored)
