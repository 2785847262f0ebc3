"""`gateway outbox`: what waits to go out, and what did not."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli.shown import AsJson, Token, Url, as_json, connect, reported, table, when

app = typer.Typer(add_completion=False, no_args_is_help=True, help="What waits to go out, and what did not.")

NoticeId = Annotated[int, typer.Argument(help="Id of the notice, or with --feed of the write.")]
Feed = Annotated[bool, typer.Option("--feed", help="Writes to the desk's own ticket store instead of notices.")]
_PLACE = {False: "outbox", True: "feed-writes"}
_WORD = {False: "Notice", True: "Write"}


@app.command("list")
@reported
def list_(
    state: Annotated[str, typer.Option(help="waiting, dead, unknown, refused … or all; none: all that need you.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: str = "",
    feed: Feed = False,
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Notices, the newest first."""
    desk = connect(url, token)
    if feed:
        return _writes(desk.get("/feed-writes", state=state, limit=limit, cursor=cursor), json)
    page = desk.get("/outbox", state=state, limit=limit, cursor=cursor)
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
    failed = desk.get("/feed-writes", limit=200)["items"]
    if failed and not cursor:
        typer.echo(f"Writes to ticket stores that wait or failed: {len(failed)}; see `gateway outbox list --feed`")
    return None


def _writes(page: Any, json: bool) -> None:
    if json:
        return as_json(page)
    rows = (
        (item["id"], item["state"], item["feed"], item["number"], ", ".join([item["kind"], *item["fields"]]),
         when(item["due_at"]), item["attempts"], item["detail"])
        for item in page["items"]
    )  # fmt: skip
    table(("id", "state", "store", "ticket", "what", "due", "tries", "detail"), rows, empty="Nothing waits.")
    if page["next_cursor"]:
        typer.echo(f"More: --cursor {page['next_cursor']}")
    return None


@app.command()
@reported
def retry(notice: NoticeId, feed: Feed = False, url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """Send a notice that failed again, or run a write to a ticket store again."""
    done = connect(url, token).post(f"/{_PLACE[feed]}/{notice}/retry")
    return as_json(done) if json else typer.echo(f"{_WORD[feed]} {notice} is {done['state']}.")


@app.command()
@reported
def drop(notice: NoticeId, feed: Feed = False, url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """Give a notice up, or a write to a ticket store; it stays in the list."""
    done = connect(url, token).post(f"/{_PLACE[feed]}/{notice}/drop")
    return as_json(done) if json else typer.echo(f"{_WORD[feed]} {notice} is {done['state']}.")


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
    """Let notices go out again, after a restore or a hold; a copy reads its mailboxes, bots and stores from now on.

    Look at `gateway outbox list --state waiting` first.
    """
    done = connect(url, token).post("/outbox/release", {"drop_waiting": drop_waiting})
    said = f"Notices go out again: {done['waiting']} wait, {done['dropped']} were dropped."
    return as_json(done) if json else typer.echo(said)
