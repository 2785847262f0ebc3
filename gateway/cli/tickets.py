"""`gateway tickets`: what an agent does all day, from a terminal. What changes a ticket is in `tickets_acts`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.options import Failed
from gateway.cli.shown import AsJson, Token, Url, as_json, connect, plain, reported, table, when
from gateway.cli.tickets_acts import Number, acts, line_of, path_of

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List, show, answer and resolve tickets.")

app.add_typer(acts)

_FILES = {"pending": "not fetched yet", "failed": "could not be fetched"}
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
                ticket["number"], ticket["status"], ticket["class"], line_of(ticket), when(_due(ticket)),
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
    ticket = connect(url, token).get(path_of(number))
    if json:
        return as_json(ticket)
    who = ticket["requester"]
    typer.echo(f"#{ticket['number']}  {plain(ticket['subject'])}")
    typer.echo(
        f"{ticket['status']}, class {plain(ticket['class'])}, {line_of(ticket)}, contract {plain(ticket['contract'])}"
    )
    typer.echo(
        f"requester {plain(who['name'])} <{plain(who['address'])}> by {ticket['channel']},"
        f" assignee {plain(ticket['assignee'])}"
    )
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
            state = f"{item['size']} bytes" if item["state"] == "here" else _FILES.get(item["state"], item["state"])
            typer.echo(f"  [{item['id']}] {plain(item['filename'])} ({state})")
    return None


@app.command()
@reported
def ratings(number: Number, url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """How the ticket was rated."""
    found = connect(url, token).get(f"{path_of(number)}/ratings")
    if json:
        return as_json(found)
    rows = ((when(r["at"]), r["score"], r["current"], r["recipient"], r["comment"]) for r in found["items"])
    return table(("when", "score", "counts", "who", "comment"), rows, empty="Not rated.")


@app.command()
@reported
def events(number: Number, url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """What happened to the ticket."""
    found = connect(url, token).get(f"{path_of(number)}/events")
    if json:
        return as_json(found)
    rows = ((when(e["at"]), e["kind"], e["actor"], _short(e["data"])) for e in found["items"])
    return table(("when", "what", "who", "data"), rows, empty="Nothing.")


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
    content = connect(url, token).download(f"{path_of(number)}/attachments/{attachment}")
    try:
        with into.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise Failed(f"{into}: {error.strerror}") from None
    typer.echo(f"{into}: {len(content)} bytes")


def _due(ticket: dict[str, Any]) -> str | None:
    clocks = ticket["deadlines"]
    found: str | None = clocks["reaction"]["due"] or clocks["resolution"]["due"]
    return found


def _short(data: dict[str, Any]) -> str:
    return " ".join(f"{name}={plain(value)}" for name, value in data.items())[:200]
