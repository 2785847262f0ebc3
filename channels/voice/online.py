"""A look at the channel's accounts, for `gateway check --online`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from channels.contract import Finding, Surroundings
from channels.twilio import online
from channels.voice.settings import VoiceAccount


async def look(accounts: Mapping[str, VoiceAccount], _around: Surroundings) -> Sequence[Finding]:
    """Of each account; nothing is changed, and nobody is called."""
    return await online.look("voice", accounts, numbers=True)
