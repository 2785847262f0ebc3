"""`gateway replay`: process journalled messages again, after a fix or with new rules."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli.options import Misused
from gateway.cli.shown import AsJson, Token, Url, as_json, connect, reported

app = typer.Typer(add_completion=False)


@app.command()
@reported
def replay(
    entries: Annotated[list[int] | None, typer.Argument(help="Ids of journal entries.")] = None,
    since: Annotated[str, typer.Option(help="Accepted from this RFC 3339 time on; at most 1000 at once.")] = "",
    until: Annotated[str, typer.Option(help="Accepted before this time.")] = "",
    quarantined: Annotated[bool, typer.Option("--quarantined", help="Only what is in quarantine.")] = False,
    reroute: Annotated[bool, typer.Option("--reroute", help="Decide class, line and deadlines again.")] = False,
    notify: Annotated[bool, typer.Option("--notify", help="Let notices go out.")] = False,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Requests that webhooks did not believe: check them again.")
    ] = False,
    account: Annotated[str, typer.Option(help="With --unverified: of this account only.")] = "",
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Process entries again: each message gets a new revision in the ticket that it already has."""
    if unverified:
        if entries or since or until or quarantined or reroute or notify:
            raise Misused("--unverified goes with --account only: those requests are not in the journal yet")
        return _recheck(connect(url, token).post("/unverified/replay", {"account": account or None}), json=json)
    if account:
        raise Misused("--account goes with --unverified")
    if not (entries or since or quarantined):
        raise Misused("say which entries: their ids, --since TIME, --quarantined, or --unverified")
    body: dict[str, Any] = {
        "entries": entries or None,
        "quarantined": quarantined,
        "reroute": reroute,
        "notify": notify,
    }
    body |= {name: text for name, text in (("since", since), ("until", until)) if text}
    done = connect(url, token).post("/journal/replay", body)
    return as_json(done) if json else typer.echo(f"{done['count']} will be processed again.")


def _recheck(done: dict[str, Any], *, json: bool) -> None:
    if json:
        return as_json(done)
    for one in done["still"]:
        typer.echo(f"{one['id']} {one['channel']}/{one['account']}: {one['why']}")
    if done["older"]:
        typer.echo(f"{done['older']} changes too late, as something newer is known: only the tickets' history has it.")
    typer.echo(f"{done['believed']} believed, with {done['messages']} new messages; {len(done['still'])} still not.")
    return None
