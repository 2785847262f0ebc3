"""Text messages and WhatsApp by Twilio under the contract suite: the webhook in, the REST API out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from channels.contract import Intake, Sender
from channels.registry import CHANNELS
from gateway.demo.twilio_api import Fault, Network, TwilioApi
from gateway.demo.twilio_api import Mishap as Trouble
from gateway.demo.twilio_api.signing import encoded
from normalizer.message import Address
from tests.contract.channel_adapter import Behaviour, ChannelAdapter, Mishap
from tests.twilio.provider import ACCOUNT, ANNA, NOW, OURS, SID, TOKEN, mounted, wiring
from tests.twilio.standin import standin

MISHAPS: frozenset[Mishap] = frozenset({"late", "twice", "half", "never", "lost", "reset"})


class NumberWire:
    """Somebody who writes to our number. Acknowledged is what is answered with 2xx."""

    def __init__(self, network: Network, prefix: str) -> None:
        self._network, self._prefix = network, prefix
        self._messages: dict[int, dict[str, str]] = {}

    def _message(self, number: int) -> dict[str, str]:
        """At a repeat it is the same message."""
        if number not in self._messages:
            self._messages[number] = self._network.message(
                f"Заявка {number}", sender=self._prefix + ANNA, to=self._prefix + OURS, sid=f"SM{number:032x}"
            )
        return self._messages[number]

    def plan(self, mishap: Trouble) -> None:
        self._network.plan.append(mishap)
        self._network.repeats = 5

    def body(self, number: int) -> bytes:
        return encoded(list(self._message(number).items()))

    async def deliver(self, number: int) -> bool:
        return await self._network.bring(self._message(number))


def wire(channel: str, prefix: str) -> Callable[[Path, Intake], AbstractAsyncContextManager[NumberWire]]:
    @asynccontextmanager
    async def opened(folder: Path, intake: Intake, patience: float) -> AsyncIterator[NumberWire]:
        async with mounted(folder, intake, channel) as url:
            network = Network(account_sid=SID, token=TOKEN, timeout=patience)
            network.number(OURS, url)
            yield NumberWire(network, prefix)

    return opened


class PhoneSide:
    """A telephone that our number writes to."""

    PLANS: ClassVar[dict[Behaviour, Fault | None]] = {
        "accepts": None,
        "late": Fault(kind="late"),
        "half": Fault(kind="half"),
        "never": Fault(kind="mute"),
        "later": Fault(kind="too_many"),
        "refuses": Fault(kind="error", code=21617, message="The concatenated message body exceeds the limit"),
        "unreachable": Fault(kind="error", code=21614, message="not a valid mobile number"),
    }

    def __init__(self, sender: Sender, api: TwilioApi) -> None:
        self.sender, self._api = sender, api

    def plan(self, *behaviours: Behaviour) -> None:
        self._api.plan(*(fault for each in behaviours if (fault := self.PLANS[each]) is not None))

    def received(self) -> Sequence[str]:
        """The API has no id of ours: what tells a person that it is the same is its text."""
        return [f"{sent.to} {sent.body}" for sent in self._api.sent]

    def go_on(self) -> None:
        self._api.go_on()


def phone_side(channel: str) -> Callable[[Path], AbstractAsyncContextManager[PhoneSide]]:
    @asynccontextmanager
    async def opened(folder: Path) -> AsyncIterator[PhoneSide]:
        async with standin() as api:
            told = {**ACCOUNT, "api_url": api.url, "timeout": "50s"}
            account = CHANNELS[channel].settings.model_validate(told)
            parts = CHANNELS[channel].build({"main": account}, wiring(folder))
            yield PhoneSide(parts.senders["main"], api)

    return opened


def told(channel: str) -> dict[str, Any]:
    prefix = "whatsapp:" if channel == "whatsapp" else ""
    window = (NOW + timedelta(hours=1)).isoformat()
    return {
        "recipient": Address(address=ANNA, name="Анна"),
        "destination": {"to": ANNA, "from": prefix + OURS, "window_until": window},
    }


def adapter(channel: str, prefix: str) -> ChannelAdapter:
    return ChannelAdapter(
        account=ACCOUNT,
        options={},
        inbound={"webhook": (wire(channel, prefix), MISHAPS)},
        notice=told(channel),
        senders={"rest": (phone_side(channel), frozenset(PhoneSide.PLANS))},
    )


SMS = adapter("sms", "")
WHATSAPP = adapter("whatsapp", "whatsapp:")
