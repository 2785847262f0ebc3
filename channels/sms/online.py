"""A look at the channel's accounts, for `gateway check --online`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from channels.contract import Finding, Surroundings
from channels.sms import kannel_online
from channels.sms.kannel_settings import KannelAccount
from channels.sms.settings import SmsAccount
from channels.twilio import online


async def look(accounts: Mapping[str, SmsAccount | KannelAccount], _around: Surroundings) -> Sequence[Finding]:
    """Of each account; nothing is changed, and nobody is written to."""
    theirs = {name: account for name, account in accounts.items() if isinstance(account, SmsAccount)}
    ours = {name: account for name, account in accounts.items() if isinstance(account, KannelAccount)}
    return [*await online.look("sms", theirs, numbers=True), *await kannel_online.look(ours)]
