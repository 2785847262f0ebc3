"""The contract that every channel keeps, over its real wire. A channel adds a row to `ADAPTERS` and nothing here."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from channels.contract import Accepted, Cursor, Unavailable, Wiring
from channels.registry import CHANNELS
from normalizer.message import Delivery, InlineBody, RawMessage, Receipt, SpooledBody
from tests.contract.adapters import ADAPTERS
from tests.contract.channel_adapter import NOW, Behaviour, FarSide, Mishap, notice
from tests.passing import time_passes

channels = pytest.mark.parametrize("channel", sorted(ADAPTERS))
wires = pytest.mark.parametrize(
    ("channel", "wire"), [(channel, wire) for channel, adapter in ADAPTERS.items() for wire in adapter.inbound]
)


@dataclass
class Intake:
    """Keeps what it gets; can wait, and can fail."""

    raws: list[RawMessage] = field(default_factory=list)
    failure: Exception | None = None
    gate: asyncio.Event | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, raws: Sequence[RawMessage], cursor: Cursor | None = None, /) -> Sequence[Accepted]:
        self.raws += raws
        self.reached.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return [Accepted(entry=number, duplicate=False) for number, _ in enumerate(raws, 1)]


PATIENCE = 60.0
"""Seconds for what comes soon unless the machine stands still."""


def inbound(channel: str, wire: str, folder: Path, intake: Intake, patience: float = PATIENCE) -> Any:
    """The wire, delivering to `intake`; see `ChannelAdapter.inbound`."""
    factory, _ = ADAPTERS[channel].inbound[wire]
    return factory(folder, intake, patience)


def content(raw: RawMessage) -> bytes:
    match raw.body:
        case InlineBody(content=inline):
            return inline
        case SpooledBody(path=path):
            return path.read_bytes()


def test_every_channel_is_under_the_suite() -> None:
    assert set(ADAPTERS) == set(CHANNELS)


def test_the_registry_loads_no_sdk() -> None:
    sdks = ["aiosmtpd", "aiosmtplib", "imapclient", "telegram", "twilio"]
    code = f"import sys, channels.registry; sys.exit(', '.join(m for m in {sdks} if m in sys.modules) or 0)"
    subprocess.run([sys.executable, "-c", code], check=True)


@channels
def test_building_opens_nothing_and_gives_each_account_a_sender(channel: str, tmp_path: Path) -> None:
    adapter = ADAPTERS[channel]
    settings = CHANNELS[channel].settings.model_validate(adapter.account)
    parts = CHANNELS[channel].build(
        {"main": settings, "other": settings},
        Wiring(
            clock=lambda: NOW,
            spool=tmp_path / "spool",
            outgoing=tmp_path / "outgoing",
            upload_url="",
            options=adapter.options,
        ),
    )
    assert set(parts.senders) == {"main", "other"}
    assert [listener.listening() for listener in parts.listeners] == [{} for _ in parts.listeners]
    assert list(tmp_path.iterdir()) == []


# -- in -----------------------------------------------------------------------------------


@wires
async def test_nothing_is_acknowledged_before_the_intake_returned(channel: str, wire: str, tmp_path: Path) -> None:
    intake = Intake(gate=asyncio.Event())
    async with inbound(channel, wire, tmp_path, intake) as far:
        delivery = asyncio.create_task(far.deliver(1))
        await asyncio.wait_for(intake.reached.wait(), PATIENCE)
        done, _ = await asyncio.wait({delivery}, timeout=0.2)
        assert not done
        assert intake.gate is not None
        intake.gate.set()
        assert await asyncio.wait_for(delivery, PATIENCE)


@wires
async def test_a_raw_message_says_where_it_came_from_and_keeps_every_byte(
    channel: str, wire: str, tmp_path: Path
) -> None:
    intake = Intake()
    async with inbound(channel, wire, tmp_path, intake) as far:
        assert await far.deliver(3)
        (raw,) = intake.raws
        assert content(raw) == far.body(3)
    assert (raw.channel, raw.account, raw.received_at) == (channel, "main", NOW)
    assert re.fullmatch(r"[a-z_]+/\d+", raw.format)
    assert raw.external_id
    assert raw.peer
    assert re.fullmatch(r"[0-9a-f]{64}", raw.fingerprint)
    assert {account for account, _ in raw.deliveries} == {"main"}


@wires
@pytest.mark.parametrize("failure", [Unavailable("locked"), RuntimeError("a bug"), OSError(28, "full")])
async def test_a_failure_of_ours_makes_the_far_side_repeat_and_the_repeat_is_known(
    channel: str, wire: str, failure: Exception, tmp_path: Path
) -> None:
    intake = Intake(failure=failure)
    async with inbound(channel, wire, tmp_path, intake) as far:
        assert not await far.deliver(1)
        intake.failure = None
        assert await far.deliver(1)
        assert await far.deliver(2)
    first, *repeats, another = ((raw.external_id, raw.fingerprint) for raw in intake.raws)
    assert set(repeats) == {first}
    assert first[0] != another[0]
    assert first[1] != another[1]


@wires
async def test_many_at_once_are_all_taken_in(channel: str, wire: str, tmp_path: Path) -> None:
    intake = Intake()
    async with inbound(channel, wire, tmp_path, intake) as far:
        assert all(await asyncio.gather(*(far.deliver(number) for number in range(1, 21))))
    assert len({raw.external_id for raw in intake.raws}) == 20


GIVEN_UP = 2.0
"""Seconds after which the far side takes what does not end for broken."""
MISHAPS = [
    (channel, wire, mishap)
    for channel, adapter in ADAPTERS.items()
    for wire, (_, possible) in adapter.inbound.items()
    for mishap in sorted(possible)
]


@pytest.mark.parametrize(("channel", "wire", "mishap"), MISHAPS)
async def test_whatever_goes_wrong_on_the_way_it_is_taken_in_whole_and_known_again(
    channel: str, wire: str, mishap: Mishap, tmp_path: Path
) -> None:
    intake = Intake()
    # What never ends is given up soon. Whatever else a machine that stands still makes too late then comes again.
    patience = GIVEN_UP if mishap == "never" else PATIENCE
    async with inbound(channel, wire, tmp_path, intake, patience) as far:
        far.plan(mishap)
        assert await asyncio.wait_for(far.deliver(1), PATIENCE)
        # The next one is not touched by what happened to this one.
        assert await asyncio.wait_for(far.deliver(2), PATIENCE)
        assert {content(raw) for raw in intake.raws} == {far.body(1), far.body(2)}
        firsts, lasts = (
            [(raw.external_id, raw.fingerprint) for raw in intake.raws if content(raw) == far.body(number)]
            for number in (1, 2)
        )
    assert len({*firsts}) == len({*lasts}) == 1
    assert len(firsts) > 1 or mishap != "twice"
    assert len(lasts) == 1 or mishap == "never"
    assert not {*firsts} & {*lasts}


# -- out ----------------------------------------------------------------------------------

KINDS: dict[Behaviour, set[Delivery]] = {
    "accepts": {Delivery.SENT},
    "late": {Delivery.SENT},
    "half": {Delivery.RETRY},
    "never": {Delivery.RETRY},
    "later": {Delivery.RETRY},
    "refuses": {Delivery.REFUSED},
    "unreachable": {Delivery.UNREACHABLE},
}
SENDERS = [(channel, name) for channel, adapter in ADAPTERS.items() for name in adapter.senders]
BEHAVIOURS = [
    (channel, name, behaviour)
    for channel, name in SENDERS
    for behaviour in KINDS
    if behaviour in ADAPTERS[channel].senders[name][1]
]


@pytest.mark.parametrize(("channel", "name", "behaviour"), BEHAVIOURS)
async def test_each_behaviour_of_the_far_side_has_its_receipt(
    channel: str, name: str, behaviour: Behaviour, tmp_path: Path
) -> None:
    factory, _ = ADAPTERS[channel].senders[name]
    async with factory(tmp_path) as far:
        far.plan(behaviour)
        sending = asyncio.create_task(far.sender.send(notice(channel, **ADAPTERS[channel].notice)))
        if behaviour == "late":
            done, _ = await asyncio.wait({sending}, timeout=0.2)
            assert not done
            far.go_on()
        if behaviour == "never":
            await has_it(far, sending)
            time_passes(PATIENCE)
        receipt = await asyncio.wait_for(sending, PATIENCE)
        assert receipt.delivery in KINDS[behaviour]
        assert bool(receipt.external_ids) == (receipt.delivery is Delivery.SENT)
        assert receipt.detail
        # Whoever may have got it is never told "surely not sent".
        assert receipt.uncertain == (receipt.delivery is Delivery.RETRY and bool(far.received()))
        # The next notice is not touched by what happened to this one.
        far.plan("accepts")
        after: Any = await asyncio.wait_for(far.sender.send(notice(channel, 8, **ADAPTERS[channel].notice)), PATIENCE)
        assert after.delivery is Delivery.SENT, after


async def has_it(far: FarSide, sending: asyncio.Task[Receipt]) -> None:
    """Wait until the far side has what is sent, and says nothing to it."""
    async with asyncio.timeout(PATIENCE):
        while not far.received():
            assert not sending.done(), sending.result()
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("channel", "name"), SENDERS)
async def test_a_notice_sent_twice_is_recognisable(channel: str, name: str, tmp_path: Path) -> None:
    factory, _ = ADAPTERS[channel].senders[name]
    async with factory(tmp_path) as far:
        far.plan("accepts", "accepts")
        for _ in range(2):
            assert (await far.sender.send(notice(channel, **ADAPTERS[channel].notice))).delivery is Delivery.SENT
        assert len(set(far.received())) == 1
