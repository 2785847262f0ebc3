"""The demo's second story: a person and a bot, from /start to a low mark with its comment."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.demo.bot_api.sending import Sent
from gateway.demo.chat import Chat, picture
from gateway.demo.desk import Desk, NotInTime, wait_for

ASKED = "1С не працює ні в кого з відділу продажів: не можемо виписати жодного рахунку"
CAPTION = "Ось що на екрані"
REPLY = "Бачимо, сервер 1С завис. Перезапускаємо, за п'ять хвилин спробуйте ще раз."
RESULT = "перезапустили сервер 1С."
COMMENT = "Працює, але чекали пів дня"
SCORE = 2


class Transcript:
    """The chat as it is printed."""

    def __init__(self, chat: Chat, console: Console) -> None:
        self._chat, self._console = chat, console

    def person(self, words: str) -> None:
        """What the person did."""
        self._line(self._chat.name, words, "bold")

    def bot(self, sent: Sent, what: str = "bot") -> None:
        """What the bot says, with the buttons below."""
        buttons = ["  ".join(f"[{button['text']}]" for button in row) for row in sent.keyboard or ()]
        self._line(what, "\n".join((sent.text, *buttons)), "cyan")

    def desk(self, words: str) -> None:
        """What happens behind it."""
        self._line("desk", words, "dim")

    def _line(self, who: str, words: str, style: str) -> None:
        row = Table.grid(padding=(0, 2))
        row.add_column(width=12, justify="right")
        row.add_column(overflow="fold")
        row.add_row(who, Text(words, style=style))
        self._console.print(row)


def tell(desk: Desk, chat: Chat, console: Console) -> None:
    """Tell the story. Raises NotInTime when a part of it does not happen."""
    shown = Transcript(chat, console)
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
