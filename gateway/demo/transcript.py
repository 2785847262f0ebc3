"""A conversation as the demo prints it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.demo.bot_api.sending import Sent


class Transcript:
    """What a person, the gateway and the desk say and do, in order."""

    def __init__(self, name: str, console: Console) -> None:
        """`name` is the person's."""
        self._name, self._console = name, console

    def person(self, words: str) -> None:
        """What the person did."""
        self._line(self._name, words, "bold")

    def bot(self, sent: Sent, what: str = "bot") -> None:
        """What the bot says, with the buttons below."""
        buttons = ["  ".join(f"[{button['text']}]" for button in row) for row in sent.keyboard or ()]
        self._line(what, "\n".join((sent.text, *buttons)), "cyan")

    def text(self, words: str, parts: int) -> None:
        """A text message that the person gets, and how many parts it takes."""
        self._line("SMS", f"{words}  ({len(words)} characters, {parts} {'part' if parts == 1 else 'parts'})", "cyan")

    def voice(self, words: str) -> None:
        """What a caller hears."""
        self._line("voice", words, "cyan")

    def desk(self, words: str) -> None:
        """What happens behind it."""
        self._line("desk", words, "dim")

    def _line(self, who: str, words: str, style: str) -> None:
        row = Table.grid(padding=(0, 2))
        row.add_column(width=12, justify="right")
        row.add_column(overflow="fold")
        row.add_row(who, Text(words, style=style))
        self._console.print(row)
