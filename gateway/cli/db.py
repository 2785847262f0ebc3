"""`gateway db copy`: from SQLite to PostgreSQL; `gateway db compare`: whether both still say the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from gateway.cli.options import Failed, Misused

app = typer.Typer(add_completion=False)


@app.callback()
def db() -> None:
    """Work on the database itself; the server must not be running."""


Source = Annotated[str, typer.Argument(metavar="SQLITE_URL")]
Target = Annotated[str, typer.Argument(metavar="POSTGRES_URL", help="or env:NAME or file:PATH that holds it")]
BlobFolder = Annotated[Path | None, typer.Option("--blobs", help="Folder of big bodies; default: blobs/ beside it.")]


@contextmanager
def _both(source: str, target: str, blobs: Path | None) -> Iterator[tuple[str, Path]]:
    """The address of the target and the folder of blobs, while no server runs on the source. What fails is told."""
    from sqlalchemy.exc import SQLAlchemyError

    from channels.credentials import reveal
    from gateway.store.copying import CannotCopy, Different
    from gateway.store.database import SchemaTooNew, UnsafeDatabase
    from gateway.store.lock import AlreadyRunning, ServerLock
    from gateway.store.postgres_url import is_postgres_url
    from gateway.store.sqlite import database_path

    try:
        address = reveal(SecretStr(target)) if target.startswith(("env:", "file:")) else target
        path = database_path(source)
        if not is_postgres_url(address):
            raise Misused("the second URL is where to copy to: postgresql://user@host/name")
        if not path.is_file():
            raise Misused(f"there is no database {path}")
        with ServerLock(path.parent / "lock"):
            yield address, blobs or path.parent / "blobs"
    except (AlreadyRunning, CannotCopy, Different, SchemaTooNew, UnsafeDatabase) as error:
        raise Failed(str(error)) from error
    except (OSError, KeyError, SQLAlchemyError) as error:
        raise Failed(f"{type(error).__name__}: {error}") from error


@app.command()
def copy(source: Source, target: Target, blobs: BlobFolder = None) -> None:
    """Copy everything into an empty PostgreSQL database, and compare both by counts and digests.

    All or nothing: the target stays empty when anything fails. What was committed is read once more on both sides;
    when they differ by then, it says where and ends with 1: copy again into a fresh database. Afterwards set
    `database.url`, and `secret_key` to `file:` and the path of the old `var/key`, so that links which are out keep
    working.
    """
    from gateway.store import copying

    def show(now: copying.Progress) -> None:
        if now.rows == now.total or now.rows % 10_000 == 0:
            typer.echo(f"{now.table:<14} {now.rows} of {now.total}", err=True)

    with _both(source, target, blobs) as (address, folder):
        report = copying.copy(source, address, blobs=folder, progress=show)
        copying.compare(source, address, blobs=folder)
    for table in report.tables:
        typer.echo(f"{table.table:<14} {table.rows:>9} rows   {table.digest[:16]}   the same on both sides")
    typer.echo(f"{'blobs':<14} {report.blobs:>9}")
    for name in report.missing:
        typer.echo(f"missing in the folder, and so not copied: blob {name}", err=True)


@app.command()
def compare(source: Source, target: Target, blobs: BlobFolder = None) -> None:
    """Is everything still the same on both sides? Says where it is not, and ends with 1. Changes nothing."""
    from gateway.store import copying

    with _both(source, target, blobs) as (address, folder):
        copying.compare(source, address, blobs=folder)
    typer.echo("the same on both sides")
