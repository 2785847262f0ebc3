"""A look at the channel's accounts, for `gateway check --online`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from channels.contract import Finding, Surroundings
from channels.twilio import online
from channels.voice.settings import VoiceAccount
from channels.voice.sip import online as sip
from channels.voice.sip.settings import SipAccount


async def look(accounts: Mapping[str, VoiceAccount | SipAccount], around: Surroundings) -> Sequence[Finding]:
    """Of each account; nothing is changed, and nobody is called."""
    theirs = {name: account for name, account in accounts.items() if isinstance(account, VoiceAccount)}
    ours = {name: account for name, account in accounts.items() if isinstance(account, SipAccount)}
    return [*await online.look("voice", theirs, numbers=True), *await sip.look(ours, around)]
