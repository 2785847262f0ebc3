"""A webhook is looked after from our side: operators hear when Telegram does not reach us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from channels.contract import Watched
from channels.telegram.watch import HookWatch, hook_trouble
from channels.telegram.webhook import BotName
from gateway.demo.bot_api import BotApi, Fault
from gateway.demo.bot_api.bots import Hook
from tests.channels.telegram.bots import NOW, PATIENCE, QUICK, Journal, Time, account
from tests.telegram.standin import DATE, TOKEN, standin

OURS = "https://help.desk.example/channels/telegram/main"


@asynccontextmanager
async def watching(api: BotApi, bot: BotName) -> AsyncIterator[HookWatch]:
    settings = account(mode="webhook", api_url=api.api_url)
    watch = HookWatch(
        "main", settings, TOKEN, clock=Time(), chance=lambda: 0.5, bot=bot, pace=QUICK, every=0.05
    )  # fmt: skip
    await watch.start(Journal())
    try:
        yield watch
    finally:
        await watch.stop()


async def trouble(watch: HookWatch, words: str) -> None:
    ends = asyncio.get_running_loop().time() + PATIENCE
    while (words not in watch.trouble()) if words else watch.trouble():
        assert asyncio.get_running_loop().time() < ends, f"{words!r} was awaited, not {watch.trouble()!r}"
        await asyncio.sleep(0.01)


async def test_the_bots_name_is_learnt_and_a_webhook_that_is_not_ours_is_told() -> None:
    async with standin() as api:
        name = BotName()
        api.plan(Fault(kind="html", method="getMe"))
        async with watching(api, name) as watch:
            assert isinstance(watch, Watched)
            assert watch.listening() == {}
            await trouble(watch, "no webhook is set")
            assert name.username == "desk_bot"
            api.bot().hook = Hook("https://other.example/x", "", 1)
            await trouble(watch, "not that of this account")
            api.bot().hook = Hook(OURS, "", 1)
            await trouble(watch, "")
            api.bot().revoked = True
            await trouble(watch, "refuses the token")
            assert TOKEN not in watch.trouble()
        # It can be started again.
        api.bot().revoked = False
        await watch.start(Journal())
        await trouble(watch, "")
        await watch.stop()


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({}, "no webhook is set"),
        ({"url": OURS + "2"}, "not that of this account"),
        ({"url": OURS}, ""),
        ({"url": OURS, "pending_update_count": 3}, ""),
        ({"url": OURS, "pending_update_count": 3, "last_error_date": DATE + 1700}, "3 updates wait: 503"),
        ({"url": OURS, "pending_update_count": 3, "last_error_date": DATE + 500}, ""),
        ({"url": OURS, "pending_update_count": 0, "last_error_date": DATE + 1700}, ""),
        ({"url": None, "pending_update_count": "x"}, "no webhook is set"),
    ],
)
def test_trouble_is_a_wrong_address_or_failing_deliveries(info: dict[str, Any], words: str) -> None:
    assert datetime.fromtimestamp(DATE + 1800, UTC) == NOW
    found = hook_trouble({"last_error_message": "503 Service Unavailable", **info}, "main", NOW)
    assert bool(found) == bool(words)
    assert words in found
