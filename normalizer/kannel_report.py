"""kannel_report/1: what Kannel says has become of a message of ours, as its dlr-url brings it. Total over bytes.

%d is the type of the report, %A the network's own words: "NACK/0x0000000b/Invalid Destination Address" for what an
SMPP network refused at once (SMPP 3.4 section 5.1.3), "id:… stat:UNDELIV err:001 …" for what did not arrive (section
5.2.28 and appendix B).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from normalizer.kannel_wire import call_of
from normalizer.message import Event, Ignored, RawMessage, SendState, SendStatus, Verdict

STATES: Mapping[str, SendState] = {
    "1": "delivered", "2": "undelivered", "4": "sending", "8": "sent", "16": "failed", "34": "undelivered",
    "66": "undelivered",
}  # fmt: skip
"""%d; 34 and 66 are kinds of 2: expired, unknown."""
STATS: Mapping[str, tuple[Verdict, str]] = {
    "EXPIRED": ("temporary", "it did not arrive within its time"),
    "DELETED": ("permanent", "the network deleted it"),
    "UNDELIV": ("permanent", "the network could not deliver it"),
    "REJECTD": ("permanent", "the network rejected it"),
    "UNKNOWN": ("temporary", "the network does not know what became of it"),
}
CODES: Mapping[int, tuple[Verdict, str]] = {
    0x01: ("permanent", "the message is too long"),
    0x0A: ("alarm", "our number cannot send"),
    0x0B: ("unreachable", "there is no such number"),
    0x0D: ("alarm", "the network does not let us in"),
    0x0E: ("alarm", "the network does not accept our password"),
    0x14: ("temporary", "the network's queue is full"),
    0x58: ("temporary", "too many messages"),
    0x61: ("permanent", "the time of its delivery is wrong"),
    0x62: ("permanent", "its validity is wrong"),
    0x67: ("permanent", "the network does not let us send this"),
}
"""Status of submit_sm -> what it comes to, and what staff read."""
UNKNOWN: Verdict = "permanent"
_STAT = re.compile(r"\bstat:([A-Z]{4,8})", re.IGNORECASE)
_ERR = re.compile(r"\berr:([0-9A-Za-z]{1,8})", re.IGNORECASE)
_NACK = re.compile(r"NACK/(0x[0-9a-fA-F]{1,8}|[0-9]{1,10})")
_KEY = re.compile(r"[A-Za-z0-9_-]{8,100}")


def read(raw: RawMessage) -> Event:
    """What the report says. Facts used: `query`, `headers`, `numbers`.

    Raises TypeError for a body that is still on disk.
    """
    call = call_of(raw)
    said, key, row = call.line("type", 10), call.line("k", 100), call.line("o", 20)
    state = STATES.get(said)
    if state is None or not _KEY.fullmatch(key):
        return Ignored(reason=f"report:{said}" if re.fullmatch(r"[0-9]{1,3}", said) else "report:unreadable")
    verdict, code, detail = why(state, said, call.line("reply"))
    return SendStatus(
        external_key=f"{raw.channel}:{raw.account}:{key}",
        state=state,
        recipient=call.person,
        endpoint=call.our_number,
        verdict=verdict,
        code=code,
        detail=detail,
        notice=int(row) if re.fullmatch(r"[0-9]{1,18}", row) else 0,
    )


def why(state: SendState, kind: str, reply: str) -> tuple[Verdict, str, str]:
    """(what it comes to, the network's code, words for staff); empty for what went well or is under way."""
    if state not in ("undelivered", "failed"):
        return "", "", ""
    if (refused := _NACK.search(reply)) is not None:
        number = int(refused[1], 0)
        verdict, words = CODES.get(number, (UNKNOWN, "the network refused it"))
        return verdict, f"0x{number:08x}", f"0x{number:08x} {words}"
    stat, code = _STAT.search(reply), _ERR.search(reply)
    named = stat[1].upper() if stat is not None else {"34": "EXPIRED", "66": "UNKNOWN"}.get(kind, "")
    verdict, words = STATS.get(named, (UNKNOWN, "it did not arrive, and no reason is given"))
    number_said = code[1] if code is not None else ""
    return verdict, number_said, " ".join(part for part in (named, number_said, words) if part)
