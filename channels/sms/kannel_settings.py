"""What an account of a Kannel gateway may be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from channels.contract import AccountSettings
from channels.credentials import reveal
from channels.dialling import allowed, calling_code
from channels.durations import Duration
from channels.twilio.settings import Number, Prefix
from normalizer.message import Facts

SHORTEST_SECRET = 16
"""Characters. It stands in an address that is asked again and again, so it must not be guessed."""
_URL_SAFE = re.compile(r"[A-Za-z0-9_.~-]+")


class KannelAccount(AccountSettings):
    """Numbers behind a Kannel gateway (or another one with its HTTP interface)."""

    BUILT_ONCE: ClassVar[frozenset[str]] = frozenset(
        {"secret", "next_secret", "public_url", "numbers", "api_url", "username", "password", "smsc", "validity",
         "segments", "timeout", "provider", "prefixes"}
    )  # fmt: skip

    provider: Literal["kannel"]
    """Kannel, https://www.kannel.org: an SMSC connection of your own."""
    secret: SecretStr
    """`env:NAME` or `file:PATH`: what Kannel brings as `secret=…` in the address (or as the password of it). Nothing
    is believed without it; 16 characters or more of A-Z a-z 0-9 _ . ~ -, because a `%` means something to Kannel."""
    next_secret: SecretStr | None = None
    """`env:NAME` or `file:PATH`: believed as well, while the secret is changed."""
    numbers: tuple[Number, ...] = Field(min_length=1)
    """Our numbers: +380441234567, or a short code. What goes out bears the one that the person wrote to, else the
    first."""
    api_url: str = ""
    """Kannel's sendsms: "http://127.0.0.1:13013/cgi-bin/sendsms". Only it gets the password."""
    username: str = ""
    """Of the `sendsms-user`."""
    password: SecretStr | None = None
    """`env:NAME` or `file:PATH`: of the `sendsms-user`."""
    smsc: str = Field(default="", pattern=r"^[\w.-]*$", max_length=60)
    """The `smsc-id` that messages go out by; empty: Kannel chooses."""
    validity: Duration = Field(default=timedelta(hours=4), ge=timedelta(minutes=1))
    """How long the network tries to deliver a message."""
    segments: int = Field(default=3, ge=1, le=10)
    """The most parts of one message (70 or 160 characters, 67 or 153 each where there are several): a person's longer
    words go out as several messages, a longer notice ends with its link. `max-messages` of the `sendsms-user` must
    be no less, or Kannel cuts the rest off without a word."""
    prefixes: tuple[Prefix, ...] = ()
    """Countries, or parts of them, that are written to: +380, +4866. Empty: those of `numbers`; with short codes alone
    there must be one. Who has another number is told by the next channel."""
    daily_limit: int = Field(default=1000, ge=1)
    """Messages that go out by this account in a day (UTC): each costs money. Those above it take the next channel, and
    operators hear of it."""
    timeout: float = Field(default=20.0, gt=0, le=50)
    """Seconds until a call of sendsms is given up; the outbox's own limit of a try is a minute."""
    public_url: str = ""
    """The address up to "/channels" by which Kannel reaches us for reports, without a slash at its end. Empty:
    `http.public_url`."""

    @field_validator("api_url", "public_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        base = url.rstrip("/")
        if base and not re.fullmatch(r"https?://[^\s/?#@%]+(/[^\s?#%]*)?", base):
            raise ValueError("should be an address such as http://127.0.0.1:13013/cgi-bin/sendsms, without a user, a"
                             " query or a %")  # fmt: skip
        return base

    @model_validator(mode="after")
    def _can_send(self) -> KannelAccount:
        if self.outbound == "on" and not (self.api_url and self.username and self.password is not None):
            raise ValueError("needs api_url, username and password to send, or outbound: capture")
        if self.outbound == "on" and not self.prefixes and not any(map(calling_code, self.numbers)):
            raise ValueError("prefixes must name the countries that are written to: a short code has none")
        return self

    def endpoints(self) -> tuple[str, ...]:
        """Our numbers."""
        return self.numbers

    def most_a_day(self) -> int | None:
        """`daily_limit`."""
        return self.daily_limit

    def costs(self, kind: str, recipient: str) -> bool:
        """Where we write to."""
        return allowed(recipient, self.prefixes, self.numbers)

    def reading(self) -> Facts:
        """Our numbers: Kannel may write them in another way."""
        return {"numbers": list(self.numbers)}

    def wrong_secrets(self) -> Mapping[str, str]:
        """Secrets that anybody guesses, or that Kannel would change."""
        given = {"secret": self.secret, "next_secret": self.next_secret}
        return {name: why for name, each in given.items() if each is not None and (why := _wrong(each))}


def _wrong(secret: SecretStr) -> str:
    try:
        said = reveal(secret)
    except (KeyError, OSError, ValueError):
        return ""  # one that is not there is said elsewhere
    if len(said) < SHORTEST_SECRET:
        return f"has less than {SHORTEST_SECRET} characters; anybody could guess it"
    return "" if _URL_SAFE.fullmatch(said) else "has other characters than A-Z a-z 0-9 _ . ~ -"
