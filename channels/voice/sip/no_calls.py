"""Nothing is said by a telephone call that nobody asked for: who called is told by the next channel."""

from __future__ import annotations

from normalizer.message import Delivery, Fault, Notice, Receipt


class NoCalls:
    """A sender that hands everything on; `channels.contract.Sender`."""

    async def send(self, notice: Notice) -> Receipt:
        """UNREACHABLE about the channel: the number stays good."""
        detail = "nobody is called for a notice; the next channel has it, where there is one"
        return Receipt(delivery=Delivery.UNREACHABLE, fault=Fault.FAR_SIDE, about="channel", detail=detail)
