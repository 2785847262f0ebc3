"""A whole gateway and callers who follow its documents as the service does: nobody is led in circles or cut off."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.demo.twilio_api import Leave, Network, Person, Press, Silent, Talk, Telephony, TwilioApi
from tests.mailboxes.desk import Running, running
from tests.twilio.provider import ANNA, ANSWERED, HELD, LONG, OURS, ROOM, SID, TOKEN


@asynccontextmanager
async def telephones(var: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Telephony, Running]]:
    """A number of ours that can be called."""
    monkeypatch.setenv("TWILIO_TOKEN", TOKEN)
    # A machine that is busy with other tests is not what is tested.
    monkeypatch.setattr("gateway.calls.WITHIN", HELD)
    telephony = Telephony(network=Network(account_sid=SID, token=TOKEN, timeout=ANSWERED))
    async with TwilioApi(telephony.network, more=telephony.routes()).running() as api:
        telephony.recordings.api_url = api.url
        telephony.recordings.missing = 1
        said: dict[str, object] = {
            "account_sid": SID,
            "auth_token": "env:TWILIO_TOKEN",
            "numbers": [OURS],
            "api_url": api.url,
        }
        said["timeout"] = "50s"
        settings = ("smtp.port=0", "http.port=0", "media.backoff=1s", ROOM, f"channels.voice.main={json.dumps(said)}")
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


@pytest.mark.timeout(LONG)
async def test_who_hangs_up_at_any_moment_leaves_a_ticket_or_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doings = (Press(keys="1"), Press(keys="2"), Talk(seconds=12, key="#"), Press(keys="2"), Press(keys="0671234567#"))
    async with telephones(tmp_path / "var", monkeypatch) as (telephony, gateway):
        calls = []
        for number, moment in enumerate([0.0, 0.5, *range(1, 75, 3)]):
            person = Person(doings=doings, leave_at=float(moment))
            calls.append(await telephony.call(person, sender=f"+38067{number:07}", to=OURS))
        for number in range(1, 6):
            person = Person(doings=doings, leave_asking=number)
            calls.append(await telephony.call(person, sender=f"+38068{number:07}", to=OURS))
        assert [call.codes for call in calls] == [[] for _ in calls]
        ended = "SELECT call, outcome, ticket_id FROM call WHERE ended_at IS NOT NULL ORDER BY id"
        await gateway.until(lambda: len(gateway.store.rows(ended)) == len(calls), "every end")
        left = {sid: (outcome, ticket) for sid, outcome, ticket in gateway.store.rows(ended)}
        assert {outcome for outcome, _ in left.values()} == {"silent", "unfinished", "ticket"}
        for call in calls:
            outcome, ticket = left[call.sid]
            assert (ticket is None) == (outcome == "silent"), (outcome, call.story)
            assert not call.recordings or outcome == "ticket"
        await gateway.tickets(sum(ticket is not None for _, ticket in left.values()))
        assert gateway.store.one("SELECT count(*) FROM call_recording") == sum(len(call.recordings) for call in calls)
