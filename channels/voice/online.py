"""A look at the channel's accounts, for `gateway check --online`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from channels.contract import Finding, Surroundings
from channels.credentials import reveal
from channels.twilio import online
from channels.twilio.errors import Refused, Unanswered, Unsent
from channels.twilio.outbound import Line
from channels.voice.settings import VoiceAccount
from channels.voice.sip import online as sip
from channels.voice.sip.settings import SipAccount

if TYPE_CHECKING:
    from channels.twilio.rest import Called, Rest

MISSING: Mapping[str, str] = {
    "calls": "calls to it lead nowhere: {url} is where they should",
    "failures": "while nothing can be kept here callers hear the provider's error: {url} as the address for failures",
    "ends": "nobody tells us of callers who hang up: {url}/status as the address for changes of a call's status",
}
"""Address that a number has not -> what is wrong, and what would be right."""


async def look(accounts: Mapping[str, VoiceAccount | SipAccount], around: Surroundings) -> Sequence[Finding]:
    """Of each account at the provider; nothing is changed, and nobody is called."""
    theirs = {name: account for name, account in accounts.items() if isinstance(account, VoiceAccount)}
    found = await online.look("voice", theirs, numbers=True)
    addresses = await asyncio.gather(*(_addresses(name, account) for name, account in theirs.items()))
    ours = {name: account for name, account in accounts.items() if isinstance(account, SipAccount)}
    return [*found, *(finding for findings in addresses for finding in findings), *await sip.look(ours, around)]


async def _addresses(name: str, account: VoiceAccount) -> Sequence[Finding]:
    findings: list[Finding] = []
    try:
        line = Line(account, reveal(account.auth_token))
        for number in account.numbers:
            called = await line.ask(partial(_called, number))
            trouble = _trouble(called, f"<public address>/channels/voice/{name}") if called is not None else ""
            findings += [Finding(what=f"voice/{name} {number}", trouble=trouble)] if trouble else []
    except (KeyError, OSError, ValueError, Refused, Unsent, Unanswered):
        return []  # What is wrong with the account itself was said before.
    return findings


def _trouble(called: Called, url: str) -> str:
    missing = [said.format(url=url) for name, said in MISSING.items() if getattr(called, name) == ""]
    return "; ".join(missing)


async def _called(number: str, rest: Rest) -> Called | None:
    return await rest.called(number)
