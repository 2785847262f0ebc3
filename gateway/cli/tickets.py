"""`gateway tickets`: what an agent does all day, from a terminal."""

from __future__ import annotations

import base64
import mimetypes
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.options import Failed, Misused
from gateway.cli.shown import AsJson, Token, Url, as_json, connect, given, plain, reported, table, when

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List, show, answer and resolve tickets.")

Number = Annotated[str, typer.Argument(help="Number of the ticket.")]
Text = Annotated[str, typer.Argument(help="The text; - reads it from stdin.")]
Files = Annotated[list[Path] | None, typer.Option("--attach", exists=True, dir_okay=False, help="A file; repeatable.")]
_DIRECTIONS = {"in": "<-", "out": "->", "note": "##"}


@app.command("list")
@reported
def list_(
    channel: Annotated[str, typer.Option()] = "",
    requester: Annotated[str, typer.Option(help="Exact address.")] = "",
    status: Annotated[str, typer.Option(help="new, open, waiting, resolved, closed or held.")] = "",
    line: Annotated[str, typer.Option()] = "",
    contract: Annotated[str, typer.Option()] = "",
    class_: Annotated[int | None, typer.Option("--class", min=1, max=6)] = None,
    assignee: Annotated[str, typer.Option()] = "",
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    cursor: Annotated[str, typer.Option(help="next_cursor of the page before.")] = "",
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Tickets that match every option, the newest first."""
    filters = {
        "channel": channel, "requester": requester, "status": status, "line": line, "contract": contract,
        "class": class_, "assignee": assignee, "limit": limit, "cursor": cursor,
    }  # fmt: skip
    page = connect(url, token).get("/tickets", **filters)
    if json:
        return as_json(page)
    table(
        ("number", "status", "class", "line", "due", "requester", "subject"),
        (
            (
                ticket["number"], ticket["status"], ticket["class"], _line(ticket), when(_due(ticket)),
                ticket["requester"]["name"] or ticket["requester"]["address"], ticket["subject"],
            )
            for ticket in page["items"]
        ),
        empty="No tickets.",
    )  # fmt: skip
    if page["next_cursor"]:
        typer.echo(f"More: --cursor {page['next_cursor']}")
    return None


@app.command()
@reported
def show(number: Number, url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """One ticket: where it stands, why, and every message."""
    ticket = connect(url, token).get(_path(number))
    if json:
        return as_json(ticket)
    who = ticket["requester"]
    typer.echo(f"#{ticket['number']}  {plain(ticket['subject'])}")
    typer.echo(
        f"{ticket['status']}, class {plain(ticket['class'])}, {_line(ticket)}, contract {plain(ticket['contract'])}"
    )
    typer.echo(f"requester {plain(who['name'])} <{plain(who['address'])}>, assignee {plain(ticket['assignee'])}")
    for name, clock in ticket["deadlines"].items():
        typer.echo(f"{name}: due {when(clock['due'])}, met {when(clock['met_at'])}")
    for reason in ticket["because"]:
        typer.echo(f"  {plain(reason['what'])} = {plain(reason['value'])} because of {plain(reason['cause'])}")
    for message in ticket["messages"]:
        doubt = "" if message["verified"] else " (unverified)"
        author = plain(message["author_name"] or message["author"])
        typer.echo(f"\n{_DIRECTIONS[message['direction']]} {when(message['at'])} {author}{doubt}")
        typer.echo(plain(message["visible_text"]))
        for item in message["attachments"]:
            typer.echo(f"  [{item['id']}] {plain(item['filename'])} ({item['size']} bytes)")
    return None


@app.command()
@reported
def reply(
    number: Number, text: Text, attach: Files = None, url: Url = "", token: Token = "", json: AsJson = False
) -> None:
    """Answer the requester."""
    _act(url, token, number, "reply", {"text": given(text), "attachments": _files(attach)}, json)


@app.command()
@reported
def note(
    number: Number, text: Text, attach: Files = None, url: Url = "", token: Token = "", json: AsJson = False
) -> None:
    """Write a note for staff."""
    _act(url, token, number, "note", {"text": given(text), "attachments": _files(attach)}, json)


@app.command()
@reported
def ask(
    number: Number, text: Text, attach: Files = None, url: Url = "", token: Token = "", json: AsJson = False
) -> None:
    """Ask the requester; the ticket waits for the answer."""
    _act(url, token, number, "ask", {"text": given(text), "attachments": _files(attach)}, json)


@app.command()
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


@app.command()
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


@app.command()
@reported
def close(number: Number, url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """Close."""
    _act(url, token, number, "status", {"status": "closed"}, json)


@app.command("class")
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
@reported
def requester(
    number: Number, address: str, name: str = "", url: Url = "", token: Token = "", json: AsJson = False
) -> None:
    """Make somebody else the requester."""
    _act(url, token, number, "requester", {"address": address, "name": name}, json)


@app.command()
@reported
def accept(number: Number, url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """Accept the proposed class and line."""
    _act(url, token, number, "proposal", {}, json)


@app.command()
@reported
def survey(number: Number, url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """Ask for a rating at once."""
    _act(url, token, number, "survey", {}, json)


@app.command()
@reported
def ratings(number: Number, url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """How the ticket was rated."""
    found = connect(url, token).get(f"{_path(number)}/ratings")
    if json:
        return as_json(found)
    rows = ((when(r["at"]), r["score"], r["current"], r["recipient"], r["comment"]) for r in found["items"])
    return table(("when", "score", "counts", "who", "comment"), rows, empty="Not rated.")


@app.command()
@reported
def events(number: Number, url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """What happened to the ticket."""
    found = connect(url, token).get(f"{_path(number)}/events")
    if json:
        return as_json(found)
    rows = ((when(e["at"]), e["kind"], e["actor"], _short(e["data"])) for e in found["items"])
    return table(("when", "what", "who", "data"), rows, empty="Nothing.")


@app.command("open")
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


@app.command()
@reported
def download(
    number: Number,
    attachment: Annotated[int, typer.Argument(help="The attachment's number, as `show` has it.")],
    into: Annotated[Path, typer.Argument(help="File to write; it must not exist.")],
    url: Url = "",
    token: Token = "",
) -> None:
    """Save an attachment."""
    content = connect(url, token).download(f"{_path(number)}/attachments/{attachment}")
    try:
        with into.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise Failed(f"{into}: {error.strerror}") from None
    typer.echo(f"{into}: {len(content)} bytes")


def _path(number: str) -> str:
    return f"/tickets/{quote(number.lstrip('#'), safe='')}"


def _act(url: str, token: str, number: str, act: str, body: dict[str, Any], json: bool) -> None:
    _done(connect(url, token).post(f"{_path(number)}/{act}", body), json)


def _done(state: dict[str, Any], json: bool) -> None:
    if json:
        return as_json(state)
    owner = f", {state['assignee']}" if state["assignee"] else ""
    return typer.echo(f"#{state['number']} {state['status']}, class {plain(state['class'])}, {_line(state)}{owner}")


def _line(ticket: dict[str, Any]) -> str:
    return f"{ticket['line']}{' on site' if ticket['onsite'] else ''}"


def _due(ticket: dict[str, Any]) -> str | None:
    clocks = ticket["deadlines"]
    found: str | None = clocks["reaction"]["due"] or clocks["resolution"]["due"]
    return found


def _short(data: dict[str, Any]) -> str:
    return " ".join(f"{name}={plain(value)}" for name, value in data.items())[:200]


def _files(paths: list[Path] | None) -> list[dict[str, str]]:
    return [
        {
            "filename": path.name,
            "content_type": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
            "content": base64.b64encode(path.read_bytes()).decode("ascii"),
        }
        for path in paths or ()
    ]
