"""The demo's view of a telephone: Twilio's side of it in a thread of its own; a person writes and reads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.demo.beside import beside
from gateway.demo.desk import PATIENCE, NotInTime, wait_for
from gateway.demo.twilio_api import Network, TwilioApi

SID = "AC" + "d0" * 16
TOKEN = "token-of-the-demo-and-of-no-worth"
OURS, THEIRS = "+380440000001", "+380670000001"


class Telephone:
    """One person's telephone. Use it as `with telephone() as phone`."""

    name = "Олег"

    def __init__(self, api: TwilioApi, loop: asyncio.AbstractEventLoop) -> None:
        self._api, self._loop = api, loop
        self._read = 0

    def account(self, folder: Path) -> Mapping[str, Any]:
        """The settings of our number's account; its token is written into the folder."""
        path = folder / "twilio-token"
        path.write_text(TOKEN, encoding="ascii")
        path.chmod(0o600)
        return {
            "account_sid": SID, "auth_token": f"file:{path}", "numbers": [OURS], "api_url": self._api.url,
            "language": "ru",
        }  # fmt: skip

    def connect(self, site: str) -> None:
        """Tell Twilio where messages to our number go."""
        self._api.network.number(OURS, f"{site}/channels/sms/demo")

    def says(self, text: str) -> None:
        """Write a text message. Raises NotInTime when the gateway does not take it."""
        brought = self._api.network.say(text, sender=THEIRS, to=OURS)
        if not asyncio.run_coroutine_threadsafe(brought, self._loop).result(PATIENCE):
            raise NotInTime(f"the gateway took no text message: {self._api.network.tried[-1:]}")

    def hears(self, part: str) -> str:
        """Wait for the next text message; these words are in it. Raises NotInTime."""
        sent = self._api.sent
        text = wait_for(f"a text message with {part!r}", lambda: sent[self._read].body if sent[self._read :] else None)
        self._read += 1
        if part not in text:
            raise NotInTime(f"{part!r} is not in the text message {text!r}")
        return text


@contextmanager
def telephone() -> Iterator[Telephone]:
    """Twilio's side of one number, on a free port of the loopback, until the end of the block."""
    api = TwilioApi(Network(account_sid=SID, token=TOKEN), numbers={OURS})
    with beside("Twilio's side", api.running()) as loop:
        yield Telephone(api, loop)
