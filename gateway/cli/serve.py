"""`gateway serve`: start everything and run until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import gc
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.options import Failed, Invocation, Misused, invocation
from gateway.loading import unswept
from gateway.settings import Log
from gateway.settings_files import Configuration, ConfigurationError, load

app = typer.Typer(add_completion=False)


@app.command()
def serve(
    yes: Annotated[
        bool, typer.Option("--yes", help="Answer everybody whose mail is in a mailbox at its first start.")
    ] = False,
    held: Annotated[
        bool,
        typer.Option(
            "--held", help="Hold everything first, as in a restored copy: for a desk that is started from a dump."
        ),
    ] = False,
) -> None:
    """Start the gateway. It prints what listens and runs until it is told to stop (SIGTERM, Ctrl-C).

    What is being sent and filed is finished first; everything else is on disk and goes on at the next start.
    """
    asked = invocation()
    try:
        configuration = load(asked.config, overrides=asked.overrides)
    except ConfigurationError as error:
        raise Misused(f"the configuration has faults:\n{error}") from None
    _loop_policy()
    asyncio.run(_serve(configuration, asked, confirmed=yes, held=held))


def _loop_policy() -> None:
    try:
        import uvloop
    except ImportError:  # not on this platform; asyncio's own loop does
        return
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


async def _serve(configuration: Configuration, asked: Invocation, *, confirmed: bool, held: bool) -> None:
    with unswept():
        from gateway.app import CannotStart, Gateway
        from gateway.log import configure

    settings = configuration.settings

    def set_log(wanted: Log) -> None:
        configure(wanted.level, format=wanted.format)

    set_log(settings.log)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    gateway = Gateway(configuration, var=asked.var, confirmed=confirmed, held=held, set_log=set_log)
    recipient = next((endpoint for one in settings.accounts("mail").values() for endpoint in one.endpoints()), "")

    def started(listening: dict[str, str]) -> None:
        # What was made until now stays: without this every full collection would walk all of it again.
        gc.collect()
        gc.freeze()
        _greet(listening, recipient, asked.var)

    try:
        await gateway.run(stop, started=started)
    except CannotStart as error:
        raise Failed(str(error)) from error


def _greet(listening: dict[str, str], recipient: str, var: Path) -> None:
    for name, where in listening.items():
        typer.echo(f"{name:5} listens on {where}")
    typer.echo(f"data in {var.resolve()}, API token in {var / 'token'}, outgoing mail in {var / 'outgoing'}")
    if "smtp" in listening and recipient:
        host, _, port = listening["smtp"].rpartition(":")
        typer.echo("try it, in another terminal: a mail, then what became of it")
        typer.echo(
            f"""  {_python()} -c "import smtplib; smtplib.SMTP('{host}', {port}).sendmail('me@client.example', """
            f"""['{recipient}'], 'From: me@client.example\\nSubject: No toner\\n\\nThe printer prints nothing.')" """
            f"&& sleep 1 && {_program()} tickets list"
        )
    typer.echo(f"the API is described at http://{listening['http']}/api/v1/openapi.json")


def _python() -> str:
    return shlex.quote(os.path.relpath(sys.executable))


def _program() -> str:
    return shlex.quote(os.path.relpath(Path(sys.executable).with_name("gateway")))
