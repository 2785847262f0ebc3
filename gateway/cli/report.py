"""`gateway report`: what happened, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from gateway.cli.options import Misused
from gateway.cli.shown import AsJson, Token, Url, as_json, connect, plain, reported, when

app = typer.Typer(add_completion=False)
PAGE = 100


@app.command()
@reported
def report(
    shadow: Annotated[
        bool, typer.Option("--shadow", help="What accounts with outbound off or capture would have said and routed.")
    ] = False,
    since: Annotated[str, typer.Option(help="Tickets opened from this RFC 3339 time on.")] = "",
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """The report of a pilot: each ticket with its class, line, reasons and deadlines, and what nobody was told."""
    if not shadow:
        raise Misused("say which report: --shadow")
    client = connect(url, token)
    cursor, tickets, notices = "", 0, 0
    while True:
        page = client.get("/reports/shadow", since=since, cursor=cursor, limit=PAGE)
        for item in page["items"]:
            tickets, notices = tickets + 1, notices + len(item["said"])
            if json:
                as_json(item)
                continue
            for line in _lines(item):
                typer.echo(line)
        cursor = page["next_cursor"] or ""
        if not cursor:
            break
    if not json:
        typer.echo(f"{tickets} tickets; {notices} notices that went to nobody.")


def _lines(item: dict[str, Any]) -> Iterator[str]:
    site = ", on site" if item["onsite"] else ""
    kind = f"class {item['class_'] or 'open'}, {item['line']}{site}, contract {plain(item['contract'])}"
    yield f"#{item['number']} {when(item['opened_at'])} {plain(item['requester'])}: {plain(item['subject'])}"
    yield f"  routed: {kind}; reaction by {when(item['reaction_due'])}, resolution by {when(item['resolution_due'])}"
    for reason in item["because"]:
        shown = reason.values() if isinstance(reason, dict) else [reason]
        yield f"    because {' '.join(plain(part) for part in shown if part not in (None, '', []))}"
    for said in item["said"]:
        yield f"  {said['state']}: {said['kind']} to {plain(said['recipient'])}: {plain(said['subject'])}"
        for line in said["text"].splitlines():
            yield f"    | {plain(line) if line else ''}"
    yield ""
