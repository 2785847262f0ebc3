"""The demo's second story: a person and a bot, from /start to a low mark with its comment."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from gateway.demo.chat import Chat, picture
from gateway.demo.desk import Desk, NotInTime, wait_for
from gateway.demo.transcript import Transcript

ASKED = "1С не працює ні в кого з відділу продажів: не можемо виписати жодного рахунку"
CAPTION = "Ось що на екрані"
REPLY = "Бачимо, сервер 1С завис. Перезапускаємо, за п'ять хвилин спробуйте ще раз."
RESULT = "перезапустили сервер 1С."
COMMENT = "Працює, але чекали пів дня"
SCORE = 2


def tell(desk: Desk, chat: Chat, console: Console) -> None:
    """Tell the story. Raises NotInTime when a part of it does not happen."""
    shown = Transcript(chat.name, console)
    console.print("\nNow the same desk in Telegram; the Bot API is a server of the demo itself.\n")
    _begin(chat, shown)
    number = _ask(desk, chat, shown)
    _photo(desk, chat, shown, number)
    desk.api("POST", f"/tickets/{number}/reply", {"text": REPLY})
    shown.desk("staff answer the ticket")
    shown.bot(chat.hears(REPLY[:20]))
    desk.api("POST", f"/tickets/{number}/resolve", {"result": RESULT})
    shown.desk("staff resolve it")
    _vote(desk, chat, shown, number)


def _begin(chat: Chat, shown: Transcript) -> None:
    chat.says("/start")
    shown.person("/start")
    hello = chat.hears("")
    shown.bot(hello)
    shown.person(f"presses [{chat.presses(hello, 'Українська')}]")
    chat.changed(hello, "українською")
    shown.bot(hello, "bot, edited")


def _ask(desk: Desk, chat: Chat, shown: Transcript) -> str:
    chat.says(ASKED)
    shown.person(ASKED)
    found = wait_for("the ticket of the message", lambda: _ticket(desk, chat))
    number = str(found["number"])
    place = f"class {found['class'] or '?'}, {found['line']}"
    shown.desk(f"ticket {number} in channel {found['channel']}: {place}")
    shown.bot(chat.hears(number))
    return number


def _ticket(desk: Desk, chat: Chat) -> dict[str, Any] | None:
    items = desk.api("GET", f"/tickets?channel=telegram&requester={chat.user}")["items"]
    return items[0] if items else None


def _photo(desk: Desk, chat: Chat, shown: Transcript, number: str) -> None:
    content = picture()
    chat.shows(CAPTION, content)
    shown.person(f"{CAPTION} [photo]")
    here = wait_for("the fetching of the photo", lambda: _file(desk, number))
    if here["size"] != len(content):
        raise NotInTime(f"the photo is not whole: {here}")
    shown.desk(f"the same ticket; {here['filename']} was fetched, {here['size']} bytes")


def _file(desk: Desk, number: str) -> dict[str, Any] | None:
    files = [file for message in _messages(desk, number) for file in message["attachments"]]
    return next((file for file in files if file["state"] == "here"), None)


def _messages(desk: Desk, number: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = desk.api("GET", f"/tickets/{number}")["messages"]
    return found


def _vote(desk: Desk, chat: Chat, shown: Transcript, number: str) -> None:
    question = chat.hears(RESULT[:20])
    shown.bot(question)
    shown.person(f"presses [{chat.presses(question, str(SCORE))}]")
    before = question.text
    wait_for("the vote in the message", lambda: question.text if question.text != before else None)
    shown.bot(question, "bot, edited")
    chat.says(COMMENT)
    shown.person(COMMENT)
    shown.bot(chat.hears(""))
    votes = desk.api("GET", f"/tickets/{number}/ratings")["items"]
    # The comment is a newer wording of the same vote.
    if [(vote["score"], vote["comment"]) for vote in votes if vote["current"]] != [(SCORE, COMMENT)]:
        raise NotInTime(f"the vote was not counted: {votes}")
    shown.desk(f"one vote: {SCORE} of 5, with its comment")
