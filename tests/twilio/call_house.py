"""A whole gateway with a number that can be called, a policy of its own, and people who call it."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.demo.twilio_api import Call, Manner, Network, Person, Telephony, TwilioApi
from gateway.demo.twilio_api.calls_person import Doing, Rung
from tests.mailboxes.desk import ROOT, Running, running
from tests.twilio.provider import ANNA, ANSWERED, HELD, OURS, ROOM, SID, TOKEN, until_there

LISTED, DUTY, DESK = "+380670000077", "+380670000099", "+380440000009"
"""A number of the contract, its engineer on duty, the desk."""
CONTRACT = f"""
contracts:
  acme:
    name: Acme
    covers: {{domains: [acme.example], phones: ["{LISTED}"]}}
    calendar: now
    emergency_phone: "{DUTY}"
    classes: {{3: {{reaction: 15m}}}}
"""
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def calendars(*, is_open: bool, now: datetime | None = None) -> str:
    """The desk's hours, whenever this runs."""
    day = ((now or datetime.now(UTC)) + timedelta(days=3)).weekday()
    week = 'mon-sun: "00:00-24:00"' if is_open else f'{DAYS[day]}: "10:00-11:00"'
    return f"default: now\ncalendars:\n  now:\n    zone: Europe/Kyiv\n    week:\n      {week}\n"


@dataclass(kw_only=True)
class House:
    """The gateway, the provider, and those who call."""

    telephony: Telephony
    gateway: Running
    api: TwilioApi
    var: Path
    url: str
    manner: Manner = field(default_factory=Manner)

    async def call(self, *doings: Doing, sender: str = ANNA, rung: tuple[Rung, ...] = (), **more: Any) -> Call:
        """Somebody calls; what is held stays held."""
        person = Person(doings=doings, rung=rung, **more)
        made = await self.telephony.call(person, sender=sender, to=OURS, manner=self.manner)
        assert made.codes == [], made.errors
        return made

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self.gateway.store.rows(query, *values)

    def one(self, query: str, *values: object) -> Any:
        return self.gateway.store.one(query, *values)

    async def outcomes(self, *wanted: str) -> None:
        """Wait for these outcomes of all calls that are over, in their order."""
        query = "SELECT outcome FROM call WHERE ended_at IS NOT NULL ORDER BY id"
        await until_there(lambda: [row[0] for row in self.rows(query)], [*wanted], f"outcomes {wanted}")

    async def post(self, path: str, **body: Any) -> dict[str, Any]:
        """Ask the API for something, as an administrator."""
        allowed = {"Authorization": f"Bearer {(self.var / 'token').read_text().strip()}"}
        url = f"http://{self.gateway.listening['http']}/api/v1{path}"
        async with aiohttp.ClientSession(headers=allowed) as http, http.post(url, json=body) as answer:
            assert answer.status < 300, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found

    def texts_to(self, number: str) -> list[str]:
        """Text messages that the provider was given for a number."""
        return [sent.body for sent in self.api.messages.made if sent.to == number]


@asynccontextmanager
async def house(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str, is_open: bool = True, status: bool = True,
    files: Mapping[str, str] | None = None, sms: Mapping[str, Any] | None = None, **account: Any,
) -> AsyncIterator[House]:  # fmt: skip
    """`files`: of the configuration, beside contracts and hours. `sms`: settings of an account for text messages."""
    config = folder / "config"
    if not config.exists():
        shutil.copytree(ROOT / "config", config)
    given = {"contracts.yaml": CONTRACT, "calendars.yaml": calendars(is_open=is_open), **(files or {})}
    for name, content in given.items():
        (config / name).write_text(content, encoding="utf-8")
    monkeypatch.setattr("tests.mailboxes.desk.ROOT", folder)
    monkeypatch.setenv("TWILIO_TOKEN", TOKEN)
    # A machine that is busy with other tests is not what is tested.
    monkeypatch.setattr("gateway.calls.WITHIN", HELD)
    telephony = Telephony(network=Network(account_sid=SID, token=TOKEN, timeout=ANSWERED))
    async with TwilioApi(telephony.network, more=telephony.routes(), numbers={OURS}).running() as api:
        telephony.recordings.api_url = api.url
        said: dict[str, Any] = {
            "account_sid": SID,
            "auth_token": "env:TWILIO_TOKEN",
            "numbers": [OURS],
            "api_url": api.url,
        }
        said["timeout"] = "50s"
        voice = {**said, "language": "ru", "timezone": "Europe/Kyiv", **account}
        settings = ["smtp.port=0", "http.port=0", "media.backoff=1s", ROOM, f"channels.voice.main={json.dumps(voice)}"]
        if sms is not None:
            text = {**said, "reconcile": "0s", "language": "ru", **sms}
            settings += [f"channels.sms.main={json.dumps(text)}", "outbox.chat_acknowledgement_delay=0s"]
        async with running(folder / "var", (*settings, *more)) as gateway:
            url = f"http://{gateway.listening['http']}/channels/voice/main"
            telephony.number(OURS, url, fallback=url, status_url=f"{url}/status" if status else "")
            yield House(telephony=telephony, gateway=gateway, api=api, var=folder / "var", url=url)
