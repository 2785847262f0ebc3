"""`gateway incidents`: outages that people will write about, and the word they get when one is over."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli.shown import AsJson, Token, Url, as_json, connect, plain, reported, table, when

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Outages that are known: open, list, close.")

IncidentId = Annotated[int, typer.Argument(help="Id of the incident, as `list` has it.")]
Ru = Annotated[str, typer.Option("--ru", help="The text in Russian.")]
Uk = Annotated[str, typer.Option("--uk", help="The text in Ukrainian.")]
En = Annotated[str, typer.Option("--en", help="The text in English.")]


@app.command("open")
@reported
def open_(
    ru: Ru = "",
    uk: Uk = "",
    en: En = "",
    contract: Annotated[list[str] | None, typer.Option(help="Whom it concerns; repeatable; none: all.")] = None,
    class_: Annotated[list[int] | None, typer.Option("--class", help="A class it shows in; repeatable.")] = None,
    word: Annotated[list[str] | None, typer.Option(help="A phrase people will write; repeatable.")] = None,
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Say what is broken: who writes about it now is told that we know. One language is enough."""
    body = {"text": _texts(ru, uk, en), "contracts": contract or [], "classes": class_ or [], "words": word or []}
    made = connect(url, token).post("/incidents", body)
    if json:
        return as_json(made)
    return typer.echo(f"Incident {made['id']} is open; `gateway incidents close {made['id']}` tells who waits.")


@app.command("list")
@reported
def list_(
    every: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: str = "",
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Incidents, the newest first."""
    page = connect(url, token).get("/incidents", open="false" if every else "true", limit=limit, cursor=cursor)
    if json:
        return as_json(page)
    rows = (
        (
            item["id"], when(item["opened_at"]), item["opened_by"], when(item["closed_at"]),
            item["contracts"] or "all", _about(item), item["linked"], next(iter(item["text"].values()), ""),
        )
        for item in page["items"]
    )  # fmt: skip
    columns = ("id", "opened", "by", "over", "contracts", "about", "tickets", "text")
    table(columns, rows, empty="Nothing is known to be broken.")
    if page["next_cursor"]:
        typer.echo(f"More: --cursor {page['next_cursor']}")
    return None


@app.command()
@reported
def close(
    incident: IncidentId,
    ru: Ru = "",
    uk: Uk = "",
    en: En = "",
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """It is over: everybody who wrote about it and still waits is told. The texts say what was done."""
    done = connect(url, token).post(f"/incidents/{incident}/close", {"text": _texts(ru, uk, en)})
    return as_json(done) if json else typer.echo(f"Incident {incident} is over; tickets about it: {done['linked']}.")


def _texts(ru: str, uk: str, en: str) -> dict[str, str]:
    return {language: text for language, text in (("ru", ru), ("uk", uk), ("en", en)) if text}


def _about(item: dict[str, Any]) -> str:
    classes = [f"class {number}" for number in item["classes"]]
    return plain([*classes, *item["words"]])
