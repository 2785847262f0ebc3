"""`gateway feeds`: the ticket stores that the desk already has, before they are trusted with tickets."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import asdict
from datetime import UTC, datetime
from random import Random
from typing import Annotated

import typer
from pydantic import ValidationError

from gateway.cli.options import Failed, Misused, invocation
from gateway.cli.shown import AsJson, table
from gateway.feeds.contract import Feed, FeedError, Inspects
from gateway.feeds.kind import Wiring
from gateway.feeds.settings import FeedSettings
from gateway.settings import Settings
from gateway.settings_files import ConfigurationError, load

app = typer.Typer(add_completion=False, no_args_is_help=True, help="The desk's own ticket stores.")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every configured feed: its kind, and whose tickets go there. `gateway status` shows how they fare."""
    feeds = _settings().feeds
    if as_json:
        typer.echo(json.dumps([{"name": name, "kind": each.kind} for name, each in feeds.items()]))
        return
    rows = (
        (name, each.kind, list(each.contracts) or "all others", each.push, each.read) for name, each in feeds.items()
    )
    table(("name", "kind", "contracts", "push", "read"), rows, empty="No feeds; docs/feeds says how to describe one.")


@app.command("try")
def try_(
    name: Annotated[str, typer.Argument(help="Name of the feed, as in the configuration.")],
    address: Annotated[
        str, typer.Option(help="The test's requester: an address that nobody reads.")
    ] = "intake-test@desk.example",
    as_json: AsJson = False,
) -> None:
    """Write one test ticket, read it back and close it, each step on a line. Exit code 1: a step did not work.

    The store may write to the requester of the test: `gateway check --online` warns where it would.
    """
    settings = _settings()
    if name not in settings.feeds:
        raise Misused(f"no feed {name!r}; configured are: {', '.join(settings.feeds) or 'none'}")
    if not asyncio.run(_try(settings, name, address, as_json=as_json)):
        raise typer.Exit(1)


async def _try(settings: Settings, name: str, address: str, *, as_json: bool) -> bool:
    from gateway.feeds.trying import Trial

    feed, good = _built(name, settings.feeds[name], public_url=settings.http.public_url), True
    try:
        await feed.open()
        now = datetime.now(UTC)
        trial = Trial(feed, settings.feeds[name], now=now, token=secrets.token_hex(4), address=address)
        async for step in trial.run():
            good = good and step.good
            state = "good" if step.good else "TROUBLE"
            said = f"{state:<8} {step.what}" + (f": {step.detail}" if step.detail else "")
            typer.echo(json.dumps(asdict(step), ensure_ascii=False) if as_json else said)
    finally:
        await feed.close()
    return good


@app.command()
def inspect(
    url: Annotated[
        str, typer.Argument(help="Of the database: sqlite:///desk.db, mysql+pymysql://…, postgresql://…, env:NAME.")
    ],
) -> None:
    """Look at an existing database and propose the settings of a feed: YAML, with what was guessed and why.

    Reads names, types and a few values; writes nothing.
    """
    from gateway.feeds.registry import FEEDS

    kind = FEEDS["sql"]
    try:
        settings = kind.settings.model_validate({"kind": "sql", "url": url})
    except ValidationError as error:
        said = (
            each["msg"].removeprefix("Value error, ") for each in error.errors(include_url=False, include_input=False)
        )
        raise Misused("; ".join(said)) from None
    feed = _built("inspect", settings, public_url="")
    try:
        typer.echo(asyncio.run(_proposed(feed)))
    except FeedError as error:
        raise Failed(f"it cannot be looked at: {error}") from None


async def _proposed(feed: Feed) -> str:
    if not isinstance(feed, Inspects):
        raise FeedError("nothing can be proposed for this kind of store")
    try:
        await feed.open()
        return await feed.propose()
    finally:
        await feed.close()


def _settings() -> Settings:
    asked = invocation()
    try:
        return load(asked.config, overrides=asked.overrides).settings
    except ConfigurationError as error:
        raise Misused("\n".join(map(str, error.problems))) from None


def _built(name: str, chosen: FeedSettings, *, public_url: str) -> Feed:
    from gateway.feeds.registry import FEEDS

    wiring = Wiring(clock=lambda: datetime.now(UTC), random=Random(), public_url=public_url)
    try:
        return FEEDS[chosen.kind].build(name, chosen, wiring)
    except (KeyError, OSError, ValueError) as error:
        raise Misused(f"feeds.{name}: a secret is not there, or is none: {error}") from None
