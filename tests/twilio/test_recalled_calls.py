"""Calls whose requests found us down: the provider repeats none of them, and is asked what became of the call."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from channels.contract import FetchFailed
from channels.voice.fetch import RecordingFetcher
from channels.voice.settings import VoiceAccount
from channels.voice.told import raws_listed
from gateway.app import utc_now
from gateway.demo.twilio_api import Network, Person, Press, Talk, TwilioApi
from gateway.demo.twilio_api.calls_person import Doing
from tests.mailboxes.desk import Store, child, running
from tests.twilio.call_house import house
from tests.twilio.calling import MONDAY, OURS, Clock, Story, config, settings, telephones
from tests.twilio.provider import ACCOUNT, ANNA, LONG, TOKEN

CHILD = Path(__file__).with_name("calling_child.py")
LATER = MONDAY + timedelta(minutes=20)
UKRAINIAN, REPORT, WORDS = Press(keys="1"), Press(keys="2"), Talk(seconds=20, leaves=True)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a first look did not find is looked for again soon."""
    monkeypatch.setattr("gateway.recalling.EVERY", 1.0)


class Goes(tuple[Doing, ...]):
    """What somebody does; while they speak we go down, and the network reaches us no more."""

    network: Network
    lost: int

    def __iter__(self) -> Iterator[Doing]:
        for doing in super().__iter__():
            if isinstance(doing, Talk):
                self.network.plan[:] = ["reset"] * self.lost
            yield doing


async def speaks(desk: Story, lost: int) -> None:
    """Anna reports a problem, and hangs up behind her words. So many requests of what follows are lost."""
    doings = Goes((UKRAINIAN, REPORT, WORDS))
    doings.network, doings.lost = desk.api.network, lost
    await desk.phone.call(Person(doings=doings), sender=ANNA, to=OURS)
    desk.api.network.plan.clear()


def kept(store: Store) -> list[tuple[str, str, int]]:
    """(requester, outcome, seconds) of every call."""
    return store.rows("SELECT caller, outcome, seconds FROM call ORDER BY id")


async def whole(store: Store, api: TwilioApi, var: Path) -> None:
    """One ticket with what Anna said, heard by anyone who takes it up."""
    assert store.rows("SELECT requester FROM ticket") == [(ANNA,)]
    assert len(store.rows("SELECT 1 FROM message WHERE text LIKE '%0:20%'")) == 1
    ((blob, size, state),) = store.rows("SELECT blob, size, state FROM attachment")
    assert state == "here"
    content = next((var / "blobs").rglob(blob)).read_bytes()
    assert len(content) == size > 1000
    assert store.rows("SELECT recording FROM call_recording") == [(api.outgoing.telephony.calls[0].recordings[0].sid,)]


@pytest.mark.timeout(LONG)
async def test_what_was_said_while_we_went_down_is_in_the_ticket_when_we_are_back(tmp_path: Path) -> None:
    clock, var, folder = Clock(), tmp_path / "var", config(tmp_path)
    async with telephones() as api:
        api.network.clock, said = clock, settings(api, tmp_path / "token")
        async with running(var, said, clock=clock, config=folder) as gateway:
            await speaks(Story(api, gateway, var, clock), lost=99)
            assert kept(gateway.store) == [(ANNA, "", 0)] and gateway.store.tickets() == 0
        clock.set(LATER)
        async with running(var, said, clock=clock, config=folder) as gateway:
            await gateway.until(lambda: gateway.store.rows("SELECT 1 FROM attachment WHERE state = 'here'"), "it")
            await gateway.until(lambda: gateway.store.one("SELECT ended_at FROM call"), "the end")
            ((_, outcome, seconds),) = kept(gateway.store)
            assert outcome == "ticket" and seconds >= 20
            await whole(gateway.store, api, var)
            # The hours counted from the call: an outage of ours extends no deadline.
            opened = gateway.store.one("SELECT opened_at FROM ticket")
            assert opened < int((MONDAY + timedelta(minutes=10)).timestamp() * 1_000_000)
        asked = len(api.outgoing.telephony.remembered.asked)
        clock.set(LATER + timedelta(hours=1))
        async with running(var, said, clock=clock, config=folder) as gateway:
            await Story(api, gateway, var, clock).idle()
        assert len(api.outgoing.telephony.remembered.asked) == asked == 2, "once"


