"""What errors of the Bot API mean for what asks it again and again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from channels.rounds import Judge, Setback
from channels.telegram.api import NoAnswer, Refused

URGENT = frozenset({401, 404, 409})
"""No waiting mends these."""
HOPELESS = frozenset({401, 404})
"""The token is none; 409 ends when the other poller does."""


def judging(explain: Callable[[Refused], Awaitable[str]]) -> Judge:
    """`explain` says in words what a refusal means."""

    async def judge(error: Exception) -> Setback | None:
        match error:
            case Refused():
                why, code = await explain(error), error.code
                return Setback(why=why, urgent=code in URGENT, hopeless=code in HOPELESS, retry_after=error.retry_after)
            case NoAnswer():
                return Setback(why=str(error))
            case _:
                return None

    return judge
