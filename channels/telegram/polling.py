"""Polling: getUpdates again and again; an answer is committed with its offset before the next call confirms it.

Telegram forgets an update when a call names a higher offset (core.telegram.org/bots/api#getupdates), so that offset
stands in the cursor of the transaction that holds the update. One poller per bot: a second one gets 409.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from channels.contract import Clock, Cursor, Intake, Ledger
from channels.rounds import Pace, Rounds
from channels.spool import Spool
from channels.telegram.answers import updates
from channels.telegram.api import Api, NoAnswer, Refused
from channels.telegram.inbound import ALLOWED_UPDATES, parsed, raw_message, update_id
from channels.telegram.setbacks import judging
from channels.telegram.settings import TelegramAccount
from normalizer.message import Facts, RawMessage

log = logging.getLogger(__name__)

CURSOR = "updates"
SILENT = timedelta(days=6)
"""After a week without updates their numbers begin anew at random; the old offset would confirm them unseen."""
GRACE = 20.0
MOST = 100
"""Updates of one answer; the Bot API's own limit."""
HASTY = 0.5
"""Seconds. A far side that has nothing and says so sooner does not wait as it was asked to: without a pause of our own
we would ask it as often as the wire lets us."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How far the updates are committed."""

    offset: int
    seen: datetime
    """When the last ones came."""

    @classmethod
    def of(cls, value: str | None) -> Reached | None:
        """From a cursor's value; None where there is none, or none that can be read."""
        try:
            said = json.loads(value or "null")
            return cls(int(said["offset"]), datetime.fromisoformat(said["seen"]))
        except (ValueError, TypeError, KeyError):
            return None

    def value(self) -> str:
        """For a cursor."""
        return json.dumps({"offset": self.offset, "seen": self.seen.isoformat()})


