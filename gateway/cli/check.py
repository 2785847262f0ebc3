"""`gateway check`: every problem of the configuration at once."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from gateway.cli.options import invocation
from gateway.settings_files import ConfigurationError, load

app = typer.Typer(add_completion=False)


@app.command()
def check(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per problem and line.")] = False,
) -> None:
    """Read the whole configuration and list every fault as file:line:column: key: what would be right.

    Exit code 0: no fault. 2: faults, all of them listed.
    """
    asked = invocation()
    try:
        loaded = load(asked.config, overrides=asked.overrides)
    except ConfigurationError as error:
        for problem in error.problems:
            typer.echo(json.dumps(asdict(problem), ensure_ascii=False) if as_json else str(problem))
        count = len(error.problems)
        typer.echo(f"{count} problem{'s' if count > 1 else ''} in {asked.config}", err=True)
        raise typer.Exit(2) from None
    accounts = sum(map(len, loaded.settings.channels.values()))
    said = f"{accounts} accounts, {len(loaded.policy.contracts)} contracts, {len(loaded.policy.rules)} rules"
    typer.echo(json.dumps({"ok": True}) if as_json else f"{asked.config}: good ({said})")
