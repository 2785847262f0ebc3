"""What `gateway check --online` sees of numbers that are called."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from channels.contract import Surroundings
from channels.registry import CHANNELS
from channels.voice.settings import VoiceAccount
from gateway.demo.twilio_api import Network, TwilioApi
from tests.twilio.provider import OURS, SID, TOKEN

GOOD = {
    "voice_url": "https://a.example",
    "voice_fallback_url": "https://a.example",
    "status_callback": "https://a.example",
}


async def troubles(monkeypatch: pytest.MonkeyPatch, addresses: dict[str, str]) -> list[str]:
    monkeypatch.setenv("TWILIO_TOKEN", TOKEN)
    async with TwilioApi(Network(account_sid=SID, token=TOKEN), numbers={OURS}, addresses=addresses).running() as api:
        account = VoiceAccount.model_validate(
            {"account_sid": SID, "auth_token": "env:TWILIO_TOKEN", "numbers": [OURS], "api_url": api.url}
        )
        look = CHANNELS["voice"].online
        assert look is not None
        found = await look({"main": account}, Surroundings(clock=lambda: datetime.now(UTC)))
        return [finding.trouble for finding in found if finding.trouble]


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("voice_url", "lead nowhere: <public address>/channels/voice/main is"),
        ("voice_fallback_url", "callers hear the provider's error"),
        ("status_callback", "/channels/voice/main/status as"),
    ],
)
async def test_an_address_that_a_number_has_not_is_named(
    missing: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trouble,) = await troubles(monkeypatch, {**GOOD, missing: ""})
    assert said in trouble and ";" not in trouble


async def test_a_number_with_its_addresses_and_a_provider_that_does_not_say_are_no_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await troubles(monkeypatch, GOOD) == [] == await troubles(monkeypatch, {})
