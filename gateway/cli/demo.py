"""`gateway demo`: the product in a minute, in a temporary folder."""

from __future__ import annotations

import tempfile
from pathlib import Path

import typer

from gateway.cli.options import Failed, invocation

app = typer.Typer(add_completion=False)


@app.command()
def demo() -> None:
    """Start a gateway of its own, send it a dozen mails, answer and rate one; talk to its bot, text and call it.

    It writes to nobody, whatever is configured: mail goes to a folder, and Telegram and Twilio are servers of its own
    on this machine. Everything is in a temporary folder that is removed at the end.
    """
    # Imported here: `gateway demo --help` needs none of it.
    from rich.console import Console

    from gateway.demo.desk import NotInTime
    from gateway.demo.story import tell

    with tempfile.TemporaryDirectory(prefix="gateway-demo-") as folder:
        try:
            tell(Path(folder), invocation().config.resolve(), Console())
        except (NotInTime, OSError) as error:
            raise Failed(f"the demo did not come to its end: {error}") from error
