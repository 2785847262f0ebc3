"""The demo's third story: a person and a number, from a text message to a mark in words."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from channels.segments import segments
from gateway.demo.desk import Desk, NotInTime, wait_for
from gateway.demo.phone import THEIRS, Telephone
from gateway.demo.transcript import Transcript

ASKED = ("Не работает интернет в офисе", "уже полчаса, роутер перезагружали")
RESULT = "провайдер заменил кабель."
MARK, SCORE = "5 спасибо", 5


def tell(desk: Desk, phone: Telephone, console: Console) -> None:
    """Tell the story. Raises NotInTime when a part of it does not happen."""
    shown = Transcript(phone.name, console)
    console.print("\nAnd by text message; the network and its API are a server of the demo itself, too.\n")
    phone.connect(desk.site)
    for words in ASKED:
        phone.says(words)
        shown.person(words)
    number = wait_for("the ticket of the text messages", lambda: _number(desk))
    received = _read(phone, shown, number)
    wait_for("both messages in the ticket", lambda: _messages(desk, number) == list(ASKED) or None)
    shown.desk(f"ticket {number}: two messages, one acknowledgement")
    desk.api("POST", f"/tickets/{number}/resolve", {"result": RESULT})
    shown.desk("staff resolve it; what was done stands in the ticket and not in the message")
    if _read(phone, shown, number) == received:
        raise NotInTime("two messages of one person must not be acknowledged twice")
    phone.says(MARK)
    shown.person(MARK)
    _read(phone, shown, str(SCORE))
    votes = desk.api("GET", f"/tickets/{number}/ratings")["items"]
    if [vote["score"] for vote in votes] != [SCORE]:
        raise NotInTime(f"the vote was not counted: {votes}")
    shown.desk(f"one vote: {SCORE} of 5; the ticket stays resolved")


def _read(phone: Telephone, shown: Transcript, part: str) -> str:
    text = phone.hears(part)
    shown.text(text, segments(text))
    return text


def _number(desk: Desk) -> str | None:
    items: list[dict[str, Any]] = desk.api("GET", f"/tickets?channel=sms&requester=%2B{THEIRS[1:]}")["items"]
    return str(items[0]["number"]) if items else None


def _messages(desk: Desk, number: str) -> list[str]:
    """What the person wrote, as the ticket has it."""
    found = desk.api("GET", f"/tickets/{number}")["messages"]
    return [message["text"] for message in found if message["direction"] == "in"]
