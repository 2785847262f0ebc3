"""A look at the channel's accounts, for `gateway check --online`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from channels.contract import Finding, Surroundings
from channels.twilio import online
from channels.whatsapp.settings import WhatsappAccount


async def look(accounts: Mapping[str, WhatsappAccount], _around: Surroundings) -> Sequence[Finding]:
    """Of each account; nothing is changed, and nobody is written to."""
    return await online.look("whatsapp", accounts, numbers=False)
