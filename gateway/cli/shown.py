"""What the commands that work through the API have in common: finding the server, showing answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeAlias, TypeVar

import typer

from gateway.cli.options import Failed, Misused, invocation
from gateway.client import Client, ClientError, Refused

P = ParamSpec("P")
T = TypeVar("T")

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="The API's JSON.")]
Url: TypeAlias = Annotated[
    str, typer.Option("--url", envvar="GATEWAY_URL", help="Of the gateway; default: the one that runs on --var.")
]
Token: TypeAlias = Annotated[
    str, typer.Option("--token", envvar="GATEWAY_TOKEN", help="A token, env:NAME or file:PATH; default: var/token.")
]


def connect(url: str, token: str) -> Client:
    """The running gateway. Raises ClientError."""
    return Client.find(invocation().var, url=url, token=token)


def reported(command: Callable[P, T]) -> Callable[P, T]:
    """Lets a command fail with one line and the right exit code."""

    @wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except Refused as error:
            raise Misused(str(error)) from None
        except ClientError as error:
            raise Failed(str(error)) from None

    return wrapper


def as_json(data: Mapping[str, Any]) -> None:
    """Print JSON."""
    typer.echo(json.dumps(data, ensure_ascii=False, indent=1 if sys.stdout.isatty() else None))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print a table, or `empty` when there are no rows."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        # Text, not str: what people wrote is never read as markup.
        made.add_row(*(Text(plain(cell)) for cell in row))
        count += 1
    if not count:
        typer.echo(empty)
        return
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(made)


def plain(value: object) -> str:
    """One value for a person's eyes, without characters that could drive the terminal."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "-"
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in str(value))


def when(text: str | None) -> str:
    """An API time in the terminal's own zone, to the minute; "-" for none."""
    return "-" if text is None else datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M")


def given(text: str) -> str:
    """A text argument, or all of stdin for "-". Raises Misused when there is nothing."""
    found = sys.stdin.read() if text == "-" else text
    if not found.strip():
        raise Misused("there is no text; give it as an argument, or - and the text on stdin")
    return found
