"""A look at the channel's accounts, for `gateway check --online`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from channels.contract import Finding, Surroundings
from channels.sms.settings import SmsAccount
from channels.twilio import online


async def look(accounts: Mapping[str, SmsAccount], _around: Surroundings) -> Sequence[Finding]:
    """Of each account; nothing is changed, and nobody is written to."""
    return await online.look("sms", accounts, numbers=True)
