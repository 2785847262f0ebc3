"""What a Telegram account (one bot) may be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from channels.contract import AccountSettings
from channels.credentials import reveal
from channels.durations import Duration, parse_duration
from normalizer.message import Facts

_TOKEN = re.compile(r"(?P<bot>[0-9]{1,20}):[A-Za-z0-9_-]+")
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")
OFFICIAL = "https://api.telegram.org"
"""Where the Bot API is, unless a server of one's own runs (github.com/tdlib/telegram-bot-api)."""


class TelegramAccount(AccountSettings):
    """One bot."""

    BUILT_ONCE: ClassVar[frozenset[str]] = frozenset(
        {"token", "secret", "mode", "api_url", "file_url", "poll", "max_connections"}
    )

    token: SecretStr
    """`env:NAME` or `file:PATH`: what @BotFather gave, "123456:ABC…"."""
    username: str = Field(default="", pattern=r"^[A-Za-z0-9_]{0,64}$")
    """Name of the bot without @; one-time links lead there. Empty: as Telegram tells it with the first message."""
    secret: SecretStr | None = None
    """`env:NAME` or `file:PATH`, needed for a webhook: 1-256 of A-Z, a-z, 0-9, _ and -, chosen by you. Telegram shows
    it with each request, and who does not show it is not believed. `openssl rand -hex 32` makes one."""
    mode: Literal["webhook", "polling"] = "polling"
    """polling: we ask Telegram for news; needs no address that the Internet reaches. webhook: Telegram calls
    `http.public_url`; faster under load. After a change: `gateway telegram setup ACCOUNT`, then a restart."""
    api_url: str = OFFICIAL
    """Where the Bot API is: its beginning before "/bot". Another one for a Bot API server of your own."""
    file_url: str = ""
    """Where files are fetched: the beginning before "/file/bot". Empty: as `api_url`."""
    poll: Duration = parse_duration("50s")
    """How long Telegram may keep a poll open when there is nothing; at most 50s."""
    timeout: Duration = parse_duration("50s")
    """Hard limit of one call that sends something, files included."""
    max_connections: int = Field(default=40, ge=1, le=100)
    """Requests that Telegram makes to the webhook at the same time."""

    @field_validator("api_url", "file_url")
    @classmethod
    def _is_a_base(cls, url: str) -> str:
        # Libraries write it in several ways; what follows the host is ours to add.
        base = re.sub(r"(/file)?(/bot(\{token\})?)?/*$", "", url)
        if base and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", base):
            raise ValueError("should be an address such as https://api.telegram.org, without a token")
        return base

    @field_validator("poll")
    @classmethod
    def _is_long_enough(cls, poll: Duration) -> Duration:
        if not 1 <= poll.total_seconds() <= 50:
            raise ValueError("should be from 1s to 50s")
        return poll

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.mode == "webhook" and self.secret is None:
            raise ValueError("a webhook needs a secret (env:NAME or file:PATH); without one anybody could write to it")
        if not self.api_url:
            raise ValueError("api_url must not be empty; leave the key out for Telegram's own")
        return self

    def wrong_secrets(self) -> Mapping[str, str]:
        """A token or a secret that cannot be one."""
        found = {}
        if not _TOKEN.fullmatch(_revealed(self.token)):
            found["token"] = "this is no bot token; @BotFather gives one: digits, a colon, letters and digits"
        if self.secret is not None and not _SECRET.fullmatch(_revealed(self.secret)):
            found["secret"] = "should be 1-256 of A-Z, a-z, 0-9, _ and -; `openssl rand -hex 32` makes one"
        return found

    def endpoints(self) -> tuple[str, ...]:
        """The bot's user id."""
        return (str(self.bot_id),) if self.bot_id else ()

    def start_url(self, token: str, seen: Facts) -> str:
        """A deep link (core.telegram.org/api/links#bot-links): opened, it sends `/start <token>`."""
        name = self.username or str(seen.get("bot_name") or "")
        return f"https://t.me/{name}?start={token}" if name else ""

    def reading(self) -> Facts:
        """Who the bot is."""
        return {"bot_id": self.bot_id} if self.bot_id else {}

    @cached_property
    def bot_id(self) -> int:
        """User id of the bot: the number before the colon of its token; 0 when there is no good token."""
        found = _TOKEN.fullmatch(_revealed(self.token))
        return int(found["bot"]) if found else 0

    def method_url(self, token: str, method: str) -> str:
        """Where a method of the Bot API is called."""
        return f"{self.api_url}/bot{token}/{method}"

    def content_url(self, token: str, path: str) -> str:
        """Where a file is fetched; `path` is its `file_path`."""
        return f"{self.file_url or self.api_url}/file/bot{token}/{path}"


def _revealed(secret: SecretStr) -> str:
    """The secret; "" when it is not there."""
    try:
        return reveal(secret)
    except (KeyError, OSError, ValueError):
        return ""
