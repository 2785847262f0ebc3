"""`gateway restore`: a desk from a backup; it writes to nobody until it is released."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.backup import BackupError
from gateway.cli.options import Failed, Misused, invocation
from gateway.restore import Numbering
from gateway.restore import restore as bring_back
from gateway.settings import database_url
from gateway.settings_files import load_settings
from gateway.store.dialect import UnsafeDatabase
from gateway.store.lock import AlreadyRunning
from gateway.store.migrate import SchemaTooNew
from gateway.store.postgres_url import is_postgres_url
from gateway.store.sqlite import database_path

app = typer.Typer(add_completion=False)


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="The folder that `gateway backup` made.")],
    skip: Annotated[
        int | None,
        typer.Option(min=1, help="Ids to leave out; none: ten times the busiest day for each day since the backup."),
    ] = None,
    config_into: Annotated[
        Path | None, typer.Option(help="Write the backed up configuration into this new folder, and use it.")
    ] = None,
) -> None:
    """Verify a backup and restore it to --var, which must hold no desk.

    The restored desk files what is sent to it, sends nothing, and reads no mailbox, bot or store until `gateway outbox
    release`.
    """
    asked = invocation()
    config = asked.config if config_into is None else _configuration(folder, config_into)
    settings, problems = load_settings(config, overrides=asked.overrides)
    if settings is None:
        raise Misused("\n".join(map(str, problems)))
    numbers = settings.numbers
    try:
        url = database_url(settings, asked.var.resolve())
        elsewhere = is_postgres_url(url)
    except UnsafeDatabase as error:
        raise Failed(str(error)) from None
    except KeyError as error:
        raise Failed(f"the environment has no {error}") from None
    except OSError as error:
        raise Failed(f"{error.filename}: {error.strerror}") from None
    if elsewhere:
        raise Failed(
            "restore to a folder first, with `--set database.url=` (empty: SQLite in --var), then "
            "`gateway db copy sqlite:///VAR/gateway.db postgresql://…` into a fresh database; it stays held"
        )
    try:
        done = bring_back(
            folder,
            var=asked.var,
            database=database_path(url),
            numbering=Numbering(first_digit=numbers.first_digit, width=numbers.width),
            skip=skip,
            now=datetime.now(UTC),
        )
    except (BackupError, AlreadyRunning, SchemaTooNew, UnsafeDatabase) as error:
        raise Failed(str(error)) from None
    except OSError as error:
        raise Failed(f"{error.filename or asked.var}: {error.strerror}") from None
    typer.echo(
        f"{asked.var}: {done.tickets} tickets and {done.blobs} blobs as of {done.made_at:%Y-%m-%d %H:%M} UTC; "
        f"the next ticket is #{done.next_number}"
    )
    if not settings.secret_key and not (asked.var / "key").exists():
        typer.echo(
            f"There is no key in this backup: put the lost desk's at {asked.var / 'key'} (mode 600) before the first "
            "start, or links in what waits lead nowhere, and logins by tokens (oauth) begin anew."
        )
    typer.echo(
        f"Nothing goes out and nothing is read at far sides: {done.waiting} notices wait. "
        "Start it with `gateway serve`, look at `gateway outbox list --state waiting`, then `gateway outbox release` "
        "(or release --drop-waiting)."
    )


def _configuration(folder: Path, target: Path) -> Path:
    if target.exists():
        raise Failed(f"{target} is there already; name a new folder")
    try:
        shutil.copytree(folder / "config", target)
    except OSError as error:
        raise Failed(f"{folder / 'config'}: {error}") from None
    return target