class Poller:
    """One bot; `channels.contract.Listener`, `Watched`, `Exclusive`, `Reaches` and `Replaced`. Starts again after a
    stop."""

    def __init__(
        self,
        account_name: str,
        account: TelegramAccount,
        token: str,
        *,
        clock: Clock,
        ledger: Ledger | None,
        spool: Path,
        unique: Callable[[], str],
        chance: Callable[[], float],
        pace: Pace | None = None,
        grace: float = GRACE,
        secrets: str = "",
    ) -> None:
        """Without a `ledger` every start begins at the oldest update that is not confirmed. `grace`: seconds that an
        answer may come later than the poll should last. `secrets`: fingerprint of those that the account names."""
        self._name, self._account, self._clock, self._ledger = account_name, account, clock, ledger
        self._spool, self._unique, self._grace, self._secrets = spool, unique, grace, secrets
        self._api = Api(account, token)
        self._pace = pace or Pace()
        self._rounds = Rounds(
            f"telegram/{account_name}", clock=clock, chance=chance, pace=self._pace, judge=judging(self._explain)
        )
        self._reached: Reached | None = None
        self._known = False
        self._facts: Facts | None = None

    # -- Listener, Watched ------------------------------------------------------------------

    @property
    def name(self) -> str:
        """For operators."""
        return f"bot telegram/{self._name}"

    @property
    def reaches(self) -> bool:
        """Always: what one program has read no other sees."""
        return True

    def serves(self, successor: Poller) -> bool:
        """The account says the same, and so do the secrets that it names."""
        return (self._account, self._secrets) == (successor._account, successor._secrets)

    @property
    def lease(self) -> str:
        """Two pollers of one bot end each other's calls."""
        return f"telegram:{self._account.bot_id}"

    def trouble(self) -> str:
        """Why no updates come; "" when they do."""
        return self._rounds.trouble()

    async def troubles(self) -> Mapping[str, str]:
        """The same, for `Watched`."""
        why = self.trouble()
        return {self.name: why} if why else {}

    def listening(self) -> dict[str, str]:
        """Nothing listens here."""
        return {}

    async def start(self, intake: Intake) -> None:
        """Begin to poll. A far side that is not there is no error: it is tried again."""
        self._known = False

        async def once() -> float:
            return await self._round(intake)

        self._rounds.start(once)

    async def stop(self) -> None:
        """Give up the poll; a commit under way is finished. What it held is confirmed after the next start."""
        await self._rounds.stop()
        await self._api.close()

    # -- a round ----------------------------------------------------------------------------

    async def _round(self, intake: Intake) -> float:
        facts = await self._introduced()
        if not self._known and self._ledger is not None:
            self._reached = Reached.of(await self._ledger.cursor("telegram", self._name, CURSOR))
        self._known = True
        asked_at = asyncio.get_running_loop().time()
        answer = await self._rounds.or_stop(self._asked())
        try:
            found = updates(answer)
        except ValueError as error:
            raise NoAnswer(f"{self._api.host}: {error}") from None
        if found:
            await self._take(found, facts, intake)
            return 0.0
        hasty = asyncio.get_running_loop().time() - asked_at < HASTY
        return self._pace.first if hasty else 0.0

    async def _introduced(self) -> Facts:
        """Who the bot is: asked once, for commands that name it."""
        if self._facts is None:
            said = await self._rounds.or_stop(self._api.result("getMe"))
            name = said.get("username") if isinstance(said, dict) else None
            self._facts = {"transport": "polling", "bot_id": self._account.bot_id, "bot_name": str(name or "")}
        return self._facts

    async def _asked(self) -> bytes:
        seconds = int(self._account.poll.total_seconds())
        wanted: dict[str, Any] = {"timeout": seconds, "limit": MOST, "allowed_updates": ALLOWED_UPDATES}
        reached = self._reached
        if reached is not None and timedelta(0) <= self._clock() - reached.seen < SILENT:
            wanted["offset"] = reached.offset
        return await self._api.raw("getUpdates", wanted, seconds=seconds + self._grace)

    async def _take(self, found: list[bytes], facts: Facts, intake: Intake) -> None:
        """Commit all of an answer with the offset behind it."""
        now = self._clock()
        numbers = [number for each in found if (number := update_id(each, parsed(each))) is not None]
        reached = Reached(max(numbers) + 1, now) if numbers else None
        cursor = None
        if reached is not None:
            cursor = Cursor(channel="telegram", account=self._name, name=CURSOR, value=reached.value())
        spools = [Spool(self._spool, self._unique) for _ in found]
        try:
            raws = [await self._raw(*pair, facts, now) for pair in zip(found, spools, strict=True)]
            await intake(raws, cursor)
        except OSError as error:
            raise NoAnswer(f"our disk: {error.strerror}") from error
        finally:
            # A body that was taken over has another name by now.
            for spool in spools:
                spool.discard()
        if reached is None:
            raise NoAnswer(f"{self._api.host} gives updates without a number; they are kept, but come again")
        self._reached = reached

    async def _raw(self, content: bytes, spool: Spool, facts: Facts, now: datetime) -> RawMessage:
        await spool.append(content)
        return raw_message(
            content, account=self._name, bot_id=self._account.bot_id, body=spool.finish(), now=now, facts=facts
        )

    # -- what a refusal means ---------------------------------------------------------------

    async def _explain(self, error: Refused) -> str:
        return await explain(error, self._name, self._api)


async def explain(error: Refused, account: str, api: Api) -> str:
    """What a refusal means and what mends it."""
    match error.code:
        case 401 | 404:
            return f"{api.host} refuses the token ({error}); @BotFather shows the present one"
        case 409 if "webhook" in str(error).lower():
            return f"a webhook is set{await _whose(api)}; `gateway telegram setup {account}` removes it"
        case 409:
            return f"another program polls this bot; stop it, or give each its own bot ({error})"
        case _:
            return f"{api.host}: {error}"


async def _whose(api: Api) -> str:
    """The webhook's host: its path may be somebody's secret."""
    try:
        info = await api.result("getWebhookInfo")
    except (Refused, NoAnswer):
        return ""
    url = info.get("url") if isinstance(info, Mapping) else None
    host = urlsplit(str(url or "")).netloc
    return f" at {host}" if host else ""
