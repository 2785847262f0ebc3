"""Telegram under the contract suite: the webhook and polling in; messages of a bot out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from aiohttp import web

from channels.contract import Intake, Sender, Wiring
from channels.registry import CHANNELS
from channels.rounds import Pace
from channels.telegram.api import Api
from channels.telegram.outbound import TelegramSender
from channels.telegram.polling import Poller
from channels.telegram.settings import TelegramAccount
from gateway.demo.bot_api import RECEIVING, SENDING, Bot, BotApi, Fault
from gateway.demo.bot_api.sending import Chats
from gateway.demo.bot_api.webhooks import Deliveries
from normalizer.message import Address
from tests.contract.channel_adapter import NOW, Behaviour, ChannelAdapter, Mishap, listening
from tests.telegram.standin import SECRET, TOKEN, said, standin

ACCOUNT: dict[str, Any] = {"token": TOKEN, "secret": SECRET, "mode": "webhook"}
ANNA = 5_000_000_001
QUICK = Pace(first=0.02, longest=0.05, hopeless=0.05)


def wiring(folder: Path) -> Wiring:
    return Wiring(clock=lambda: NOW, spool=folder, outgoing=folder / "outgoing", upload_url="")


class BotWire:
    """Somebody who writes to the bot; Telegram brings it to us."""

    def __init__(self, api: BotApi) -> None:
        self._api = api
        self._pushed: set[int] = set()

    @property
    def bot(self) -> Bot:
        return self._api.bot(TOKEN)

    def body(self, number: int) -> bytes:
        return json.dumps({"update_id": 1000 + number, **said(f"Заявка {number}", message_id=number)}).encode()

    def push(self, number: int) -> int:
        """Telegram has it; at a repeat it has it already."""
        if number not in self._pushed:
            self._pushed.add(number)
            self.bot.push_text(1000 + number, self.body(number).decode())
        return 1000 + number

    def waits(self, update: int) -> bool:
        return any(one.id == update for one in self.bot.waiting)


class PollingWire(BotWire):
    """Acknowledged is what a later call confirms; what is given out again, is not."""

    PLANS: ClassVar[dict[Mishap, Fault]] = {
        mishap: Fault(kind=mishap, method="getUpdates") for mishap in ("twice", "half", "never", "lost", "reset")
    } | {"late": Fault(kind="slow", method="getUpdates", seconds=0.1)}

    def __init__(self, api: BotApi) -> None:
        super().__init__(api)
        self._planned = False

    def plan(self, mishap: Mishap) -> None:
        self._planned = True
        self._api.plan(self.PLANS[mishap])
        # The poll that waits already is not touched by the plan; the next one is.
        self.bot.wake(False)

    async def deliver(self, number: int) -> bool:
        update = self.push(number)
        given = self.bot.given[update]
        await self._api.until(
            lambda: not self.waits(update) or (not self._planned and self.bot.given[update] >= given + 2)
        )
        return not self.waits(update)


@asynccontextmanager
async def polling(folder: Path, intake: Intake, patience: float) -> AsyncIterator[PollingWire]:
    async with standin() as api:
        account = TelegramAccount.model_validate({"token": TOKEN, "api_url": api.api_url, "poll": "1s"})
        poller = Poller(
            "main", account, TOKEN, clock=lambda: NOW, ledger=None, spool=folder, unique=lambda: "1",
            chance=lambda: 0.5, pace=QUICK, grace=patience,
        )  # fmt: skip
        async with listening(poller, intake):
            yield PollingWire(api)


class WebhookWire(BotWire):
    """Acknowledged is what is answered with 2xx."""

    def plan(self, mishap: Mishap) -> None:
        self.bot.part(Deliveries).plan.append(Fault(kind=mishap))

    async def deliver(self, number: int) -> bool:
        record = self.bot.part(Deliveries)
        update = self.push(number)
        tries = len(record.tries)

        def told_to_repeat() -> bool:
            return any(one.update == update and one.status not in (None, 200) for one in record.tries[tries:])

        await self._api.until(lambda: not self.waits(update) or told_to_repeat())
        return not self.waits(update)


@asynccontextmanager
async def webhook(folder: Path, intake: Intake, patience: float) -> AsyncIterator[WebhookWire]:
    account = TelegramAccount.model_validate(ACCOUNT)
    hook = CHANNELS["telegram"].build({"main": account}, wiring(folder)).webhooks["main"]
    site = web.Application()
    site.add_routes([web.RouteDef(each.method, "/hook", each.handler, each.kwargs) for each in hook.routes(intake)])
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with standin(delivery_timeout=patience, delivery_pause=0.02) as api:
            told = {"url": f"http://127.0.0.1:{runner.addresses[0][1]}/hook", "secret_token": SECRET}
            client = Api(TelegramAccount.model_validate({**ACCOUNT, "api_url": api.api_url}), TOKEN)
            await client.result("setWebhook", told)
            await client.close()
            yield WebhookWire(api)
    finally:
        await runner.cleanup()


class BotSide:
    """A chat that the bot writes to."""

    METHOD = "sendMessage"
    PLANS: ClassVar[dict[Behaviour, Fault | None]] = {
        "accepts": None,
        "late": Fault(kind="late", method=METHOD),
        "half": Fault(kind="half", method=METHOD),
        "never": Fault(kind="mute", method=METHOD),
        "later": Fault(kind="too_many", retry_after=1, method=METHOD),
        "refuses": Fault(kind="error", status=400, description="Bad Request: message text is empty", method=METHOD),
        "unreachable": Fault(
            kind="error", status=403, description="Forbidden: bot was blocked by the user", method=METHOD
        ),
    }

    def __init__(self, sender: Sender, api: BotApi) -> None:
        self.sender, self._api = sender, api

    def plan(self, *behaviours: Behaviour) -> None:
        self._api.plan(*(fault for each in behaviours if (fault := self.PLANS[each]) is not None))

    def received(self) -> Sequence[str]:
        """The Bot API has no id of ours: what tells a person that it is the same is its text."""
        return [f"{sent.chat} {sent.text}" for sent in self._api.bot(TOKEN).part(Chats).sent]

    def go_on(self) -> None:
        self._api.go_on()


@asynccontextmanager
async def bot_side(folder: Path) -> AsyncIterator[BotSide]:
    async with standin({**RECEIVING, **SENDING}) as api:
        # A clock that goes on so fast that no chat is ever told too much at once.
        sender = TelegramSender("main", TOKEN, api_url=api.api_url, seconds=50.0, monotonic=count(0.0, 100.0).__next__)
        try:
            yield BotSide(sender, api)
        finally:
            await sender.close()


ADAPTER = ChannelAdapter(
    account=ACCOUNT,
    options={},
    inbound={
        "webhook": (webhook, frozenset({"twice", "half", "never", "lost", "late"})),
        "polling": (polling, frozenset(PollingWire.PLANS)),
    },
    notice={"recipient": Address(address=str(ANNA), name="Анна"), "destination": {"chat": ANNA}},
    senders={"bot": (bot_side, frozenset(BotSide.PLANS))},
)
