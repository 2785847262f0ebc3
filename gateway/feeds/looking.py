"""What `gateway check --online` finds out about feeds: exactly which connection, right, field or value is missing."""

from __future__ import annotations

import asyncio
from random import Random

from channels.contract import Clock, Finding
from gateway.despatch import NoAnswer, limited
from gateway.feeds.contract import Feed
from gateway.feeds.running import build
from gateway.settings import Settings


async def look(settings: Settings, clock: Clock) -> list[Finding]:
    """The findings of every feed; nothing is written anywhere."""
    try:
        feeds = build(settings, clock=clock, random=Random())
    except (KeyError, OSError, ValueError) as error:
        return [Finding(what="feeds", trouble=f"a secret is not there, or is none: {error}")]
    found = await asyncio.gather(*(_one(name, feed, settings) for name, feed in feeds.items()))
    return [finding for findings in found for finding in findings]


async def _one(name: str, feed: Feed, settings: Settings) -> list[Finding]:
    what, seconds = f"feed {name}", settings.feeds[name].timeout.total_seconds()
    try:
        await feed.open()
        findings = await limited(feed.check(), 2 * seconds)
    finally:
        await feed.close()
    if isinstance(findings, NoAnswer):
        return [Finding(what=what, trouble=findings.detail)]
    shown = [Finding(what=what, good=f"it works, but {said}") for said in _pilots(name, settings)]
    for each in findings:
        mend = f"; {each.mend}" if each.mend else ""
        if each.good:
            shown.append(Finding(what=what, good=each.what))
        elif each.warning:
            shown.append(Finding(what=what, good=f"it works, but {each.what}{mend}"))
        else:
            shown.append(Finding(what=what, trouble=f"{each.what}{mend}"))
    return shown


def _pilots(name: str, settings: Settings) -> list[str]:
    """An account that writes to nobody is a pilot's as a rule, and a pilot writes into no desk's store."""
    silent = [
        f"{channel}.{account}"
        for channel, accounts in settings.channels.items()
        for account, one in accounts.items()
        if one.outbound != "on"
    ]
    if not silent or not settings.feeds[name].push:
        return []
    named = ", ".join(silent)
    return [f"tickets of {named}, which writes to nobody, are written there; in a pilot say `push: no` and `read: no`"]
