"""Looks after a webhook from our side: who the bot is, and whether Telegram reaches us."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from channels.contract import Clock, Intake
from channels.rounds import Pace, Rounds
from channels.telegram.api import Api, NoAnswer, Refused
from channels.telegram.polling import explain
from channels.telegram.setbacks import judging
from channels.telegram.settings import TelegramAccount
from channels.telegram.webhook import BotName

EVERY = 600.0
"""Seconds between two looks."""
RECENT = timedelta(minutes=20)
"""A failed delivery that is older is over."""


class HookWatch:
    """One bot in webhook mode; `channels.contract.Listener`, `Watched`, `Reaches` and `Replaced`."""

    def __init__(
        self,
        account_name: str,
        account: TelegramAccount,
        token: str,
        *,
        clock: Clock,
        chance: Callable[[], float],
        bot: BotName,
        pace: Pace | None = None,
        every: float = EVERY,
        secrets: str = "",
    ) -> None:
        """`bot` gets its name from the first look; `secrets`: fingerprint of those that the account names."""
        self._name, self._clock, self._bot, self._every = account_name, clock, bot, every
        self._account, self._secrets = account, secrets
        self._api = Api(account, token)
        self._rounds = Rounds(
            f"telegram/{account_name}", clock=clock, chance=chance, pace=pace or Pace(), judge=judging(self._explain)
        )
        self._wrong = ""

    @property
    def name(self) -> str:
        """For operators."""
        return f"bot telegram/{self._name}"

    @property
    def reaches(self) -> bool:
        """Always, though it changes nothing there: the bot is the real desk's."""
        return True

    def serves(self, successor: HookWatch) -> bool:
        """The account says the same, and so do the secrets that it names."""
        return (self._account, self._secrets) == (successor._account, successor._secrets)

    def trouble(self) -> str:
        """Why no updates come; "" when they do."""
        return self._rounds.trouble() or self._wrong

    async def troubles(self) -> Mapping[str, str]:
        """The same, for `Watched`."""
        why = self.trouble()
        return {self.name: why} if why else {}

    def listening(self) -> dict[str, str]:
        """The site listens."""
        return {}

    async def start(self, intake: Intake) -> None:
        """Begin to look. Updates come without it."""
        self._rounds.start(self._look)

    async def stop(self) -> None:
        """No more looks."""
        await self._rounds.stop()
        await self._api.close()

    async def _look(self) -> float:
        if not self._bot.username:
            said = await self._rounds.or_stop(self._api.result("getMe"))
            self._bot.username = str(said.get("username") or "") if isinstance(said, Mapping) else ""
        info = await self._rounds.or_stop(self._api.result("getWebhookInfo"))
        if not isinstance(info, Mapping):
            raise NoAnswer(f"{self._api.host} tells nothing about the webhook")
        self._wrong = hook_trouble(info, self._name, self._clock())
        return self._every

    async def _explain(self, error: Refused) -> str:
        return await explain(error, self._name, self._api)


def path_of(account: str) -> str:
    """Where the webhook of an account is, below the public address."""
    return f"/channels/telegram/{account}"


def hook_trouble(info: Mapping[str, Any], account: str, now: datetime) -> str:
    """What is wrong with a WebhookInfo; "" when nothing is."""
    url = str(info.get("url") or "")
    mend = f"`gateway telegram setup {account}` registers ours"
    if not url:
        return f"no webhook is set, so no updates come; {mend}"
    if not url.endswith(path_of(account)):
        return f"the webhook that is set is not that of this account; {mend}"
    failed_at, why = info.get("last_error_date"), str(info.get("last_error_message") or "")
    waiting = info.get("pending_update_count")
    if waiting and isinstance(failed_at, int) and now - datetime.fromtimestamp(failed_at, UTC) <= RECENT:
        return f"Telegram cannot deliver, {waiting} updates wait: {why[:300]}"
    return ""
