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
