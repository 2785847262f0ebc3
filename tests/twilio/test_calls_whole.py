"""A whole gateway and callers who follow its documents as the service does: nobody is led in circles or cut off."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.demo.twilio_api import Leave, Network, Person, Press, Silent, Talk, Telephony, TwilioApi
from tests.mailboxes.desk import Running, running
from tests.twilio.provider import ANNA, OURS, SID, TOKEN


@asynccontextmanager
async def telephones(var: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Telephony, Running]]:
    """A number of ours that can be called."""
    monkeypatch.setenv("TWILIO_TOKEN", TOKEN)
    # A machine that is busy with other tests is not what is tested.
    monkeypatch.setattr("gateway.calls.WITHIN", 20.0)
    telephony = Telephony(network=Network(account_sid=SID, token=TOKEN, timeout=20.0))
    async with TwilioApi(telephony.network, more=telephony.routes()).running() as api:
        telephony.recordings.api_url = api.url
        telephony.recordings.missing = 1
        said = {"account_sid": SID, "auth_token": "env:TWILIO_TOKEN", "numbers": [OURS], "api_url": api.url}
        settings = ("smtp.port=0", "http.port=0", "media.backoff=1s", f"channels.voice.main={json.dumps(said)}")
        async with running(var, settings) as gateway:
            url = f"http://{gateway.listening['http']}/channels/voice/main"
            telephony.number(OURS, url, fallback=url, status_url=f"{url}/status")
            yield telephony, gateway


WAYS = {
    "a problem": ((Press(keys="1"), Press(keys="2"), Talk(seconds=20), Press(keys="1")), "ticket"),
    "hangs up behind it": ((Press(keys="1"), Press(keys="2"), Talk(seconds=9, leaves=True)), "ticket"),
    "presses nothing and speaks": ((Silent(), Silent(), Silent(), Talk(seconds=5)), "ticket"),
    "says nothing at all": ((), "silent"),
    "leaves in the menu": ((Press(keys="1"), Leave(wait=1)), "silent"),
    "leaves at the tone": ((Press(keys="1"), Press(keys="2"), Leave()), "unfinished"),
}


@pytest.mark.parametrize("way", WAYS)
async def test_every_way_through_a_call_ends_and_leaves_what_it_should(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doings, outcome = WAYS[way]
    async with telephones(tmp_path / "var", monkeypatch) as (telephony, gateway):
        call = await telephony.call(Person(doings=doings), sender=ANNA, to=OURS)
        await telephony.settle()
        assert call.codes == []
        ended = "SELECT outcome FROM call WHERE ended_at IS NOT NULL"
        await gateway.until(lambda: gateway.store.rows(ended), "the end")
        assert gateway.store.rows(ended) == [(outcome,)]
        await gateway.tickets(0 if outcome == "silent" else 1)
        heard = len(call.recordings)
        await gateway.until(
            lambda: gateway.store.one("SELECT count(*) FROM attachment WHERE state = 'here'") == heard, "recordings"
        )
