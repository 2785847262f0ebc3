"""twilio_call/1: a request about a telephone call. https://www.twilio.com/docs/voice/twiml

Facts used: `route`, which address of ours it came to; `query`, what we wrote into that address ourselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from normalizer.call import Answered, Begun, CallState, Connected, Ended, Happening, Pressed, Recorded, Transcribed
from normalizer.message import Address, CallEvent, Event, Ignored, RawMessage
from normalizer.twilio_wire import Request, is_hidden, request_of

MAIN, STATUS, RECORDED, TRANSCRIBED = "main", "status", "recorded", "transcribed"
"""What an address of ours is for."""
STEP, NOTICE = "s", "o"
"""Parameters of our addresses: the count of our answers, and the row of the outbox that a call of ours is made for."""
OURS = "outbound"
"""What `Direction` begins with of calls that we made."""
MACHINES = ("machine", "fax")
"""What `AnsweredBy` begins with where nobody is listening: https://www.twilio.com/docs/voice/answering-machine-detection"""
ENDS: Mapping[str, CallState] = {
    "completed": "completed", "busy": "busy", "no-answer": "no_answer", "failed": "failed", "canceled": "canceled",
}  # fmt: skip
"""`CallStatus` of a call that is over -> ours."""
CONNECTED = frozenset({"completed", "answered"})
"""`DialCallStatus` of somebody who took the call up."""
FILE = ".mp3"
"""Behind the address of a recording: the form that it is fetched in."""
NO_STEP = -1
"""What stands in the address is no count of ours."""
_COUNT = re.compile(r"[0-9]{1,4}")
_ROW = re.compile(r"[0-9]{1,18}")
_NOT_KEYS = re.compile(r"[^0-9*#]")
_STATE = re.compile(r"[a-z-]{1,40}")
MOST_KEYS = 64


def read(raw: RawMessage) -> Event:
    """What the request says. Raises TypeError for a body that is still on disk."""
    request = request_of(raw)
    call = request.line("CallSid", 64)
    if not call:
        return Ignored(reason="call:without_id")
    route = raw.facts.get("route")
    if route == STATUS:
        return _ended(request, call)
    if route == RECORDED:
        return _recording(request, call)
    if route == TRANSCRIBED:
        return _transcript(request, call)
    step = _step(request)
    return _event(request, call, _happening(request, step), step=step)


def _step(request: Request) -> int:
    said = request.query.get(STEP, "0")
    return int(said) if _COUNT.fullmatch(said) else NO_STEP


def _happening(request: Request, step: int) -> Happening:
    if recording := request.line("RecordingSid", 64):
        hung_up = request.line("Digits", 20).lower() == "hangup"
        return Recorded(recording=recording, seconds=request.count("RecordingDuration"), hung_up=hung_up)
    if dialled := request.line("DialCallStatus", 40):
        return Connected(answered=dialled in CONNECTED, seconds=request.count("DialCallDuration"))
    if step == 0:
        return Begun(answered_by=_answered_by(request))
    return Pressed(digits=_NOT_KEYS.sub("", request.line("Digits", MOST_KEYS)))


def _answered_by(request: Request) -> Answered:
    said = request.line("AnsweredBy", 40)
    if said.startswith(MACHINES):
        return "machine"
    return "person" if said == "human" else ""


def _ended(request: Request, call: str) -> Event:
    said = request.line("CallStatus", 40)
    state = ENDS.get(said)
    if state is None:
        return Ignored(reason=f"call:{said}" if _STATE.fullmatch(said) else "call:unreadable")
    return _event(request, call, Ended(state=state, seconds=request.count("CallDuration")), aside=True)


def _recording(request: Request, call: str) -> Event:
    said, recording = request.line("RecordingStatus", 40), request.line("RecordingSid", 64)
    if said != "completed" or not recording:
        return Ignored(reason=f"recording:{said}" if _STATE.fullmatch(said) else "recording:unreadable")
    heard = Recorded(recording=recording, seconds=request.count("RecordingDuration"))
    return _event(request, call, heard, aside=True)


def _transcript(request: Request, call: str) -> Event:
    said, recording = request.line("TranscriptionStatus", 40), request.line("RecordingSid", 64)
    if said not in ("completed", "failed") or not recording:
        return Ignored(reason=f"transcript:{said}" if _STATE.fullmatch(said) else "transcript:unreadable")
    text = request.text("TranscriptionText") if said == "completed" else ""
    return _event(request, call, Transcribed(recording=recording, text=text), aside=True)


def _event(request: Request, call: str, happening: Happening, *, step: int = 0, aside: bool = False) -> CallEvent:
    ours = request.line("Direction", 40).startswith(OURS)
    number, other = (request.number("To"), "From") if ours else (request.number("From"), "To")
    row = request.query.get(NOTICE, "")
    source = request.line("RecordingUrl", 1000) if isinstance(happening, Recorded | Transcribed) else ""
    return CallEvent(
        call=call,
        happening=happening,
        step=step,
        aside=aside,
        caller=Address(address="" if is_hidden(number) else number, name=request.line("CallerName", 200)),
        called=request.number(other),
        forwarded_from=request.number("ForwardedFrom"),
        source=f"{source}{FILE}" if source and not source.endswith(FILE) else source,
        ours=ours,
        notice=int(row) if ours and _ROW.fullmatch(row) else 0,
    )
