"""`gateway telegram setup|status`: tell Telegram how updates shall come, and see how a bot stands."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from channels.contract import Surroundings
from channels.registry import CHANNELS, Menu
from gateway.cli.options import Failed, Misused, invocation
from gateway.settings_files import Configuration, ConfigurationError, load

app = typer.Typer(add_completion=False, no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Name of the account: channels.telegram.ACCOUNT.", metavar="ACCOUNT")]
COMMAND = "command_"
"""What the names of the menu's words begin with in `pages.yaml`."""


@app.callback()
def telegram() -> None:
    """Telegram bots."""


@app.command()
def setup(account: Name) -> None:
    """Register the webhook (mode: webhook) or remove it (mode: polling), and set the menu of commands."""
    loaded, found = _account(account)
    begin = CHANNELS["telegram"].setup
    assert begin is not None
    public_url = loaded.settings.http.public_url
    try:
        asyncio.run(begin(account, found, public_url, menu(loaded), typer.echo))
    except (RuntimeError, OSError, KeyError) as error:
        raise Failed(f"not set up: {error}") from error


@app.command()
def status(account: Name) -> None:
    """The token, how updates come, how many wait, and the last error. Changes nothing; exit code 1 for trouble."""
    _, found = _account(account)
    look = CHANNELS["telegram"].online
    assert look is not None
    findings = asyncio.run(_looked(look({account: found}, Surroundings(clock=lambda: datetime.now(UTC)))))
    for each in findings:
        typer.echo(f"{'TROUBLE' if each.trouble else 'good':<8} {each.what}: {each.trouble or each.good}")
    if any(each.trouble for each in findings):
        raise typer.Exit(1)


async def _looked(looking: Any) -> Any:
    return await looking


def menu(loaded: Configuration) -> Menu:
    """The commands of a bot's menu in each language, as the texts have them."""
    return {
        language: [(key.removeprefix(COMMAND), said) for key, said in words.items() if key.startswith(COMMAND)]
        for language, words in loaded.texts.pages.items()
    }


def _account(name: str) -> tuple[Configuration, Any]:
    """The configuration and the account. Raises Misused when there is none of this name."""
    asked = invocation()
    try:
        loaded = load(asked.config, overrides=asked.overrides)
    except ConfigurationError as error:
        raise Misused(f"the configuration has faults:\n{error}") from None
    found = loaded.settings.account("telegram", name)
    if found is None:
        there = ", ".join(loaded.settings.accounts("telegram")) or "none"
        raise Misused(f"no telegram account {name!r}; there is {there}")
    return loaded, found
