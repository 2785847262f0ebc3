"""The commands. Each lives in a module of its own that is imported only when it is called."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from keyword import iskeyword

import typer
from typer.main import get_command

from gateway.cli.options import COMMON_HELP, INVOCATION, Failed, Misused, split
from gateway.loading import unswept

COMMANDS = {
    "serve": "Start the gateway and run until it is told to stop.",
    "demo": "See the product in a minute; mails nobody.",
    "init": "Configuration, systemd unit and web server snippets from a few answers.",
    "check": "Every problem of the configuration at once.",
    "send-test": "One mail by the way that notices take.",
    "reload": "Bring a changed configuration into force, whole or not at all.",
    "schema": "JSON Schema of a configuration file, for editors.",
    "status": "The running gateway on one screen.",
    "tickets": "List, show, answer and resolve tickets.",
    "quarantine": "Messages that could not be read.",
    "prompts": "What a telephone of our own plays: make and list the sounds.",
    "replay": "Process journalled messages again.",
    "outbox": "What waits to go out, and what did not.",
    "incidents": "Outages that are known: open, list, close.",
    "contacts": "By what a person is known: show, link, undo.",
    "tokens": "Tokens of the API.",
    "mail": "Log a mail account in at its provider.",
    "telegram": "Register a bot's webhook and menu; see how it stands.",
    "feeds": "The desk's own ticket stores: propose a mapping, write a test ticket.",
    "import": "Take over the open tickets of a store, so that answers find them.",
    "report": "What a pilot would have said and routed.",
    "journal": "What was taken in, byte for byte.",
    "backup": "A copy of the desk, taken while it runs.",
    "restore": "A desk from a backup; it writes to nobody until it is released.",
    "db": "Copy the database from SQLite to PostgreSQL.",
    "explain": "What a mail means, with no side effect.",
    "route": "Class, line and reasons for messages in a file.",
}
"""Name -> summary. The module is `gateway.cli.<name>` (`_` for `-`, and behind a word of Python's) and its typer
application is `app`."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 failed, 2 wrong usage or configuration."""
    try:
        _run(list(sys.argv[1:] if argv is None else argv))
    except (Failed, Misused) as error:
        typer.echo(f"gateway: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader (head, less) has gone; nothing more can be said on this pipe.
        sys.stderr.close()
        sys.exit(0)


def _run(argv: list[str]) -> None:
    invocation, words = split(argv)
    if not words or words[0] in ("-h", "--help", "help"):
        typer.echo(_help())
        return
    if words[0] == "--version":
        typer.echo(f"gateway {version('intake-gateway')}")
        return
    name = words[0]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else "`gateway --help` lists the commands"
        raise Misused(f"no command {name!r}; {hint}")
    # `import` is no name of a module that an import statement could say.
    module = name.replace("-", "_") + ("_" if iskeyword(name) else "")
    with unswept():
        app: typer.Typer = import_module(f"gateway.cli.{module}").app
    command = get_command(app)
    command.epilog = COMMON_HELP
    INVOCATION.set(invocation)
    command.main(words[1:], prog_name=f"gateway {name}")


def _help() -> str:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items())
    return (
        "Usage: gateway COMMAND [OPTIONS]\n\n"
        "A support intake gateway that loses no message. Start with `gateway demo`, then `gateway serve`.\n\n"
        f"Commands (gateway COMMAND --help says more):\n{listed}\n\n{COMMON_HELP}\n"
        "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration."
    )
