"""Telegram under the contract suite: the webhook and polling in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from channels.contract import Intake, Wiring
from channels.registry import CHANNELS
from channels.telegram.api import Api
from channels.telegram.polling import Poller
from channels.telegram.rounds import Pace
from channels.telegram.settings import TelegramAccount
from gateway.demo.bot_api import Bot, BotApi, Fault
from gateway.demo.bot_api.webhooks import Deliveries
from tests.contract.channel_adapter import NOW, ChannelAdapter, Mishap, listening
from tests.telegram.standin import SECRET, TOKEN, said, standin

ACCOUNT: dict[str, Any] = {"token": TOKEN, "secret": SECRET, "mode": "webhook"}
QUICK = Pace(first=0.02, longest=0.05, refused=0.05)


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

    PLANS: dict[Mishap, Fault] = {
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
async def polling(folder: Path, intake: Intake) -> AsyncIterator[PollingWire]:
    async with standin() as api:
        account = TelegramAccount.model_validate({"token": TOKEN, "api_url": api.api_url, "poll": "1s"})
        poller = Poller(
            "main", account, TOKEN, clock=lambda: NOW, ledger=None, spool=folder, unique=lambda: "1",
            chance=lambda: 0.5, pace=QUICK, grace=0.5,
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
async def webhook(folder: Path, intake: Intake) -> AsyncIterator[WebhookWire]:
    account = TelegramAccount.model_validate(ACCOUNT)
    hook = CHANNELS["telegram"].build({"main": account}, wiring(folder)).webhooks["main"]
    site = web.Application()
    site.add_routes([web.RouteDef(each.method, "/hook", each.handler, each.kwargs) for each in hook.routes(intake)])
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with standin(delivery_timeout=2.0, delivery_pause=0.02) as api:
            told = {"url": f"http://127.0.0.1:{runner.addresses[0][1]}/hook", "secret_token": SECRET}
            client = Api(TelegramAccount.model_validate({**ACCOUNT, "api_url": api.api_url}), TOKEN)
            await client.result("setWebhook", told)
            await client.close()
            yield WebhookWire(api)
    finally:
        await runner.cleanup()


ADAPTER = ChannelAdapter(
    account=ACCOUNT,
    options={},
    inbound={
        "webhook": (webhook, frozenset({"twice", "half", "never", "lost", "late"})),
        "polling": (polling, frozenset(PollingWire.PLANS)),
    },
)
