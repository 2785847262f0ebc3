"""Files that people send by WhatsApp and MMS: the ticket is there at once, and the file comes from where it lies."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.demo.twilio_api import Network, TwilioApi
from gateway.demo.twilio_api.attached import Attached
from gateway.demo.twilio_api.media import MediaHost
from tests.mailboxes.desk import Running
from tests.twilio.provider import ANNA, ANSWERED, OURS, SID, TOKEN
from tests.twilio.test_twilio_story import desk

JPEG, VOICE = b"\xff\xd8\xff\xe0" + b"a roof" * 9000, b"OggS" + b"spoken words" * 5000
FAST = ("media.backoff=1s", "media.backoff_limit=1s")


@dataclass
class Scene:
    network: Network
    gateway: Running
    host: MediaHost
    attached: Attached
    url: str

    async def say(self, text: str, *files: tuple[bytes, str], channel: str = "sms", **about: object) -> str:
        """Somebody sends a message with files; its SID."""
        base = f"http://{self.gateway.listening['http']}/channels/{channel}/main"
        self.network.number(OURS, base)
        sid = self.network.new_sid("MM")
        said = self.attached.files(self.url, sid, *files, **about)
        prefix = "whatsapp:" if channel == "whatsapp" else ""
        assert await self.network.say(text, sender=prefix + ANNA, to=prefix + OURS, sid=sid, **said)
        return sid

    def files(self) -> list[tuple[str, str, str, int]]:
        return [*self.gateway.store.rows("SELECT filename, state, content_type, size FROM attachment ORDER BY id")]


@asynccontextmanager
async def scene(var: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    known = Network(account_sid=SID, token=TOKEN, timeout=ANSWERED)
    async with MediaHost(account_sid=SID, token=TOKEN).opened() as host:
        attached = Attached(known, host)
        async with (
            TwilioApi(known, more=attached.routes()).running() as api,
            desk(var, monkeypatch, *FAST, api_url=api.url) as (_, gateway),
        ):
            yield Scene(network=known, gateway=gateway, host=host, attached=attached, url=api.url)


@pytest.mark.parametrize("channel", ["sms", "whatsapp"])
async def test_files_come_from_where_they_lie_and_no_other_host_is_told_who_we_are(
    channel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path / "var", monkeypatch) as at:
        await at.say("Ось знімок", (JPEG, "image/jpeg"), (VOICE, "audio/ogg"), channel=channel)
        await at.gateway.tickets(1)
        await at.gateway.until(lambda: {row[1] for row in at.files()} == {"here"}, "both files")
        assert at.files() == [
            ("image_1.jpg", "here", "image/jpeg", len(JPEG)), ("audio_2.ogg", "here", "audio/ogg", len(VOICE)),
        ]  # fmt: skip
        kept = [row[0] for row in at.gateway.store.rows("SELECT sha256 FROM attachment ORDER BY id")]
        assert kept == [hashlib.sha256(content).hexdigest() for content in (JPEG, VOICE)]
        assert at.host.passwords() == ["", ""]


async def test_a_host_that_is_down_for_a_while_loses_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path / "var", monkeypatch) as at:
        first = await at.say("Перший", (JPEG, "image/jpeg"), first=[503, 404], trouble="truncated")
        await at.gateway.tickets(1)
        await at.gateway.until(lambda: len(at.host.asked) >= 3, "the third try")
        assert at.files()[0][1] == "pending"
        for file in at.host.files.values():
            file.trouble = None
        await at.gateway.until(lambda: at.files()[0][1] == "here", "the file")
        assert first in at.gateway.store.one("SELECT source FROM media")


async def test_nobody_waits_for_a_host_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path / "var", monkeypatch) as at:
        sids = [await at.say("Висить", (JPEG, "image/jpeg"), trouble="mute") for _ in range(4)]
        await at.gateway.until(lambda: len(at.host.asked) >= 1, "the first try")
        answered = await asyncio.gather(
            *(at.network.say(f"Ще {number}", sender=f"+38050000{number:04}", to=OURS) for number in range(20))
        )
        assert all(answered)
        await at.gateway.until(lambda: at.gateway.store.tickets() == 21, "every ticket")
        assert {row[1] for row in at.files()} == {"pending"}
        assert len(sids) == len(at.files())


async def test_what_will_never_come_is_told_to_the_person_and_to_staff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path / "var", monkeypatch) as at:
        await at.say("Відео", (JPEG, "image/jpeg"), status=410)
        await at.gateway.until(lambda: [row[1] for row in at.files()] == ["failed"], "giving it up")
        told = at.gateway.store.rows("SELECT template, recipient FROM outbox WHERE template LIKE 'bot_%'")
        assert told == [("bot_file_failed", ANNA)]
