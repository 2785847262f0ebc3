"""One account's circuit: after failures in a row nothing is tried for a while, then one notice on trial."""

from __future__ import annotations

from datetime import datetime, timedelta

FAILURES = 5
"""In a row, before an account pauses."""
SHORTEST, LONGEST = timedelta(seconds=5), timedelta(minutes=5)
"""The first pause, and what doubling it comes to at most."""


class Circuit:
    """Pauses one account while its far side is down; the others go on."""

    def __init__(self) -> None:
        self._failures = 0
        self._pause = SHORTEST
        self.reopens_at: datetime | None = None
        """None while everything is well."""

    def room(self, now: datetime, sending: int, limit: int) -> int:
        """How many more sends may begin, with `sending` under way and `limit` at the same time at most."""
        if self.reopens_at is None:
            return max(limit - sending, 0)
        return 0 if now < self.reopens_at or sending else 1

    def answered(self) -> None:
        """The far side works: it took a notice, or refused it for what it is."""
        self._failures, self._pause, self.reopens_at = 0, SHORTEST, None

    def failed(self, now: datetime) -> bool:
        """The far side is down, or answers nonsense. True when that begins or prolongs a pause."""
        self._failures += 1
        if self._failures < FAILURES:
            return False
        if self.reopens_at is None or now >= self.reopens_at:
            self.reopens_at = now + self._pause
            self._pause = min(self._pause * 2, LONGEST)
        return True
