"""The way out: notices as messages, edits and answers to buttons of a bot.

One call of `send` is one call on the wire (twice where the first was refused for its form). The Bot API knows no
idempotency key and cannot be asked what went out, so a call whose answer is lost is `uncertain` and no prober helps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from channels.telegram.calls import Target, Unaddressed, check, target_of
from channels.telegram.pacing import Chat, Pacing
from channels.telegram.parts import divide
from normalizer.message import Delivery, Fault, Notice, Receipt

if TYPE_CHECKING:
    from channels.telegram.client import Client


class TelegramSender:
    """Sends for one bot; `divide` says which calls a notice takes."""

    def __init__(
        self, account: str, token: str, *, api_url: str, seconds: float, monotonic: Callable[[], float]
    ) -> None:
        """`api_url` is what stands before the token in the address of a method; `seconds` the hard limit of a call.

        Nothing is loaded or connected before the first notice.
        """
        if not token:
            raise ValueError("a bot without a token cannot send")
        self._made = (account, token, api_url, seconds)
        self._pacing = Pacing(monotonic)
        self._client: Client | None = None
        self._loading = asyncio.Lock()
        self._under_way = 0
        self._closed = False

    def divide(self, notice: Notice) -> Sequence[Notice]:
        """The notice as calls, each a row of the outbox; see `parts.divide`."""
        return divide(notice)

    async def send(self, notice: Notice) -> Receipt:
        """One call. A chat that must wait is answered RETRY at once, without a call."""
        try:
            target = target_of(notice)
            check(notice)
        except Unaddressed as error:
            return Receipt(delivery=Delivery.REFUSED, fault=Fault.MESSAGE, detail=str(error))
        chat = _chat(target)
        if (pause := self._pacing.wait(chat)) > 0:
            detail = "this chat gets no more messages for a moment"
            return Receipt(delivery=Delivery.RETRY, detail=detail, retry_after=pause)
        await self._pacing.turn(chat)
        self._under_way += 1
        try:
            receipt = await (await self._ready()).send(notice, target)
        finally:
            self._under_way -= 1
            await self._hang_up()
        if receipt.delivery is Delivery.RETRY and receipt.retry_after and not receipt.moved_to:
            self._pacing.told_to_wait(chat, receipt.retry_after)
        return receipt

    async def close(self) -> None:
        """Close the connections when the calls under way are over; later calls keep none."""
        self._closed = True
        await self._hang_up()

    async def _hang_up(self) -> None:
        client = self._client
        if self._closed and not self._under_way and client is not None:
            self._client = None
            await client.close()

    async def _ready(self) -> Client:
        async with self._loading:
            if self._client is None:
                # Loading the SDK takes most of a second; the wires go on meanwhile.
                module = await asyncio.to_thread(import_module, "channels.telegram.client")
                self._client = module.Client(*self._made)
            return self._client


def _chat(target: Target) -> Chat | None:
    return (target.chat, target.business or "") if target.chat else None
