"""`gateway reload`: a changed configuration for the running gateway."""

from __future__ import annotations

import typer

from gateway.cli.shown import AsJson, Token, Url, as_json, connect, reported

app = typer.Typer(add_completion=False)


@app.command()
@reported
def reload(url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """Read and check the configuration again and bring all of it into force, or none of it.

    Exit code 2: it has faults, or changes what only a restart can change; the running one goes on.
    """
    done = connect(url, token).post("/reload")
    changed = "a new policy" if done["policy_changed"] else "the same policy"
    said = f"In force: {changed} ({done['policy']}), {done['accounts']} accounts, {done['feeds']} ticket stores."
    return as_json(done) if json else typer.echo(said)
