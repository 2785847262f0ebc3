"""`gateway mail login`: get the first token of an account that logs in with tokens."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import typer

from channels.registry import CHANNELS
from gateway.cli.options import Failed, Misused, invocation
from gateway.settings_files import load_settings

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def mail() -> None:
    """Mail accounts."""


@app.command()
def login(
    account: Annotated[str, typer.Argument(help="Name of the account: channels.mail.ACCOUNT.")],
    only: Annotated[
        Literal["imap", "relay"] | None, typer.Option(help="The mailbox or the relay alone; else both, one by one.")
    ] = None,
) -> None:
    """Log in at the provider with a browser anywhere; the token is written to the file that `refresh_token` names.

    Mailbox and relay that name the same file have one token, and one login.
    """
    asked = invocation()
    # The first token is not there yet: that is what this is for.
    settings, problems = load_settings(asked.config, overrides=asked.overrides, secrets=False)
    if settings is None:
        raise Misused("\n".join(["the configuration has faults:", *map(str, problems)]))
    found, begin = settings.account("mail", account), CHANNELS["mail"].login
    if found is None or begin is None:
        raise Misused(f"no mail account {account!r}; there is {', '.join(settings.accounts('mail')) or 'none'}")
    try:
        paths = asyncio.run(begin(found, typer.echo, only or ""))
    except (RuntimeError, OSError, KeyError) as error:
        raise Failed(f"not logged in: {error}") from error
    typer.echo(f"logged in: {', '.join(map(str, paths))}")
