"""LMTP (RFC 2033): SMTP for the last hop, with one reply for each recipient after the message.

A message is one entry with one commit, so its replies are alike; their number is what the client counts on:
it takes a missing one for another recipient's, and a reply to its next command for a missing one.
"""

from __future__ import annotations

from aiosmtpd.smtp import syntax

from channels.mail.server import Connection

_SMTP_GREETINGS = ("smtp_HELO", "smtp_EHLO")


class LmtpConnection(Connection):
    """One LMTP connection."""

    protocol = "LMTP"

    def __dir__(self) -> list[str]:
        """LHLO stands for HELO and EHLO, which RFC 2033 section 4.1 forbids."""
        return [name for name in super().__dir__() if name not in _SMTP_GREETINGS] + ["smtp_LHLO"]

    @syntax("LHLO hostname")
    async def smtp_LHLO(self, hostname: str) -> None:
        """RFC 2033 section 4.1: the same answer as to EHLO."""
        if not hostname:
            await self.push("501 Syntax: LHLO hostname")
            return
        await self.smtp_EHLO(hostname)

    async def check_helo_needed(self, helo: str = "LHLO") -> bool:
        """Name our greeting in the refusal."""
        return bool(await super().check_helo_needed("LHLO"))

    def replies(self, reply: str, recipients: int) -> list[str]:
        """RFC 2033 section 4.2: one reply for each RCPT that was accepted, in their order, repeats among them."""
        return [reply] * max(recipients, 1)

    async def handle_exception(self, error: Exception) -> str:
        """Nobody can say how many replies are owed after a fault of ours: the connection ends, the client repeats."""
        reply = await super().handle_exception(error)
        if self.transport is not None:
            self.say_goodbye("421 4.3.0 Local error, please try again later")
        return reply
