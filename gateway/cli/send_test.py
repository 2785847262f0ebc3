"""`gateway send-test`: one mail by the way that notices take."""

from __future__ import annotations

import asyncio
import secrets
import socket
from datetime import UTC, datetime
from typing import Annotated

import typer

from channels.contract import Parts, Wiring
from channels.registry import CHANNELS
from gateway.cli.options import Failed, Misused, invocation
from gateway.settings import Settings
from gateway.settings_files import load_settings
from normalizer.message import Address, Delivery, Notice, Receipt

app = typer.Typer(add_completion=False)
CHANNEL = "mail"


@app.command()
def send_test(
    address: Annotated[str, typer.Argument(help="Who gets it.")],
    account: Annotated[str, typer.Option(help="The mail account that sends it; none: the first.")] = "",
) -> None:
    """Send one mail to ADDRESS by the account's relay, and say what the relay answered. No ticket knows of it.

    It goes out by itself, whatever waits in the outbox or is held. Exit code 1: it was not taken.
    """
    asked = invocation()
    settings, problems = load_settings(asked.config, overrides=asked.overrides)
    if settings is None:
        raise Misused("\n".join(map(str, problems)))
    accounts = settings.accounts(CHANNEL)
    name = account or next(iter(accounts), "")
    if name not in accounts:
        raise Misused(f"there is no mail account {name!r}; there are: {', '.join(accounts) or 'none'}")
    if "@" not in address:
        raise Misused(f"{address} is no mail address")
    if (said := accounts[name].outbound) != "on":
        key = f"channels.mail.{name}.outbound"
        raise Failed(f"{key} is {said}, so it sends to nobody; for this one mail: --set '{key}=\"on\"'")
    notice = _notice(settings, name, address)
    receipt = asyncio.run(_send(settings, name, notice))
    typer.echo(f"{receipt.delivery.value}: {receipt.detail}")
    if receipt.delivery is not Delivery.SENT:
        raise typer.Exit(1)


def _notice(settings: Settings, name: str, address: str) -> Notice:
    now = datetime.now(UTC)
    endpoints = settings.accounts(CHANNEL)[name].endpoints()
    unique = secrets.token_hex(12)
    return Notice(
        id=int(now.timestamp() * 1000),
        channel=CHANNEL,
        account=name,
        recipient=Address(address=address),
        kind="test",
        language="en",
        subject="Test of the intake gateway",
        text=f"This mail was sent by `gateway send-test` on {socket.gethostname()}. It belongs to no ticket.\n",
        message_id=f"test.{unique}@{endpoints[0].rpartition('@')[2]}",
        created_at=now,
    )


async def _send(settings: Settings, name: str, notice: Notice) -> Receipt:
    var = invocation().var
    wiring = Wiring(
        clock=lambda: datetime.now(UTC),
        spool=var / "spool",
        outgoing=var / "outgoing",
        upload_url="",
        options={"smtp": settings.smtp},
    )
    accounts = {name: settings.accounts(CHANNEL)[name]}
    parts: Parts = CHANNELS[CHANNEL].build(accounts, wiring)
    try:
        return await parts.senders[name].send(notice)
    finally:
        for listener in parts.listeners:
            await listener.stop()
