"""twilio_status/1: what Twilio says has become of a message of ours."""

from __future__ import annotations

import re
from typing import get_args

from normalizer.message import Event, Ignored, RawMessage, SendState, SendStatus
from normalizer.twilio_codes import verdict
from normalizer.twilio_wire import request_of

STATES: dict[str, SendState] = {state: state for state in get_args(SendState)} | {
    "scheduled": "accepted",
    "partially_delivered": "sent",
}
"""As Twilio names them -> ours."""
NOTICE = "o"
"""Parameter of the address for reports that names the row of the outbox."""
_CODE = re.compile(r"[0-9]{1,8}")


def read(raw: RawMessage) -> Event:
    """What the report says. Raises TypeError for a body that is still on disk."""
    request = request_of(raw)
    said = (request.line("MessageStatus", 40) or request.line("SmsStatus", 40)).lower()
    state = STATES.get(said)
    if state is None or not request.sid:
        return Ignored(reason=f"status:{said}" if re.fullmatch(r"[a-z_]{1,40}", said) else "status:unreadable")
    code = request.line("ErrorCode", 8)
    code = code if _CODE.fullmatch(code) and int(code) else ""
    found, words = verdict(state, code)
    row = request.query.get(NOTICE, "") or request.line(NOTICE, 20)
    return SendStatus(
        external_key=request.key(request.sid),
        state=state,
        recipient=request.number("To"),
        endpoint=request.number("From"),
        verdict=found,
        code=code if found else "",
        detail=" ".join(part for part in (code if found else "", words) if part),
        notice=int(row) if re.fullmatch(r"[0-9]{1,18}", row) else 0,
    )
