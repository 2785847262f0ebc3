"""getUpdates with its real semantics (core.telegram.org/bots/api#getupdates)."""

from __future__ import annotations

import asyncio

from gateway.demo.bot_api.bots import Bot
from gateway.demo.bot_api.calls import ApiError, Call, RawJson, method

HOOKED = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
LONGEST_POLL = 50
"""Seconds; a longer timeout counts as this one."""


async def get_updates(call: Call) -> RawJson:
    """Updates from `offset` on; those before it are confirmed. One poll at a time: a second one ends the first."""
    bot, offset = call.bot, call.integer("offset")
    if bot.hook is not None:
        raise ApiError(409, HOOKED)
    limit = call.integer("limit", 100)
    limit = limit if 1 <= limit <= 100 else 100
    bot.allow(call.value("allowed_updates"))
    bot.end_poll("other getUpdates request; make sure that only one bot instance is running")
    found = bot.take(offset, limit)
    if call.again and bot.confirmed:
        bot.put_back()
        found, call.again = bot.take(0, limit), False
    seconds = min(call.integer("timeout"), LONGEST_POLL)
    if not found and seconds > 0 and await _something(bot, seconds):
        found = bot.take(offset, limit)
    return RawJson(f"[{','.join(update.text for update in found)}]")


async def _something(bot: Bot, seconds: int) -> bool:
    poll: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    bot.poll = poll
    try:
        async with asyncio.timeout(seconds):
            return await poll
    except TimeoutError:
        return False
    finally:
        if bot.poll is poll:
            bot.poll = None


UPDATES = {"getUpdates": method(get_updates, "offset limit timeout allowed_updates")}
