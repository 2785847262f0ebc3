"""How fast a bot may talk: to one chat, to one group, in all; and who waits after "Too Many Requests".

The published limits (https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this) are one message
a second to a chat, 20 a minute to a group and about 30 a second in all; the true ones are not told, so a 429 is
obeyed whatever we counted. A chat that is not free is put off at once and keeps no place among the sends at the same
time; only the limit over all, which passes within a second, is waited for.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TypeAlias

Chat: TypeAlias = tuple[int, str]
"""Chat id, and the business connection or ""."""

PER_CHAT, CHAT_SPAN = 1, 1.0
PER_GROUP, GROUP_SPAN = 20, 60.0
OVER_ALL, ALL_SPAN = 30, 1.0
REMEMBERED = 5000
"""Chats whose last sends are known; of more the longest silent are forgotten."""
PRESSES: Chat = (0, "")
"""Stands for the answers to buttons, which go to no chat."""


class Pacing:
    """Of one bot. All times are seconds of `monotonic`."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._now = monotonic
        self._sent: OrderedDict[Chat, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=OVER_ALL)
        self._paused: dict[Chat, float] = {}

    def wait(self, chat: Chat | None) -> float:
        """Seconds until something may be sent to this chat; 0.0: now. None: to no chat (the answer to a button)."""
        paused = self._paused.get(chat or PRESSES, 0.0)
        return max(paused - self._now(), 0.0 if chat is None else self._free_at(chat) - self._now(), 0.0)

    def _free_at(self, chat: Chat) -> float:
        sent = self._sent.get(chat, ())
        free = sent[-PER_CHAT] + CHAT_SPAN if len(sent) >= PER_CHAT else 0.0
        if chat[0] < 0 and len(sent) >= PER_GROUP:
            free = max(free, sent[-PER_GROUP] + GROUP_SPAN)
        return free

    async def turn(self, chat: Chat | None) -> None:
        """Take a place for one call to this chat, and wait for the place over all chats (under two seconds)."""
        now = self._now()
        if chat is not None:
            self._sent.setdefault(chat, deque(maxlen=PER_GROUP)).append(now)
            self._sent.move_to_end(chat)
            while len(self._sent) > REMEMBERED:
                self._sent.popitem(last=False)
        at = max(now, self._all[0] + ALL_SPAN) if len(self._all) == OVER_ALL else now
        self._all.append(at)
        if at > now:
            await asyncio.sleep(at - now)

    def told_to_wait(self, chat: Chat | None, seconds: float) -> None:
        """The far side answered 429: this chat pauses, or the answers to buttons do, and nobody else.

        It does not say whether the bot as a whole was too fast: then the next chat hears it, too, and pauses as well,
        while those that may be written to are not kept waiting.
        """
        now = self._now()
        self._paused = {known: until for known, until in self._paused.items() if until > now}
        self._paused[chat or PRESSES] = now + seconds
