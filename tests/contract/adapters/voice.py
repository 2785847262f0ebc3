"""Calls by Twilio under the contract suite: the webhook in. Nothing goes out by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from channels.contract import Intake
from gateway.demo.twilio_api import Mishap as Trouble
from gateway.demo.twilio_api import Network
from gateway.demo.twilio_api.signing import encoded
from tests.contract.adapters.twilio import MISHAPS
from tests.contract.channel_adapter import ChannelAdapter
from tests.twilio.provider import ACCOUNT, ANNA, OURS, SID, TOKEN, mounted


class CallWire:
    """Somebody who calls our number. Acknowledged is what is answered with 2xx."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def _call(self, number: int) -> dict[str, str]:
        return {
            "CallSid": f"CA{number:032x}", "AccountSid": SID, "From": ANNA, "To": OURS, "CallStatus": "ringing",
            "Direction": "inbound", "ApiVersion": "2010-04-01",
        }  # fmt: skip

    def plan(self, mishap: Trouble) -> None:
        self._network.plan.append(mishap)
        self._network.repeats = 5

    def body(self, number: int) -> bytes:
        return encoded(list(self._call(number).items()))

    async def deliver(self, number: int) -> bool:
        return await self._network.bring(self._call(number))


@asynccontextmanager
async def wire(folder: Path, intake: Intake) -> AsyncIterator[CallWire]:
    async with mounted(folder, intake, "voice") as url:
        network = Network(account_sid=SID, token=TOKEN, timeout=2.0)
        network.number(OURS, url)
        yield CallWire(network)


VOICE = ChannelAdapter(account=ACCOUNT, options={}, inbound={"webhook": (wire, MISHAPS)})
