"""`gateway quarantine`: messages that could not be read; nothing of them is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.options import Failed
from gateway.cli.shown import AsJson, Token, Url, as_json, connect, plain, reported, table, when

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Messages that could not be read.")

EntryId = Annotated[int, typer.Argument(help="Id of the journal entry.")]


@app.command("list")
@reported
def list_(
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: str = "",
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """What is in quarantine, the newest first."""
    page = connect(url, token).get("/quarantine", limit=limit, cursor=cursor)
    if json:
        return as_json(page)
    rows = (
        (entry["id"], when(entry["accepted_at"]), f"{entry['channel']}/{entry['account']}", entry["size"],
         entry["attempts"], entry["error"])
        for entry in page["items"]
    )  # fmt: skip
    table(("id", "accepted", "account", "bytes", "tries", "why"), rows, empty="Quarantine is empty.")
    if page["next_cursor"]:
        typer.echo(f"More: --cursor {page['next_cursor']}")
    return None


@app.command()
@reported
def show(entry: EntryId, url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """One journal entry: where it came from, and why it could not be read."""
    found = connect(url, token).get(f"/journal/{entry}")
    if json:
        return as_json(found)
    return table(("what", "value"), ((name, plain(value)) for name, value in found.items()), empty="Nothing.")


@app.command()
@reported
def raw(
    entry: EntryId,
    into: Annotated[Path, typer.Argument(help="File to write; it must not exist.")],
    url: Url = "",
    token: Token = "",
) -> None:
    """Save the exact bytes as they arrived."""
    content = connect(url, token).download(f"/journal/{entry}/raw")
    try:
        with into.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise Failed(f"{into}: {error.strerror}") from None
    typer.echo(f"{into}: {len(content)} bytes")


@app.command()
@reported
def replay(
    entries: Annotated[list[int] | None, typer.Argument(help="Ids; none: everything in quarantine.")] = None,
    notify: Annotated[bool, typer.Option("--notify", help="Let notices go out.")] = False,
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Read them again, after a fix."""
    body = {"entries": entries or None, "quarantined": True, "notify": notify}
    done = connect(url, token).post("/journal/replay", body)
    return as_json(done) if json else typer.echo(f"{done['count']} will be read again.")
