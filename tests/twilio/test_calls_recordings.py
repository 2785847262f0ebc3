"""Recordings of calls at the provider: written down there, routed by what is said, deleted there when they are here."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from channels.contract import FetchFailed
from channels.voice.fetch import RecordingFetcher
from channels.voice.settings import VoiceAccount
from gateway.app import utc_now
from gateway.demo.twilio_api import Manner, Press, Talk, Told
from tests.twilio.call_house import House, house
from tests.twilio.provider import ACCOUNT

ENGLISH, UKRAINIAN, REPORT = Press(keys="3"), Press(keys="1"), Press(keys="2")
TEXT = "The whole portal is down for everybody"
RULES = """
rules:
  - {id: portal, why: The portal, when: {words: [portal]}, set: {class: 3, tags: [portal]}}
"""


def deleted(desk: House) -> list[int]:
    return [status for method, _, status in desk.telephony.recordings.asked if method == "DELETE"]


@pytest.mark.parametrize("told", ["before", "end", "held"])
async def test_what_the_provider_writes_down_is_routed_whenever_it_comes(
    told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, monkeypatch, files={"routing.yaml": RULES}, transcripts="provider") as desk:
        desk.manner = Manner(transcript=TEXT, transcribed=Told(when=told, twice=True))  # type: ignore[arg-type]
        await desk.call(ENGLISH, REPORT, Talk(seconds=20), Press(keys="1"))
        await desk.telephony.settle()
        await desk.gateway.until(lambda: desk.rows("SELECT 1 FROM ticket WHERE class = 3"), "the class")
        await desk.gateway.tickets(1)
        assert desk.rows("SELECT transcript FROM attachment") == [(TEXT,)]
        assert "portal" in json.loads(desk.one("SELECT tags FROM ticket"))
        # Another language is not understood there, and not sent to be.
        await desk.call(UKRAINIAN, REPORT, Talk(seconds=20), Press(keys="1"), sender="+380670000002")
        await desk.telephony.settle()
        assert desk.one("SELECT count(*) FROM attachment WHERE transcript IS NOT NULL") == 1


async def test_what_staff_decided_before_the_transcript_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(tmp_path, monkeypatch, files={"routing.yaml": RULES}, transcripts="provider") as desk:
        desk.manner = Manner(transcript=TEXT, transcribed=Told(when="held"))
        await desk.call(ENGLISH, REPORT, Talk(seconds=20), Press(keys="1"))
        number = desk.one("SELECT number FROM ticket")
        await desk.post(f"/tickets/{number}/class", **{"class": 6})
        await desk.telephony.settle()
        await desk.gateway.until(lambda: desk.rows("SELECT 1 FROM event WHERE kind = 'transcript'"), "the transcript")
        assert desk.rows("SELECT class FROM ticket") == [(6,)]
        assert "has decided about the class" in desk.one("SELECT data FROM event WHERE kind = 'transcript'")


async def test_a_program_of_our_own_writes_down_what_callers_say_in_any_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "program.py"
    script.write_text(f"import sys; assert open(sys.argv[-1], 'rb').read(3); print({TEXT!r})", encoding="utf-8")
    command = f"transcription.command={json.dumps([sys.executable, str(script)])}"
    async with house(tmp_path, monkeypatch, command, files={"routing.yaml": RULES}) as desk:
        await desk.call(UKRAINIAN, REPORT, Talk(seconds=20), Press(keys="1"))
        await desk.gateway.until(lambda: desk.rows("SELECT 1 FROM ticket WHERE class = 3"), "the class")
        assert desk.rows("SELECT transcript FROM attachment") == [(TEXT,)]
        # The words of the gateway's own about the call are not what was routed.
        assert "rule:portal" in desk.one("SELECT because FROM ticket")


async def test_a_recording_is_deleted_at_the_provider_when_it_is_here_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, monkeypatch, delete_recordings_after="0s") as desk:
        desk.telephony.recordings.missing = 2
        call = await desk.call(ENGLISH, REPORT, Talk(seconds=20), Press(keys="1"))
        await desk.gateway.until(lambda: deleted(desk), "the deletion")
        asked = [(method, status) for method, _, status in desk.telephony.recordings.asked]
        assert asked == [("GET", 404), ("GET", 404), ("GET", 200), ("DELETE", 204)]
        assert call.recordings[0].deleted
        ((state, blob, size),) = desk.rows("SELECT state, blob, size FROM attachment")
        assert state == "here" and size > 1000
        assert next((desk.var / "blobs").rglob(blob)).stat().st_size == size
        await desk.gateway.until(lambda: not desk.rows("SELECT 1 FROM erasure"), "its row to go")


async def test_without_the_setting_the_provider_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(tmp_path, monkeypatch) as desk:
        await desk.call(ENGLISH, REPORT, Talk(seconds=20), Press(keys="1"))
        await desk.gateway.until(lambda: desk.rows("SELECT 1 FROM attachment WHERE state = 'here'"), "the recording")
        assert desk.rows("SELECT 1 FROM erasure") == [] and deleted(desk) == []


async def test_deleting_asks_the_provider_alone_with_each_token_and_takes_gone_for_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, monkeypatch) as desk:
        call = await desk.call(ENGLISH, REPORT, Talk(seconds=20), Press(keys="1"))
        made = VoiceAccount.model_validate({**ACCOUNT, "auth_token": "env:X", "api_url": desk.api.url})
        source = f"{desk.telephony.recordings.url(call.recordings[0].sid)}.mp3"
        wrong, right = (
            RecordingFetcher("main", made, tokens, clock=utc_now, unique=lambda: "x")
            for tokens in (("wrong",), ("wrong", desk.telephony.network.token))
        )
        with pytest.raises(FetchFailed, match="answers 401"):
            await wrong.erase(source)
        assert not call.recordings[0].deleted
        await right.erase(source)
        assert call.recordings[0].deleted
        await right.erase(source)
        with pytest.raises(FetchFailed, match="not the provider's"):
            await right.erase("http://127.0.0.2:9/RE1.mp3")
        nobody = made.model_copy(update={"api_url": "http://127.0.0.1:1"})
        away = RecordingFetcher("main", nobody, ("x",), clock=utc_now, unique=lambda: "x")
        with pytest.raises(FetchFailed, match=re.escape("the provider cannot be asked")):
            await away.erase("http://127.0.0.1:1/RE1.mp3")
