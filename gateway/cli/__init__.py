"""The commands. Each lives in a module of its own that is imported only when it is called."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, NamedTuple

import click
import typer
from typer.main import get_command

from gateway.cli.options import Failed, Misused, common_options


class _Place(NamedTuple):
    module: str
    attribute: str
    summary: str


COMMANDS = {
    "serve": _Place("gateway.cli.serve", "app", "Start the gateway and run until it is told to stop."),
    "check": _Place("gateway.cli.check", "app", "Every problem of the configuration at once."),
    "demo": _Place("gateway.cli.demo", "app", "See the product in a minute; mails nobody."),
    "status": _Place("gateway.cli.status", "app", "The running gateway on one screen."),
    "tickets": _Place("gateway.cli.tickets", "app", "List, show, answer and resolve tickets."),
    "quarantine": _Place("gateway.cli.quarantine", "app", "Messages that could not be read."),
    "replay": _Place("gateway.cli.replay", "app", "Process journalled messages again."),
    "outbox": _Place("gateway.cli.outbox", "app", "What waits to go out, and what did not."),
    "tokens": _Place("gateway.cli.tokens", "app", "Tokens of the API."),
    "explain": _Place("gateway.cli.explain", "app", "What a mail means, with no side effect."),
    "route": _Place("gateway.cli.route", "app", "Class, line and reasons for messages in a file."),
    "schema": _Place("gateway.cli.schema", "app", "JSON Schema of a configuration file, for editors."),
}


class Commands(click.Group):
    """The table above as a click group."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module and give it the options that every command takes."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        found: Any = getattr(import_module(place.module), place.attribute)
        command = get_command(found) if isinstance(found, typer.Typer) else found
        command.name = cmd_name
        return common_options(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list, without importing a module for each line."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.summary) for name, place in COMMANDS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="intake-gateway", prog_name="gateway")
def cli() -> None:
    """A support intake gateway that loses no message.

    Mail comes in, becomes a ticket with a class, a line and deadlines, is answered, resolved and rated.
    Start with `gateway demo`, then `gateway serve`.
    """


def main() -> None:
    """Run a command. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration."""
    try:
        cli.main(prog_name="gateway", standalone_mode=True)
    except (Failed, Misused) as error:
        print(f"gateway: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
