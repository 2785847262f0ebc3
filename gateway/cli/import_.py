"""`gateway import`: the open tickets of a store become ours, so that answers to them find them."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.options import Failed
from gateway.cli.shown import AsJson, Token, Url, as_json, connect, reported

app = typer.Typer(add_completion=False)


@app.command("import")
@reported
def import_(
    feed: Annotated[str, typer.Argument(help="Name of the feed, as in the configuration.")],
    account: Annotated[
        str, typer.Option(help="The mail account that requesters are answered from; needed where there are several.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what is there, and change nothing.")] = False,
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Take over numbers, Message-IDs and people of all open tickets. To do it again takes only what is new.

    Nobody is written to, and no deadline is counted for them. The gateway must be running.
    """
    client = connect(url, token)
    counted = {"taken": 0, "known": 0, "passed": 0, "odd": 0}
    cursor: str | None = None
    while True:
        page = client.post(f"/feeds/{feed}/import", {"cursor": cursor, "account": account, "dry_run": dry_run})
        for name in ("taken", "known"):
            counted[name] += page[name]
        for name in ("passed", "odd"):
            counted[name] += len(page[name])
            for each in page[name]:
                typer.echo(each, err=True)
        so_far = sum(counted.values())
        if page["cursor"] is None:
            break
        if page["cursor"] == cursor:
            raise Failed("the store gives the same page again and again; nothing more was taken over")
        cursor = page["cursor"]
        typer.echo(f"{so_far} of {page['total'] or '?'} …", err=True)
    if json:
        return as_json(counted)
    did = "would be taken over" if dry_run else "taken over"
    said = f"{counted['taken']} {did}, {counted['known']} were known, {counted['passed'] + counted['odd']} passed by."
    return typer.echo(said)
