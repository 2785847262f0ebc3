"""`gateway outbox`: what waits to go out, and what did not."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.shown import AsJson, Token, Url, as_json, connect, reported, table, when

app = typer.Typer(add_completion=False, no_args_is_help=True, help="What waits to go out, and what did not.")

NoticeId = Annotated[int, typer.Argument(help="Id of the notice.")]


@app.command("list")
@reported
def list_(
    state: Annotated[str, typer.Option(help="waiting, dead, unknown, refused … or all; none: all that need you.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: str = "",
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Notices, the newest first."""
    page = connect(url, token).get("/outbox", state=state, limit=limit, cursor=cursor)
    if json:
        return as_json(page)
    rows = (
        (item["id"], item["state"], item["kind"], item["recipient"], when(item["due_at"]), item["attempts"],
         item["detail"])
        for item in page["items"]
    )  # fmt: skip
    table(("id", "state", "kind", "to", "due", "tries", "detail"), rows, empty="Nothing waits.")
    if page["next_cursor"]:
        typer.echo(f"More: --cursor {page['next_cursor']}")
    return None


@app.command()
@reported
def retry(notice: NoticeId, url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """Send a notice that failed again."""
    done = connect(url, token).post(f"/outbox/{notice}/retry")
    return as_json(done) if json else typer.echo(f"Notice {notice} is {done['state']}.")


@app.command()
@reported
def drop(notice: NoticeId, url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """Give a notice up; it stays in the list as suppressed."""
    done = connect(url, token).post(f"/outbox/{notice}/drop")
    return as_json(done) if json else typer.echo(f"Notice {notice} is {done['state']}.")


@app.command()
@reported
def hold(
    why: Annotated[str, typer.Argument(help="The reason; `gateway status` shows it.")],
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Hold everything: nothing goes out until `gateway outbox release`. Messages are taken in as ever."""
    done = connect(url, token).post("/outbox/hold", {"why": why})
    return as_json(done) if json else typer.echo(f"Nothing goes out now; {done['waiting']} notices wait.")


@app.command()
@reported
def release(
    drop_waiting: Annotated[
        bool, typer.Option("--drop-waiting", help="Give up what waits now; only what comes later goes out.")
    ] = False,
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Let notices go out again, after a restore or a hold. Look at `gateway outbox list --state waiting` first."""
    done = connect(url, token).post("/outbox/release", {"drop_waiting": drop_waiting})
    said = f"Notices go out again: {done['waiting']} wait, {done['dropped']} were dropped."
    return as_json(done) if json else typer.echo(said)