@pytest.mark.timeout(LONG)
async def test_a_recording_of_which_only_the_end_of_its_call_was_told_joins_its_ticket(tmp_path: Path) -> None:
    clock, var, folder = Clock(), tmp_path / "var", config(tmp_path)
    async with telephones() as api:
        api.network.clock, said = clock, settings(api, tmp_path / "token")
        async with running(var, said, clock=clock, config=folder) as gateway:
            # The action of the recording with its repeats, and what is told of it beside.
            await speaks(Story(api, gateway, var, clock), lost=8)
            await gateway.until(lambda: [row[1] for row in kept(gateway.store)] == ["unfinished"], "the end")
            assert gateway.store.tickets() == 1 and not gateway.store.rows("SELECT 1 FROM attachment")
        clock.set(LATER)
        async with running(var, said, clock=clock, config=folder) as gateway:
            await gateway.until(lambda: gateway.store.rows("SELECT 1 FROM attachment WHERE state = 'here'"), "it")
            await whole(gateway.store, api, var)
            assert kept(gateway.store)[0][1] == "ticket"


@pytest.mark.timeout(LONG)
async def test_killed_between_the_journal_and_our_note_that_it_was_asked_nothing_is_doubled(tmp_path: Path) -> None:
    clock, var, folder = Clock(), tmp_path / "var", config(tmp_path)
    async with telephones() as api:
        api.network.clock, said = clock, settings(api, tmp_path / "token")
        async with running(var, said, clock=clock, config=folder) as gateway:
            await speaks(Story(api, gateway, var, clock), lost=99)
        async with child(var, said, "call-recalled", str(folder), LATER.isoformat(), script=CHILD) as process:
            assert await asyncio.wait_for(process.wait(), 120) == -signal.SIGKILL
        clock.set(LATER)
        async with running(var, said, clock=clock, config=folder) as gateway:
            await gateway.until(lambda: gateway.store.rows("SELECT 1 FROM call WHERE recalled_at > 0"), "the note")
            await gateway.until(lambda: gateway.store.rows("SELECT 1 FROM attachment WHERE state = 'here'"), "it")
            await gateway.until(lambda: gateway.store.one("SELECT ended_at FROM call"), "the end")
            await whole(gateway.store, api, var)
            routes = gateway.store.rows("SELECT facts FROM entry WHERE channel = 'voice'")
            assert sum('"list"' in row[0] for row in routes) == 2


@pytest.mark.timeout(LONG)
async def test_what_the_provider_remembers_is_the_same_as_what_it_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, monkeypatch) as desk:
        call = await desk.call(Press(keys="2"), Press(keys="2"), Talk(seconds=9, leaves=True))
        await desk.outcomes("ticket")
        account = VoiceAccount.model_validate({**ACCOUNT, "auth_token": "env:X", "api_url": desk.api.url})
        fetcher = RecordingFetcher("main", account, ("wrong", TOKEN), clock=utc_now, unique=lambda: "x")
        told = await fetcher.recall(call.sid)
        assert [raw.facts["route"] for raw in told] == ["recorded", "status"]
        known = desk.rows("SELECT external_id, fingerprint FROM entry")
        assert {(raw.external_id, raw.fingerprint) for raw in told} <= {(name, mark) for name, mark in known}
        # A call that goes on is not over, and what somebody else had recorded is not ours.
        call.status = "in-progress"
        with pytest.raises(FetchFailed, match="goes on") as going:
            await fetcher.recall(call.sid)
        assert going.value.absent and not going.value.permanent
        with pytest.raises(FetchFailed) as unknown:
            await fetcher.recall("CA" + "f" * 32)
        assert unknown.value.permanent
        desk.telephony.remembered.failing = 1
        with pytest.raises(FetchFailed, match="503") as down:
            await fetcher.recall(call.sid)
        assert not down.value.permanent and not down.value.absent


def test_only_what_we_had_recorded_and_is_whole_is_taken() -> None:
    call = {"sid": "CA1", "status": "completed", "from": ANNA, "to": OURS, "duration": None, "direction": "inbound"}
    verb = {"source": "RecordVerb", "status": "completed", "duration": "4"}
    recordings = [
        ({**verb, "sid": "RE1"}, "https://api.example/RE1"),
        ({**verb, "sid": "RE2", "status": "absent"}, "https://api.example/RE2"),
        ({**verb, "sid": "RE3", "source": "DialVerb"}, "https://api.example/RE3"),
    ]
    raws = raws_listed(call, recordings, channel="voice", account="main", now=MONDAY)
    assert [raw.external_id for raw in raws] == [
        "CA1:recorded:RE1:completed:", f"CA1:status:completed:{ANNA}",
    ]  # fmt: skip
    assert {raw.received_at for raw in raws} == {MONDAY}
