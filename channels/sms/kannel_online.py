"""Is sendsms there, and does it know our password? Nobody is written to: the call names no recipient."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from channels.contract import Finding
from channels.credentials import reveal
from channels.sms.kannel_settings import KannelAccount

NO_RECIPIENT = "Missing receiver"
"""How Kannel answers a call with the right password and without a recipient."""


async def look(accounts: Mapping[str, KannelAccount]) -> list[Finding]:
    """Of each account that sends."""
    return [await _look(name, account) for name, account in accounts.items() if account.outbound == "on"]


async def _look(name: str, account: KannelAccount) -> Finding:
    what = f"sms/{name} sendsms"
    if account.password is None:
        return Finding(what=what, trouble="there is no password")
    limit = aiohttp.ClientTimeout(total=account.timeout)
    headers = {
        "Content-Type": "text/plain; charset=UTF-8",
        "X-Kannel-Username": account.username,
        "X-Kannel-Password": reveal(account.password),
    }
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as http,
            http.post(account.api_url, data=b"check", headers=headers, allow_redirects=False) as answer,
        ):
            said = (await answer.content.read(300)).decode("utf-8", "replace")
            status = answer.status
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        return Finding(what=what, trouble=f"cannot be reached: {type(error).__name__}")
    if status == 400 and NO_RECIPIENT in said:
        return Finding(what=what, good="takes our password")
    return Finding(what=what, trouble=f"answers {status}: {said[:200]}")
