"""A look at accounts of Twilio's from outside, for `gateway check --online`: nothing is changed or sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from channels.contract import Finding
from channels.credentials import reveal
from channels.twilio.errors import Refused, Unanswered, Unsent, judge
from channels.twilio.outbound import Line
from channels.twilio.settings import TwilioNumbers

if TYPE_CHECKING:
    from channels.twilio.rest import Rest


async def look(channel: str, accounts: Mapping[str, TwilioNumbers], *, numbers: bool) -> Sequence[Finding]:
    """Of each account: its token and state; with `numbers` also whether its telephone numbers are there."""
    found = await asyncio.gather(*(_one(f"{channel}/{name}", each, numbers) for name, each in accounts.items()))
    return [finding for findings in found for finding in findings]


async def _one(what: str, account: TwilioNumbers, numbers: bool) -> Sequence[Finding]:
    try:
        line = Line(account, reveal(account.auth_token))
        state = await line.ask(lambda rest: rest.status())
        # Short codes are in a list of their own.
        asked = [number for number in account.numbers if numbers and number.startswith("+")]
        missing = [number for number in asked if not await line.ask(partial(_has, number))]
    except (KeyError, OSError, ValueError) as error:
        return [Finding(what=what, trouble=f"auth_token cannot be read: {type(error).__name__}")]
    except Refused as error:
        trouble = judge(error).receipt.detail
        mend = "; see account_sid and auth_token" if error.status in (401, 403, 404) else ""
        return [Finding(what=what, trouble=f"{trouble}{mend}")]
    except (Unsent, Unanswered) as error:
        return [Finding(what=what, trouble=f"{account.api_url}: {error}")]
    if state != "active":
        return [Finding(what=what, trouble=f"the account is {state}: nothing goes out")]
    return [
        Finding(what=what, good=f"the token is good; account {account.account_sid} is active"),
        *(Finding(what=f"{what} {number}", trouble="the account has no such number") for number in missing),
    ]


async def _has(number: str, rest: Rest) -> bool:
    return await rest.has_number(number)
