"""A whole gateway that texts and is texted: its numbers are at a stand-in of Twilio's, and people read what arrives."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.demo.twilio_api import Network, TwilioApi
from tests.mailboxes.desk import Running, running
from tests.twilio.provider import ANNA, ANSWERED, OURS, ROOM, SID, TOKEN
from tests.twilio.standin import standin

OTHER = "+380440000002"
"""Another number of ours."""
MAIL = {"addresses": ["support@desk.example"], "from": {"name": "Support", "address": "support@desk.example"}}
QUICK = ("outbox.chat_acknowledgement_delay=0s", "outbox.debounce=0s")


@dataclass
class Exchange:
    """What people say, what they get, and what the desk does."""

    network: Network
    api: TwilioApi
    gateway: Running
    var: Path
    _read: dict[str, int] = field(default_factory=dict)

    async def says(self, text: str, *, sender: str = ANNA, to: str = OURS, channel: str = "sms", **more: str) -> None:
        """Somebody writes, and we have it."""
        prefix = "whatsapp:" if channel == "whatsapp" else ""
        # A number of ours is told one address a channel; people choose the channel with each message.
        self.network.number(to, f"http://{self.gateway.listening['http']}/channels/{channel}/main")
        assert await self.network.say(text, sender=prefix + sender, to=prefix + to, **more)

    def got(self, person: str = ANNA) -> list[str]:
        """Every text that went to somebody, by whatever channel of Twilio's."""
        return [one.body for one in self.api.sent if one.to.removeprefix("whatsapp:") == person]

    async def reads(self, part: str, person: str = ANNA) -> str:
        """Wait for the next text to somebody; this stands in it."""
        place = self._read.get(person, 0)
        await self.gateway.until(lambda: len(self.got(person)) > place, f"a text with {part!r}")
        self._read[person] = place + 1
        text = self.got(person)[place]
        assert part in text, (text, self.got(person))
        return text

    def unread(self, person: str = ANNA) -> list[str]:
        """What came since."""
        return self.got(person)[self._read.get(person, 0) :]

    async def settled(self) -> None:
        """Wait until everything that came is filed and everything that is due has gone out."""
        waiting = "SELECT count(*) FROM outbox WHERE state IN ('waiting', 'sending')"
        pending = "SELECT count(*) FROM entry WHERE state NOT IN ('done', 'quarantined')"
        store = self.gateway.store
        await self.gateway.until(lambda: not store.one(pending) and not store.one(waiting), "quiet")
        assert not store.one("SELECT count(*) FROM entry WHERE state = 'quarantined'")

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The API, as staff."""
        allowed = {"Authorization": f"Bearer {(self.var / 'token').read_text().strip()}"}
        url = f"http://{self.gateway.listening['http']}/api/v1{path}"
        async with aiohttp.ClientSession(headers=allowed) as http, http.request(method, url, json=body) as answer:
            said = await answer.json()
            assert answer.status < 300, said
            return said

    async def ticket(self, count: int = 1) -> Any:
        """The newest ticket of so many, as the API shows it."""
        await self.gateway.tickets(count)
        number = self.gateway.store.one("SELECT number FROM ticket ORDER BY id DESC LIMIT 1")
        return await self.call("GET", f"/tickets/{number}")

    async def resolve(self, number: str) -> None:
        await self.call("POST", f"/tickets/{number}/resolve", {"result": "заменили кабель"})

    def votes(self) -> list[tuple[int, str, bool]]:
        """(score, comment, whether it counts), in order."""
        rows = self.gateway.store.rows("SELECT score, comment, current FROM rating ORDER BY id")
        return [(score, comment, bool(current)) for score, comment, current in rows]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """What staff see of this kind, in any ticket."""
        rows = self.gateway.store.rows("SELECT data FROM event WHERE kind = ? ORDER BY id", kind)
        return [json.loads(data) for (data,) in rows]

    def mails(self) -> list[tuple[str, str]]:
        """(template, recipient) of notices that went by mail."""
        return self.gateway.store.rows("SELECT template, recipient FROM outbox WHERE channel = 'mail' ORDER BY id")

    def also_by_mail(self, address: str, number: str = ANNA) -> None:
        """Staff know that the person with this number has an address, too."""
        contact = self.gateway.store.one("SELECT contact_id FROM identity WHERE value = ?", number)
        self.gateway.store.change(f"INSERT INTO identity VALUES ('mail', '{address}', {contact})")


@asynccontextmanager
async def exchange(var: Path, monkeypatch: pytest.MonkeyPatch, *more: str, **account: Any) -> AsyncIterator[Exchange]:
    """Two numbers of ours, for text messages and WhatsApp, with what goes out sent."""
    monkeypatch.setenv("TWILIO_TOKEN", TOKEN)
    network = Network(account_sid=SID, token=TOKEN, timeout=ANSWERED)
    async with standin(network, numbers=(OURS, OTHER)) as api:
        said = {
            "account_sid": SID, "auth_token": "env:TWILIO_TOKEN", "numbers": [OURS, OTHER], "language": "ru",
            "api_url": api.url, "timeout": "50s", **account,
        }  # fmt: skip
        accounts = {"mail": {"support": MAIL}, "sms": {"main": said}, "whatsapp": {"main": said}}
        settings = ("smtp.port=0", "http.port=0", f"channels={json.dumps(accounts)}", *QUICK, ROOM, *more)
        async with running(var, settings) as gateway:
            for number in (OURS, OTHER):
                network.number(number, f"http://{gateway.listening['http']}/channels/sms/main")
            yield Exchange(network, api, gateway, var)
