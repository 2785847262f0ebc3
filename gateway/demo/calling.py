"""The demo's fourth story: somebody calls, speaks, calls again about the ticket, and rates it by a key."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from channels.segments import segments
from gateway.demo.desk import Desk, NotInTime, wait_for
from gateway.demo.phone import CALLER, Telephone
from gateway.demo.transcript import Transcript
from gateway.demo.twilio_api import Call, Did, Press, Said, Silent, Talk
from gateway.dialogs.ivr import spoken

RESULT = "замінили блок живлення сервера."
SPEAKS, SCORE = 18.0, 5
DIDS = {"silent": "[presses nothing]", "hang_up": "[hangs up]"}


def tell(desk: Desk, phone: Telephone, console: Console) -> None:
    """Tell the story. Raises NotInTime when a part of it does not happen."""
    shown = Transcript(phone.caller, console)
    console.print(
        "\nAnd by telephone. The caller is the demo's own and does what TwiML says, with a clock of its own: nobody"
        " waits for the words.\n"
    )
    call = phone.calls(Press(keys="1"), Press(keys="2"), Talk(seconds=SPEAKS, key="#"), Press(keys="1"))
    number = wait_for("the ticket of the call", lambda: _number(desk))
    _heard(call, shown)
    if call.words.count(spoken(number)) != 2:
        raise NotInTime(f"the number {number} should be said twice in: {call.words}")
    sound = wait_for("the fetching of the recording", lambda: _file(desk, number))
    shown.desk(f"ticket {number}; {sound['filename']} was fetched, {sound['size']} bytes")
    _read(phone, shown, number)
    desk.api("POST", f"/tickets/{number}/resolve", {"result": RESULT})
    shown.desk("staff resolve it")
    _read(phone, shown, "")
    shown.desk("they do not answer that, but call again")
    _heard(phone.calls(Press(keys="3"), Press(keys=f"{number}#"), Press(keys=str(SCORE)), Silent()), shown)
    wait_for("the vote of the call", lambda: _votes(desk, number) or None)
    if _votes(desk, number) != [SCORE]:
        raise NotInTime(f"the vote was not counted: {_votes(desk, number)}")
    shown.desk(f"one vote: {SCORE} of 5, by a key; two calls, one ticket")


def _heard(call: Call, shown: Transcript) -> None:
    """Print a call. Raises NotInTime when a document of it could not be followed."""
    if call.codes:
        raise NotInTime(f"the call could not be led: {', '.join(map(str, call.errors))}")
    shown.person("[calls]")
    words: list[str] = []
    for one in [*call.story, None]:
        if isinstance(one, Said) and one.kind == "say":
            words.append(f"{one.words} …" if one.cut else one.words)
            continue
        if words:
            shown.voice(" ".join(words))
            words = []
        match one:
            case Said():
                shown.voice("[a tone]")
            case Did(kind="press"):
                shown.person(f"[presses {one.keys}]")
            case Did(kind="talk"):
                shown.person(f"[speaks, {one.seconds:.0f} seconds]")
            case Did():
                shown.person(DIDS[one.kind])
    shown.desk(f"the call is over after {call.seconds:.0f} seconds of its own clock")


def _read(phone: Telephone, shown: Transcript, part: str) -> None:
    text = phone.hears(part, CALLER)
    shown.text(text, segments(text))


def _number(desk: Desk) -> str | None:
    items: list[dict[str, Any]] = desk.api("GET", f"/tickets?channel=voice&requester=%2B{CALLER[1:]}")["items"]
    return str(items[0]["number"]) if items else None


def _file(desk: Desk, number: str) -> dict[str, Any] | None:
    messages: list[dict[str, Any]] = desk.api("GET", f"/tickets/{number}")["messages"]
    files = [file for message in messages for file in message["attachments"]]
    return next((file for file in files if file["state"] == "here"), None)


def _votes(desk: Desk, number: str) -> list[int]:
    return [vote["score"] for vote in desk.api("GET", f"/tickets/{number}/ratings")["items"]]
