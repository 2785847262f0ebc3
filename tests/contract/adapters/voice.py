"""Calls by Twilio under the contract suite: the webhook in, and the REST API out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from channels.contract import Intake, Sender
from channels.registry import CHANNELS
from gateway.demo.twilio_api import Fault, Network, TwilioApi
from gateway.demo.twilio_api import Mishap as Trouble
from gateway.demo.twilio_api.signing import encoded
from normalizer.message import RATING_CALL, Address
from tests.contract.adapters.twilio import MISHAPS
from tests.contract.channel_adapter import Behaviour, ChannelAdapter
from tests.twilio.provider import ACCOUNT, ANNA, OURS, SID, TOKEN, mounted, wiring
from tests.twilio.standin import standin


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
async def wire(folder: Path, intake: Intake, patience: float) -> AsyncIterator[CallWire]:
    async with mounted(folder, intake, "voice") as url:
        network = Network(account_sid=SID, token=TOKEN, timeout=patience)
        network.number(OURS, url)
        yield CallWire(network)


class CallSide:
    """A telephone that our number calls."""

    PLANS: ClassVar[dict[Behaviour, Fault | None]] = {
        "accepts": None,
        "late": Fault(kind="late"),
        "half": Fault(kind="half"),
        "never": Fault(kind="mute"),
        "later": Fault(kind="too_many"),
        "refuses": Fault(kind="error", code=21220, message="Unable to do so"),
        "unreachable": Fault(kind="error", code=21211, message="not a valid phone number"),
    }

    def __init__(self, sender: Sender, api: TwilioApi) -> None:
        self.sender, self._api = sender, api

    def plan(self, *behaviours: Behaviour) -> None:
        self._api.plan(*(fault for each in behaviours if (fault := self.PLANS[each]) is not None))

    def received(self) -> Sequence[str]:
        """The API has no id of ours but in the address that a call is led from."""
        return [made.asked["Url"] for made in self._api.outgoing.made]

    def go_on(self) -> None:
        self._api.go_on()


@asynccontextmanager
async def calls(folder: Path) -> AsyncIterator[CallSide]:
    async with standin() as api:
        told = {**ACCOUNT, "api_url": api.url, "timeout": "50s"}
        account = CHANNELS["voice"].settings.model_validate(told)
        parts = CHANNELS["voice"].build({"main": account}, wiring(folder, public_url="https://desk.example"))
        yield CallSide(parts.senders["main"], api)


VOICE = ChannelAdapter(
    account=ACCOUNT,
    options={},
    inbound={"webhook": (wire, MISHAPS)},
    notice={
        "kind": RATING_CALL, "automatic": True, "recipient": Address(address=ANNA),
        "destination": {"to": ANNA, "from": OURS},
    },
    senders={"rest": (calls, frozenset(CallSide.PLANS))},
)  # fmt: skip
