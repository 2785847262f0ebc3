"""`gateway schema`: JSON Schema of the configuration files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.options import Misused
from gateway.schemas import SCHEMAS

app = typer.Typer(add_completion=False)


@app.command()
def schema(
    file: Annotated[str, typer.Argument(help=f"One of: {', '.join(SCHEMAS)}.")] = "",
    into: Annotated[Path | None, typer.Option(help="Write all of them to this folder as NAME.schema.json.")] = None,
) -> None:
    """Print the schema of one file, or write all of them for your editor (see docs/settings.md)."""
    if into is not None:
        into.mkdir(parents=True, exist_ok=True)
        for name, make in SCHEMAS.items():
            text = json.dumps(make(), indent=1, ensure_ascii=False)
            (into / f"{name.removesuffix('.yaml')}.schema.json").write_text(text + "\n", encoding="utf-8")
            typer.echo(str(into / f"{name.removesuffix('.yaml')}.schema.json"))
        return
    if file not in SCHEMAS:
        raise Misused(f"no schema for {file!r}; there are {', '.join(SCHEMAS)}")
    typer.echo(json.dumps(SCHEMAS[file](), indent=1, ensure_ascii=False))
