"""`gateway check`: every problem of the configuration at once."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from channels.speech import Speaks
from gateway import call_hours, operators
from gateway.cli.options import Invocation, invocation
from gateway.settings import Settings
from gateway.settings_files import Configuration, ConfigurationError, load

app = typer.Typer(add_completion=False)


@app.command()
def check(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per problem and line.")] = False,
    online: Annotated[
        bool, typer.Option("--online", help="Then try relays, mailboxes, clock, disk and folders; changes nothing.")
    ] = False,
) -> None:
    """Read the whole configuration and list every fault as file:line:column: key: what would be right.

    Exit code 0: no fault. 2: faults, all of them listed. 1: with --online, something is not as it should be.
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
    settings = loaded.settings
    found = (*operators.gaps(settings), *_unknown_addresses(settings), *_lacking(settings), *_without_zone(loaded))
    for gap in found:
        # Nothing that keeps the gateway from running; but somebody should know before the first trouble.
        typer.echo(json.dumps({"missing": gap}) if as_json else f"missing: {gap}", err=not as_json)
    if online:
        _try_all(loaded, asked, as_json=as_json)


def _unknown_addresses(settings: Settings) -> list[str]:
    """Accounts whose far side cannot know where we are."""
    if settings.http.public_url:
        return []
    wanting = [
        f"{channel}/{name}"
        for channel, accounts in settings.channels.items()
        for name, account in accounts.items()
        if account.wants_public_url()
    ]
    said = "who calls us signs the address that they called; without it nothing that they bring is believed"
    return [f"http.public_url: {', '.join(wanting)}: {said}"] if wanting else []


def _lacking(settings: Settings) -> list[str]:
    """What accounts need on this machine."""
    return [
        f"channels.{channel}.{name}: {lack}"
        for channel, accounts in settings.channels.items()
        for name, account in accounts.items()
        if isinstance(account, Speaks)
        for lack in account.lacks()
    ]


def _without_zone(loaded: Configuration) -> list[str]:
    """Accounts that call people by day, and do not say where it is day."""
    if not (loaded.surveys.enabled and loaded.surveys.calls):
        return []
    return [
        f"channels.voice.{name}.timezone: calls that ask for a mark go out from {call_hours.BEGINS:%H:%M} to "
        f"{call_hours.ENDS:%H:%M} in UTC, where no contract says another zone; write the desk's, such as Europe/Kyiv"
        for name, account in loaded.settings.accounts("voice").items()
        if account.most_a_day() is not None and account.outbound == "on" and "timezone" not in account.model_fields_set
    ]


def _try_all(loaded: Configuration, asked: Invocation, *, as_json: bool) -> None:
    from gateway.online import Place, look

    place = Place(settings=loaded.settings, config=asked.config, var=asked.var, clock=lambda: datetime.now(UTC))
    found = asyncio.run(look(place))
    for each in found:
        state = "TROUBLE" if each.trouble else "good"
        typer.echo(json.dumps(asdict(each)) if as_json else f"{state:<8} {each.what}: {each.trouble or each.good}")
    if any(each.trouble for each in found):
        raise typer.Exit(1)
