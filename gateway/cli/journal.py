"""`gateway journal`: what was taken in, byte for byte."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from gateway.cli.options import Failed, Misused, invocation
from gateway.export import FORMS
from gateway.export import export as write_out
from gateway.settings import database_url
from gateway.settings_files import load_settings
from gateway.store.dialect import UnsafeDatabase
from gateway.store.looking import blobs_of, reading_engine

app = typer.Typer(add_completion=False, no_args_is_help=True, help="What was taken in, byte for byte.")


@app.callback()
def journal() -> None:
    """What was taken in, byte for byte."""


class Form(StrEnum):
    """Forms of an export."""

    maildir = "maildir"
    mbox = "mbox"
    jsonl = "jsonl"


@app.command()
def export(
    into: Annotated[Path, typer.Argument(help="A new file, or a new folder for a maildir.")],
    since: Annotated[
        str, typer.Option(help="Accepted from this time on, 2026-03-02T09:30:00Z; none: everything.")
    ] = "",
    until: Annotated[str, typer.Option(help="Accepted before this time.")] = "",
    form: Annotated[Form, typer.Option("--format", help="maildir and mbox hold mail; jsonl holds everything.")] = (
        Form.maildir
    ),
) -> None:
    """Give every byte back that was taken in. It only reads, and works with the gateway running or not.

    Exit code 1: some messages could not be given back; they are named.
    """
    asked = invocation()
    settings, problems = load_settings(asked.config, overrides=asked.overrides)
    if settings is None:
        raise Misused("\n".join(map(str, problems)))
    times = (_time("--since", since), _time("--until", until))
    try:
        url = database_url(settings, asked.var.resolve())
        engine, blobs = reading_engine(url), blobs_of(url, asked.var / "blobs")
        target = FORMS[form.value](into)
        try:
            done = write_out(engine, blobs, target, since=times[0], until=times[1])
        finally:
            target.close()
            engine.dispose()
    except UnsafeDatabase as error:
        raise Failed(str(error)) from None
    except KeyError as error:
        raise Failed(f"the environment has no {error}") from None
    except SQLAlchemyError as error:
        raise Failed(f"the database could not be read: {error}") from None
    except OSError as error:
        raise Failed(f"{error.filename or into}: {error.strerror or error}") from None
    left_out = {
        "not kept any more": done.forgotten,
        "no mail (use --format jsonl)": done.other_formats,
        "damaged": len(done.damaged),
    }
    told = "".join(f", {count} {why}" for why, count in left_out.items() if count)
    typer.echo(f"{into}: {done.written} messages{told}")
    if done.damaged:
        raise Failed(f"damaged entries: {', '.join(map(str, done.damaged[:20]))}")


def _time(option: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Misused(f"{option} {text}: write a time as 2026-03-02T09:30:00Z") from None
    if found.tzinfo is None:
        raise Misused(f"{option} {text}: name the zone, as in {text}Z or {text}+02:00")
    return found
