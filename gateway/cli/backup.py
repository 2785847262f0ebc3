"""`gateway backup`: a copy of the desk, taken while it runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.backup import BackupError, take
from gateway.backup_sources import source_of
from gateway.cli.options import Failed, Misused, invocation
from gateway.settings import Settings, database_url
from gateway.settings_files import load_settings, secret_files
from gateway.store.dialect import UnsafeDatabase

app = typer.Typer(add_completion=False)


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="A new folder for this backup.")],
    without_key: Annotated[
        bool,
        typer.Option("--without-key", help="Leave var/key out: keep it elsewhere, or links that people were sent end."),
    ] = False,
) -> None:
    """Back up the database, the blobs and the configuration (no secrets), with the digest of every file.

    It only reads, so the gateway may run meanwhile. Exit code 1: not made, or a blob is damaged.
    """
    asked = invocation()
    settings, problems = load_settings(asked.config, overrides=asked.overrides)
    if settings is None:
        raise Misused("\n".join(map(str, problems)))
    try:
        done = take(
            folder,
            source=source_of(database_url(settings, asked.var.resolve()), asked.var / "blobs"),
            key=None if without_key else _key(settings, asked.var),
            config=asked.config,
            secrets=secret_files(settings),
            now=datetime.now(UTC),
        )
    except (BackupError, UnsafeDatabase) as error:
        raise Failed(str(error)) from None
    except KeyError as error:
        raise Failed(f"the environment has no {error}") from None
    except OSError as error:
        raise Failed(f"{error.filename or folder}: {error.strerror}") from None
    typer.echo(f"{done.folder}: {done.size / 1024**2:.1f} MB, {done.blobs} blobs")
    if done.damaged:
        names = ", ".join(done.damaged[:5])
        raise Failed(f"{len(done.damaged)} blobs are missing or damaged in {asked.var / 'blobs'}: {names}")


def _key(settings: Settings, var: Path) -> Path | None:
    """The file of the key, wherever it is; None where it comes from the environment."""
    kind, _, name = settings.secret_key.partition(":")
    if kind == "env":
        typer.echo(
            f"secret_key comes from the environment ({name}) and is not in the backup: keep it elsewhere", err=True
        )
        return None
    return Path(name) if kind == "file" else var / "key"
