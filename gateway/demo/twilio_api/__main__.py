"""A telephone network of one's own, to try text messages without an account of Twilio's: one line typed is one message.

    .venv/bin/python -m gateway.demo.twilio_api [--port 8087] [--gateway http://127.0.0.1:8080] [--account main]

It signs what it brings and takes what the gateway sends, as Twilio does, on loopback alone; nobody is written to.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import typer

from gateway.demo.phone import OURS, SID, THEIRS, TOKEN
from gateway.demo.twilio_api import Network, TwilioApi
from gateway.demo.twilio_api.messages import Message

LOOK = 0.2
"""Seconds between two looks at what was sent."""
HOW = """\
{url} is Twilio now. In another terminal, with a channel's settings given for one run:

  printf %s {token} > twilio-token && chmod 600 twilio-token
  .venv/bin/gateway serve --set 'channels.sms.{account}={{account_sid: {sid}, auth_token: "file:{token_file}", \
numbers: ["{ours}"], api_url: "{url}"}}'

Then write here: each line is a text message from {theirs}. An empty line ends it.
"""


async def _shown(sent: list[Message]) -> None:
    """Print what the gateway sends, for ever."""
    told = 0
    while True:
        for one in sent[told:]:
            typer.echo(f"  {one.sender} -> {one.to}: {one.body}")
            told += 1
        await asyncio.sleep(LOOK)


async def talk(port: int, gateway: str, account: str) -> None:
    """Serve until the end of the input or an empty line."""
    network = Network(account_sid=SID, token=TOKEN)
    network.number(OURS, f"{gateway.rstrip('/')}/channels/sms/{account}#rc=3&rp=all")
    api = TwilioApi(network, port=port)
    async with api.running():
        place = {"token_file": str(Path.cwd() / "twilio-token"), "sid": SID, "token": TOKEN, "account": account}
        typer.echo(HOW.format(url=api.url, ours=OURS, theirs=THEIRS, **place))
        showing = asyncio.create_task(_shown(api.sent))
        try:
            while text := (await asyncio.to_thread(sys.stdin.readline)).strip():
                if not await network.say(text, sender=THEIRS, to=OURS):
                    typer.echo(f"  not taken: {network.tried[-1].status or 'nobody answers'}")
        finally:
            showing.cancel()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m gateway.demo.twilio_api", description="Twilio's side of one number"
    )
    parser.add_argument("--port", type=int, default=8087, help="where its API listens, on loopback; 0: any free one")
    parser.add_argument("--gateway", default="http://127.0.0.1:8080", help="where the gateway listens")
    parser.add_argument("--account", default="main", help="channels.sms.ACCOUNT")
    given = parser.parse_args()
    asyncio.run(talk(given.port, given.gateway, given.account))


if __name__ == "__main__":
    main()
