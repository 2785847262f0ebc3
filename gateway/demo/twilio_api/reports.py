"""What is told of the account's messages: late, twice, out of order, before the call that made them returned, or never.

https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gateway.demo.twilio_api.messages import Message, Messages
from gateway.demo.twilio_api.messages_checks import People, bare
from gateway.demo.twilio_api.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """How the states of one message are told. The first state of all, queued, never is."""

    states: tuple[str, ...] = ("sent", "delivered")
    """In the order in which they are told."""
    code: str = ""
    """Why it failed, beside failed and undelivered."""
    early: bool = False
    """Before the call that made the message is answered."""
    late: bool = False
    """Only after `TwilioApi.go_on`."""
    twice: bool = False
    """Each one two times, at once."""


NEVER = Reports(states=())


@dataclass(slots=True)
class Reporter:
    """Tells the gateway of the states of messages, at the address that each one was sent with."""

    network: Network
    messages: Messages
    news: Callable[[], None]
    usual: Reports = Reports()
    plan: deque[Reports] = field(default_factory=deque)
    told: list[tuple[str, str, bool]] = field(default_factory=list)
    """(SID, state, whether it was taken), as it happened."""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def begin(self, message: Message, people: People) -> None:
        """A message was made: tell of it beside what goes on, or before anything does."""
        reports = self.plan.popleft() if self.plan else _of(bare(message.to), people, self.usual)
        if reports.early:
            await self._tell(message, reports)
            return
        task = asyncio.create_task(self._later(message, reports))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Nothing more is told."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _later(self, message: Message, reports: Reports) -> None:
        if reports.late:
            await self.go_on.wait()
        await self._tell(message, reports)

    async def _tell(self, message: Message, reports: Reports) -> None:
        for state in reports.states:
            code = reports.code if state in ("failed", "undelivered") else ""
            self.messages.advance(message, state, code)
            copies = [self._once(message, state, code) for _ in range(2 if reports.twice else 1)]
            await asyncio.gather(*copies)

    async def _once(self, message: Message, state: str, code: str) -> None:
        if not message.callback:
            return
        error = {"ErrorCode": code} if code else {}
        fields = {
            "SmsSid": message.sid, "SmsStatus": state, "MessageStatus": state, "To": message.to,
            "MessageSid": message.sid, "AccountSid": self.network.account_sid, "From": message.sender,
            "ApiVersion": "2010-04-01", **error,
        }  # fmt: skip
        self.told.append((message.sid, state, await self.network.tell(message.callback, list(fields.items()))))
        self.news()


def _of(number: str, people: People, usual: Reports) -> Reports:
    """By how the person is."""
    if number in people.off:
        return replace(usual, states=("sent", "undelivered"), code="30003")
    if number in people.silent:
        return replace(usual, states=("failed",), code="63016")
    return usual
