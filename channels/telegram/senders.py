"""Closes the connections of senders: when the gateway stops, and after a reload that made others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from channels.contract import Intake

Closer = Callable[[], Awaitable[None]]


class OpenSenders:
    """Of all bots; `channels.contract.Listener` (nothing listens) and `Reloads`."""

    def __init__(self, closers: Sequence[Closer]) -> None:
        """`closers`: one for each sender."""
        self._closers = closers

    async def start(self, intake: Intake) -> None:
        """Senders connect when they send."""

    def listening(self) -> dict[str, str]:
        """Nothing."""
        return {}

    async def stop(self) -> None:
        """Close them."""
        for close in self._closers:
            await close()

    def adopt(self, successor: OpenSenders) -> Sequence[Closer]:
        """The outbox uses the successor's from now on; closes ours."""
        old, self._closers = self._closers, successor._closers
        return old
