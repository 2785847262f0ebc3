"""Webhooks: set, shown, deleted, and updates delivered to them until they are taken.

Deliveries run up to `max_connections` at a time and overtake each other; what is not answered with 2xx is repeated.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import aiohttp

from gateway.demo.bot_api.bots import Bot, Hook, Waiting
from gateway.demo.bot_api.calls import ApiError, Call, method
from gateway.demo.bot_api.faults import Fault

SECRET = "X-Telegram-Bot-Api-Secret-Token"  # the header's name
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")


async def set_webhook(call: Call) -> bool:
    """Deliver from now on. An empty URL deletes it."""
    url, secret, bot = call.text("url"), call.text("secret_token"), call.bot
    if not url:
        return await delete_webhook(call)
    if not re.match(r"https?://[^/\s]+", url):
        raise ApiError(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
    if secret and not _SECRET.fullmatch(secret):
        raise ApiError(400, "Bad Request: secret token contains unallowed characters")
    connections = call.integer("max_connections", 40)
    if not 1 <= connections <= 100:
        raise ApiError(400, "Bad Request: max_connections must be from 1 to 100")
    bot.allow(call.value("allowed_updates"))
    if call.flag("drop_pending_updates"):
        bot.waiting.clear()
    bot.end_poll("setWebhook request")
    bot.hook = Hook(url, secret, connections)
    bot.wake()
    return True


async def delete_webhook(call: Call) -> bool:
    """Deliver no more; updates wait for getUpdates."""
    call.bot.hook = None
    if call.flag("drop_pending_updates"):
        call.bot.waiting.clear()
    call.bot.wake(False)
    return True


async def get_webhook_info(call: Call) -> dict[str, Any]:
    """What is set, how many wait, and what went wrong last."""
    bot, hook = call.bot, call.bot.hook
    found: dict[str, Any] = {"url": hook.url if hook else "", "has_custom_certificate": False}
    found["pending_update_count"] = len(bot.waiting)
    if hook is not None:
        found |= {"max_connections": hook.max_connections, "ip_address": "192.0.2.1"}
        if hook.last_error_date:
            found |= {"last_error_date": hook.last_error_date, "last_error_message": hook.last_error_message}
    if bot.allowed is not None:
        found["allowed_updates"] = sorted(bot.allowed)
    return found


WEBHOOKS = {
    "setWebhook": method(
        set_webhook, "certificate ip_address max_connections allowed_updates drop_pending_updates secret_token", "url"
    ),
    "deleteWebhook": method(delete_webhook, "drop_pending_updates"),
    "getWebhookInfo": method(get_webhook_info),
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One try to deliver one update."""

    update: int
    status: int | None
    """None: no answer was read."""
    body: bytes
    """Of the answer."""


@dataclass(slots=True)
class Deliveries:
    """What the webhook's tries came to, and what goes wrong with the next ones."""

    tries: list[Delivery] = field(default_factory=list)
    plan: deque[Fault] = field(default_factory=deque)
    under_way: dict[int, asyncio.Task[None]] = field(default_factory=dict)


class Deliverer:
    """Delivers one bot's updates while the server runs."""

    def __init__(
        self, bot: Bot, client: aiohttp.ClientSession, *, timeout: float, pause: float, after: Callable[[], None]
    ) -> None:
        """`timeout` for one try and `pause` before the next, in seconds; `after` is called after each try."""
        self._bot, self._client, self._timeout, self._pause = bot, client, timeout, pause
        self._record, self._after = bot.part(Deliveries), after

    async def run(self) -> None:
        """Until it is cancelled."""
        tasks = self._record.under_way
        try:
            while True:
                self._bot.changed.clear()
                hook = self._bot.hook
                for update in list(self._bot.waiting) if hook else []:
                    if hook is not None and len(tasks) < hook.max_connections and update.id not in tasks:
                        tasks[update.id] = asyncio.create_task(self._deliver(hook, update))
                await self._bot.changed.wait()
        finally:
            for task in list(tasks.values()):
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _deliver(self, hook: Hook, update: Waiting) -> None:
        try:
            if await self._taken(hook, update):
                if update in self._bot.waiting:
                    self._bot.waiting.remove(update)
                self._after()
            else:
                hook.last_error_date = int(time.time())
                self._after()
                await asyncio.sleep(self._pause)
        finally:
            self._record.under_way.pop(update.id, None)
            self._bot.changed.set()

    async def _taken(self, hook: Hook, update: Waiting) -> bool:
        fault = self._record.plan.popleft() if self._record.plan else None
        try:
            async with asyncio.timeout(self._timeout):
                taken = await self._try(hook, update, fault)
                if fault is not None and fault.kind == "twice":
                    taken = await self._try(hook, update, None) and taken
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            late = isinstance(error, TimeoutError)
            hook.last_error_message = "Read timeout expired" if late else "Connection reset by peer"
            self._record.tries.append(Delivery(update.id, None, b""))
            return False
        # The answer is lost on its way: they do not know that it was taken.
        return taken and (fault is None or fault.kind != "lost")

    async def _try(self, hook: Hook, update: Waiting, fault: Fault | None) -> bool:
        content = update.text.encode()
        headers = {"Content-Type": "application/json"}
        if hook.secret:
            headers[SECRET] = hook.secret
        data: Any = BytesIO(content)
        if fault is not None and fault.kind in _BROKEN:
            headers["Content-Length"] = str(len(content))
            data = _BROKEN[fault.kind](content)
        async with self._client.post(hook.url, data=data, headers=headers, allow_redirects=False) as answer:
            body = await answer.read()
        self._record.tries.append(Delivery(update.id, answer.status, body))
        if 200 <= answer.status < 300:
            return True
        hook.last_error_message = f"Wrong response from the webhook: {answer.status} {answer.reason}"
        return False


async def _half(content: bytes) -> AsyncIterator[bytes]:
    yield content[: len(content) // 2]
    raise ConnectionResetError("half of it")


async def _late(content: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(content), len(content) // 3 + 1):
        yield content[begin : begin + len(content) // 3 + 1]
        await asyncio.sleep(0.05)


async def _never(content: bytes) -> AsyncIterator[bytes]:
    yield content[:1]
    await asyncio.Event().wait()


_BROKEN: dict[str, Callable[[bytes], AsyncIterator[bytes]]] = {
    "half": _half, "late": _late, "never": _never,
}  # fmt: skip
"""What is done to the body of one delivery."""
