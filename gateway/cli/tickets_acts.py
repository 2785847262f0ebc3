"""The commands of `gateway tickets` that change a ticket."""

from __future__ import annotations

import base64
import mimetypes
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.options import Misused
from gateway.cli.shown import AsJson, Token, Url, as_json, connect, given, plain, reported

acts = typer.Typer(add_completion=False)

Number = Annotated[str, typer.Argument(help="Number of the ticket.")]
Text = Annotated[str, typer.Argument(help="The text; - reads it from stdin.")]
Files = Annotated[list[Path] | None, typer.Option("--attach", exists=True, dir_okay=False, help="A file; repeatable.")]


@acts.command()
@reported
def reply(
    number: Number, text: Text, attach: Files = None, url: Url = "", token: Token = "", json: AsJson = False
) -> None:
    """Answer the requester."""
    _act(url, token, number, "reply", {"text": given(text), "attachments": _files(attach)}, json)


@acts.command()
@reported
def note(
    number: Number, text: Text, attach: Files = None, url: Url = "", token: Token = "", json: AsJson = False
) -> None:
    """Write a note for staff."""
    _act(url, token, number, "note", {"text": given(text), "attachments": _files(attach)}, json)


@acts.command()
@reported
def ask(
    number: Number, text: Text, attach: Files = None, url: Url = "", token: Token = "", json: AsJson = False
) -> None:
    """Ask the requester; the ticket waits for the answer."""
    _act(url, token, number, "ask", {"text": given(text), "attachments": _files(attach)}, json)


@acts.command()
@reported
def resolve(
    number: Number,
    result: Annotated[str, typer.Argument(help='The result in plain words; "" for none; - reads stdin.')],
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Resolve, and tell the requester the result."""
    _act(url, token, number, "resolve", {"result": given(result) if result == "-" else result}, json)


@acts.command()
@reported
def status(
    number: Number,
    status: Annotated[str, typer.Argument(help="open, waiting, held or closed.")],
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Set the status by hand."""
    _act(url, token, number, "status", {"status": status}, json)


@acts.command()
@reported
def close(number: Number, url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """Close."""
    _act(url, token, number, "status", {"status": "closed"}, json)


@acts.command("class")
@reported
def class_(
    number: Number,
    value: Annotated[str, typer.Argument(help="1 to 6, or none.")],
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Set the class."""
    if value != "none" and not value.isdecimal():
        raise Misused("the class is 1 to 6, or none")
    _act(url, token, number, "class", {"class": None if value == "none" else int(value)}, json)


@acts.command()
@reported
def contract(
    number: Number,
    contract: Annotated[str, typer.Argument(help="A contract's key, or none.")],
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Say which contract covers the ticket."""
    _act(url, token, number, "contract", {"contract": None if contract == "none" else contract}, json)


@acts.command()
@reported
def line(
    number: Number,
    line: Annotated[str, typer.Argument(help="L1, L2, L3 or L4.")],
    reason: Annotated[str, typer.Argument(help="What the next line should do.")],
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Hand over to another line."""
    _act(url, token, number, "line", {"line": line, "reason": reason}, json)


@acts.command()
@reported
def onsite(
    number: Number,
    off: Annotated[bool, typer.Option("--off", help="Nobody has to come.")] = False,
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Say that somebody has to come."""
    _act(url, token, number, "onsite", {"onsite": not off}, json)


@acts.command()
@reported
def visit(
    number: Number,
    start: Annotated[str, typer.Argument(help="RFC 3339, 2027-03-01T09:00:00+02:00.")],
    end: Annotated[str, typer.Argument(help="RFC 3339.")],
    wanted: Annotated[bool, typer.Option("--wanted", help="The window is wanted, not agreed.")] = False,
    office: Annotated[str, typer.Option()] = "",
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Note the window of a visit."""
    body = {"wanted" if wanted else "agreed": {"from": start, "to": end}, "office": office}
    _act(url, token, number, "visit", body, json)


@acts.command()
@reported
def assign(
    number: Number,
    agent: Annotated[str, typer.Argument(help="An agent's key, or nobody.")],
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Give the ticket to an agent."""
    _act(url, token, number, "assignee", {"agent": None if agent == "nobody" else agent}, json)


@acts.command()
@reported
def requester(
    number: Number, address: str, name: str = "", url: Url = "", token: Token = "", json: AsJson = False
) -> None:
    """Make somebody else the requester."""
    _act(url, token, number, "requester", {"address": address, "name": name}, json)


@acts.command()
@reported
def accept(number: Number, url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """Accept the proposed class and line."""
    _act(url, token, number, "proposal", {}, json)


@acts.command()
@reported
def survey(number: Number, url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """Ask for a rating at once."""
    _act(url, token, number, "survey", {}, json)


@acts.command("open")
@reported
def open_(
    address: Annotated[str, typer.Argument(help="The requester's mail address.")],
    subject: str,
    text: Text,
    account: Annotated[str, typer.Option(help="Notices go out from it.")] = "support",
    name: Annotated[str, typer.Option(help="The requester's name.")] = "",
    contract: Annotated[str, typer.Option()] = "",
    quiet: Annotated[bool, typer.Option("--quiet", help="Tell the requester nothing.")] = False,
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Register a ticket for somebody who called or came by."""
    body: dict[str, Any] = {
        "account": account, "requester": {"address": address, "name": name}, "subject": subject,
        "text": given(text), "notify": not quiet, "contract": contract or None,
    }  # fmt: skip
    _done(connect(url, token).post("/tickets", body), json)


def path_of(number: str) -> str:
    """The API's path of a ticket."""
    return f"/tickets/{quote(number.lstrip('#'), safe='')}"


def line_of(ticket: dict[str, Any]) -> str:
    """The line, and whether somebody has to come."""
    return f"{ticket['line']}{' on site' if ticket['onsite'] else ''}"


def _act(url: str, token: str, number: str, act: str, body: dict[str, Any], json: bool) -> None:
    _done(connect(url, token).post(f"{path_of(number)}/{act}", body), json)


def _done(state: dict[str, Any], json: bool) -> None:
    if json:
        return as_json(state)
    owner = f", {state['assignee']}" if state["assignee"] else ""
    return typer.echo(f"#{state['number']} {state['status']}, class {plain(state['class'])}, {line_of(state)}{owner}")


def _files(paths: list[Path] | None) -> list[dict[str, str]]:
    return [
        {
            "filename": path.name,
            "content_type": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
            "content": base64.b64encode(path.read_bytes()).decode("ascii"),
        }
        for path in paths or ()
    ]
