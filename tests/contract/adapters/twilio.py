"""Text messages and WhatsApp by Twilio under the contract suite: the webhook in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from channels.contract import Intake
from gateway.demo.twilio_api import Mishap as Trouble
from gateway.demo.twilio_api import Network
from gateway.demo.twilio_api.signing import encoded
from tests.contract.channel_adapter import ChannelAdapter, Mishap
from tests.twilio.provider import ACCOUNT, ANNA, OURS, SID, TOKEN, mounted

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
    async def opened(folder: Path, intake: Intake) -> AsyncIterator[NumberWire]:
        async with mounted(folder, intake, channel) as url:
            network = Network(account_sid=SID, token=TOKEN, timeout=2.0)
            network.number(OURS, url)
            yield NumberWire(network, prefix)

    return opened


SMS = ChannelAdapter(account=ACCOUNT, options={}, inbound={"webhook": (wire("sms", ""), MISHAPS)})
WHATSAPP = ChannelAdapter(account=ACCOUNT, options={}, inbound={"webhook": (wire("whatsapp", "whatsapp:"), MISHAPS)})
