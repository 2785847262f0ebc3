"""`gateway db copy`: from SQLite to PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from gateway.cli.options import Failed, Misused

app = typer.Typer(add_completion=False)


@app.callback()
def db() -> None:
    """Work on the database itself; the server must not be running."""


@app.command()
def copy(
    source: Annotated[str, typer.Argument(metavar="SQLITE_URL")],
    target: Annotated[str, typer.Argument(metavar="POSTGRES_URL", help="or env:NAME or file:PATH that holds it")],
    blobs: Annotated[Path | None, typer.Option(help="Folder of big bodies; default: blobs/ beside the source.")] = None,
) -> None:
    """Copy everything into an empty PostgreSQL database, and compare both by counts and digests.

    All or nothing: the target stays empty when anything fails. Afterwards set `database.url`, and `secret_key` to
    `file:` and the path of the old `var/key`, so that links which are out keep working.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from channels.credentials import reveal
    from gateway.store.copying import CannotCopy, Progress
    from gateway.store.copying import copy as copy_all
    from gateway.store.database import SchemaTooNew, UnsafeDatabase
    from gateway.store.lock import AlreadyRunning, ServerLock
    from gateway.store.postgres_url import is_postgres_url
    from gateway.store.sqlite import database_path

    def show(now: Progress) -> None:
        if now.rows == now.total or now.rows % 10_000 == 0:
            typer.echo(f"{now.table:<14} {now.rows} of {now.total}", err=True)

    try:
        address = reveal(SecretStr(target)) if target.startswith(("env:", "file:")) else target
        path = database_path(source)
        if not is_postgres_url(address):
            raise Misused("the second URL is where to copy to: postgresql://user@host/name")
        if not path.is_file():
            raise Misused(f"there is no database {path}")
        with ServerLock(path.parent / "lock"):
            report = copy_all(source, address, blobs=blobs or path.parent / "blobs", progress=show)
    except (AlreadyRunning, CannotCopy, SchemaTooNew, UnsafeDatabase) as error:
        raise Failed(str(error)) from error
    except (OSError, KeyError, SQLAlchemyError) as error:
        raise Failed(f"{type(error).__name__}: {error}") from error
    for table in report.tables:
        typer.echo(f"{table.table:<14} {table.rows:>9} rows   {table.digest[:16]}   the same on both sides")
    typer.echo(f"{'blobs':<14} {report.blobs:>9}")
    for name in report.missing:
        typer.echo(f"missing in the folder, and so not copied: blob {name}", err=True)
