"""What belongs to something that a provider lists (files of a message, recordings of a call): it is waited for a while.

Nothing is held up for ever by what belongs to it, and a host in trouble is not asked for one thing after another.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from channels.contract import Clock
from channels.twilio.lists import NotListed

log = logging.getLogger(__name__)

TRIES = 3
"""After so many refusals something is taken in without what belongs to it."""
TROUBLE = timedelta(minutes=10)
"""The same where the host is in trouble for so long: what is taken in without its files never gets them."""
T = TypeVar("T")


class Patience:
    """Of one account."""

    def __init__(self, clock: Clock, host: str, or_stop: Callable[[Awaitable[Any]], Awaitable[Any]]) -> None:
        """`host`: who lists, for operators. `or_stop` ends a question when we stop (`channels.rounds.Rounds`)."""
        self._clock, self._host, self._or_stop = clock, host, or_stop
        self._without: dict[str, tuple[int, datetime]] = {}
        """SID -> how often what belongs to it could not be listed, and since when."""
        self._troubled: tuple[datetime, datetime] | None = None
        """Since when nothing at all can be listed, and when that was seen last."""
        self._tired = False
        """That was found out in this round: a host that hangs or wants a rest is asked once, and nobody who sent no
        files waits for it."""

    def rest(self) -> None:
        """A round begins: the host may be asked again."""
        self._tired = False

    async def wait(self, sid: str, ask: Callable[[], Awaitable[Sequence[T]]]) -> Sequence[T]:
        """What `ask` gives; nothing when it cannot be had after several tries. Raises NotListed while it is waited for.

        `sid`: whose it is.
        """
        try:
            if self._tired:
                raise NotListed(f"{self._host} lists nothing more now")
            found: Sequence[T] = await self._or_stop(ask())
            self._troubled = None
        except NotListed as error:
            if not self._gives_up(sid, error):
                raise
            log.warning("%s: something is taken in without what belongs to it: %s", self._host, error)
            found = ()
        self._without.pop(sid, None)
        return found

    def _gives_up(self, sid: str, error: NotListed) -> bool:
        """It is waited for no longer."""
        now = self._clock()
        count, since = self._without.get(sid, (0, now))
        self._without[sid] = (count + 1, since)
        if not _is_trouble(error):
            return error.status in (404, 410) or count + 1 >= TRIES
        begun, seen = self._troubled or (now, now)
        # What was last seen so long ago was another trouble.
        begun = begun if now - seen < TROUBLE else now
        self._tired, self._troubled = True, (begun, now)
        return now - min(since, begun) >= TROUBLE


def _is_trouble(error: NotListed) -> bool:
    """It is about the host, and not about what was asked for."""
    return error.status is None or error.status in (408, 429) or error.status >= 500
