"""Looks at bots from outside, for `gateway check --online` and `gateway telegram status`: nothing is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from channels.contract import Finding, Surroundings
from channels.credentials import reveal
from channels.telegram.api import Api, NoAnswer, Refused
from channels.telegram.polling import explain
from channels.telegram.settings import TelegramAccount
from channels.telegram.watch import hook_trouble


async def look(accounts: Mapping[str, TelegramAccount], _around: Surroundings) -> Sequence[Finding]:
    """Of each bot: its token, and how updates come."""
    found = await asyncio.gather(*(status(name, account) for name, account in accounts.items()))
    return [finding for findings in found for finding in findings]


async def status(name: str, account: TelegramAccount) -> Sequence[Finding]:
    """The same of one bot."""
    what = f"telegram/{name}"
    api = Api(account, reveal(account.token))
    try:
        me = await api.result("getMe")
        info = await api.result("getWebhookInfo")
    except Refused as error:
        return [Finding(what=what, trouble=await explain(error, name, api))]
    except NoAnswer as error:
        return [Finding(what=what, trouble=str(error))]
    finally:
        await api.close()
    if not isinstance(me, Mapping) or not isinstance(info, Mapping):
        return [Finding(what=what, trouble=f"{api.host} answers with something that is not the Bot API's")]
    return [
        Finding(what=what, good=f"the token is good: @{me.get('username')}, id {me.get('id')}; {_groups(me)}"),
        _updates(f"{what} updates", name, account, info),
    ]


def _groups(me: Mapping[str, Any]) -> str:
    if not me.get("can_join_groups"):
        return "it cannot be added to groups"
    whole = "everything" if me.get("can_read_all_group_messages") else "commands, mentions and replies"
    return f"in groups it sees {whole}"


def _updates(what: str, name: str, account: TelegramAccount, info: Mapping[str, Any]) -> Finding:
    url, queue = str(info.get("url") or ""), f"{info.get('pending_update_count', 0)} updates wait"
    if account.mode == "polling":
        if url:
            mend = f"`gateway telegram setup {name}` removes it"
            return Finding(what=what, trouble=f"a webhook is set, so polling gets nothing; {queue}; {mend}")
        return Finding(what=what, good=f"polling; {queue}")
    if trouble := hook_trouble(info, name, datetime.now(UTC)):
        return Finding(what=what, trouble=f"{trouble} ({queue})")
    return Finding(what=what, good=f"webhook {url}, {info.get('max_connections')} at a time; {queue}; {_last(info)}")


def _last(info: Mapping[str, Any]) -> str:
    at = info.get("last_error_date")
    if not isinstance(at, int):
        return "no delivery has failed"
    said = str(info.get("last_error_message") or "")[:300]
    return f"the last failure was at {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC: {said}"
