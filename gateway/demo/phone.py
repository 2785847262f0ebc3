"""The demo's view of two telephones: Twilio's side in a thread of its own; one person writes and reads, one calls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.demo.beside import beside
from gateway.demo.desk import PATIENCE, NotInTime, wait_for
from gateway.demo.twilio_api import Call, Network, Person, Telephony, TwilioApi
from gateway.demo.twilio_api.calls_person import Doing

SID = "AC" + "d0" * 16
TOKEN = "token-of-the-demo-and-of-no-worth"
OURS, THEIRS, CALLER = "+380440000001", "+380670000001", "+380670000002"


class Telephone:
    """Telephones of two people. Use it as `with telephone() as phone`."""

    name, caller = "Олег", "Ганна"
    """Who writes from `THEIRS`, and who calls from `CALLER`."""

    def __init__(self, api: TwilioApi, telephony: Telephony, loop: asyncio.AbstractEventLoop) -> None:
        self._api, self._telephony, self._loop = api, telephony, loop
        self._read: Counter[str] = Counter()

    def account(self, folder: Path) -> Mapping[str, Any]:
        """The settings of our number, for text messages and for calls; its token is written into the folder."""
        path = folder / "twilio-token"
        path.write_text(TOKEN, encoding="ascii")
        path.chmod(0o600)
        return {
            "account_sid": SID, "auth_token": f"file:{path}", "numbers": [OURS], "api_url": self._api.url,
            "language": "ru",
        }  # fmt: skip

    def connect(self, site: str) -> None:
        """Tell Twilio where messages and calls to our number go."""
        self._api.network.number(OURS, f"{site}/channels/sms/demo")
        url = f"{site}/channels/voice/demo"
        self._telephony.recordings.api_url = self._api.url
        self._telephony.number(OURS, url, fallback=url, status_url=f"{url}/status")

    def calls(self, *doings: Doing) -> Call:
        """Call our number and do this; it is over when this returns."""
        called = self._telephony.call(Person(doings=doings), sender=CALLER, to=OURS)
        return asyncio.run_coroutine_threadsafe(called, self._loop).result(PATIENCE)

    def says(self, text: str) -> None:
        """Write a text message. Raises NotInTime when the gateway does not take it."""
        brought = self._api.network.say(text, sender=THEIRS, to=OURS)
        if not asyncio.run_coroutine_threadsafe(brought, self._loop).result(PATIENCE):
            raise NotInTime(f"the gateway took no text message: {self._api.network.tried[-1:]}")

    def hears(self, part: str, number: str = THEIRS) -> str:
        """Wait for the next text message to this number; these words are in it. Raises NotInTime."""

        def look() -> str | None:
            sent = [one.body for one in self._api.sent if one.to == number][self._read[number] :]
            return sent[0] if sent else None

        text = wait_for(f"a text message with {part!r}", look)
        self._read[number] += 1
        if part not in text:
            raise NotInTime(f"{part!r} is not in the text message {text!r}")
        return text


@contextmanager
def telephone() -> Iterator[Telephone]:
    """Twilio's side of one number, on a free port of the loopback, until the end of the block."""
    telephony = Telephony(network=Network(account_sid=SID, token=TOKEN))
    api = TwilioApi(telephony.network, more=telephony.routes(), numbers={OURS})
    with beside("Twilio's side", api.running()) as loop:
        yield Telephone(api, telephony, loop)
