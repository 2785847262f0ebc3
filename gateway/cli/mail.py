"""`gateway mail login`: get the first token of an account that logs in with tokens."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from channels.registry import CHANNELS
from gateway.cli.options import Failed, Misused, invocation
from gateway.settings_files import ConfigurationError, load

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def mail() -> None:
    """Mail accounts."""


@app.command()
def login(account: Annotated[str, typer.Argument(help="Name of the account: channels.mail.ACCOUNT.")]) -> None:
    """Log in at the provider with a browser anywhere; the token is written to the file that `refresh_token` names."""
    asked = invocation()
    try:
        settings = load(asked.config, overrides=asked.overrides).settings
    except ConfigurationError as error:
        raise Misused(f"the configuration has faults:\n{error}") from None
    found, begin = settings.account("mail", account), CHANNELS["mail"].login
    if found is None or begin is None:
        raise Misused(f"no mail account {account!r}; there is {', '.join(settings.accounts('mail')) or 'none'}")
    try:
        path = asyncio.run(begin(found, typer.echo))
    except (RuntimeError, OSError, KeyError) as error:
        raise Failed(f"not logged in: {error}") from error
    typer.echo(f"logged in; the token is in {path}")
