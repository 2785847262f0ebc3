"""`gateway tokens`: who may use the API."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.shown import AsJson, Token, Url, as_json, connect, reported, table, when

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Tokens of the API.")


@app.command()
@reported
def create(
    agent: Annotated[str, typer.Argument(help="An agent's key from the configuration, or admin.")],
    scope: Annotated[list[str] | None, typer.Option(help="read, reply or admin; includes those before it.")] = None,
    contract: Annotated[list[str] | None, typer.Option(help="Only tickets of this contract; repeatable.")] = None,
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
    expires: Annotated[str, typer.Option(help="RFC 3339 time after which it is worth nothing.")] = "",
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Make a token. Its secret is shown now and never again."""
    body = {"agent": agent, "scopes": scope or ["reply"], "contracts": contract, "note": note}
    made = connect(url, token).post("/tokens", body | ({"expires_at": expires} if expires else {}))
    if json:
        return as_json(made)
    typer.echo(f"Token {made['id']} of {made['agent']}; keep it now, it is not shown again:", err=True)
    return typer.echo(made["token"])


@app.command("list")
@reported
def list_(url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """Every token, the newest first."""
    found = connect(url, token).get("/tokens")
    if json:
        return as_json(found)
    rows = (
        (
            item["id"], f"gw_{item['prefix']}_…", item["agent"], item["scopes"], item["contracts"] or "all",
            when(item["used_at"]), "revoked" if item["revoked_at"] else when(item["expires_at"]), item["note"],
        )
        for item in found["items"]
    )  # fmt: skip
    return table(
        ("id", "token", "agent", "scopes", "contracts", "used", "ends", "note"), rows, empty="There are no tokens."
    )


@app.command()
@reported
def revoke(
    number: Annotated[int, typer.Argument(help="The token's id, as `list` has it.")],
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """End a token at once."""
    ended = connect(url, token).post(f"/tokens/{number}/revoke")
    return as_json(ended) if json else typer.echo(f"Token {number} is worth nothing now.")
