"""`gateway serve`: start everything and run until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import typer

from gateway.cli.options import Failed, Invocation, Misused, invocation
from gateway.settings_files import Configuration, ConfigurationError, load

app = typer.Typer(add_completion=False)


@app.command()
def serve() -> None:
    """Start the gateway. It prints what listens and runs until it is told to stop (SIGTERM, Ctrl-C).

    What is being sent and filed is finished first; everything else is on disk and goes on at the next start.
    """
    asked = invocation()
    try:
        configuration = load(asked.config, overrides=asked.overrides)
    except ConfigurationError as error:
        raise Misused(f"the configuration has faults:\n{error}") from None
    _loop_policy()
    asyncio.run(_serve(configuration, asked))


def _loop_policy() -> None:
    try:
        import uvloop
    except ImportError:  # not on this platform; asyncio's own loop does
        return
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


async def _serve(configuration: Configuration, asked: Invocation) -> None:
    from gateway.app import CannotStart, Gateway
    from gateway.log import configure

    settings = configuration.settings
    configure(settings.log.level, format=settings.log.format)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    gateway = Gateway(configuration, var=asked.var)
    try:
        await gateway.run(stop, started=lambda listening: _greet(gateway, listening, asked.var))
    except CannotStart as error:
        raise Failed(str(error)) from error


def _greet(gateway: object, listening: dict[str, str], var: Path) -> None:
    for name, where in listening.items():
        typer.echo(f"{name:5} listens on {where}")
    smtp, http = listening.get("smtp", ""), listening.get("http", "")
    host, _, port = smtp.rpartition(":")
    typer.echo(f"data in {var.resolve()}, API token in {var / 'token'}, outgoing mail in {var / 'outgoing'}")
    typer.echo("try it (a mail, then what became of it):")
    typer.echo(
        f"  curl -s smtp://{host}:{port} --mail-from me@client.example --mail-rcpt support@desk.example "
        r"""-T <(printf 'From: me@client.example\nSubject: The printer is broken\n\nIt prints nothing.\n')"""
        " && sleep 1 && gateway tickets list"
    )
    typer.echo(f"  http://{http}/api/v1/openapi.json describes the API")
