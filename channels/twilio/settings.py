"""What an account of Twilio's may be told, whatever channel it is for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from channels.contract import AccountSettings
from channels.credentials import reveal
from channels.described import Described
from channels.dialling import allowed, calling_code
from channels.durations import Duration, show_duration
from normalizer.message import Facts

OFFICIAL = "https://api.twilio.com"
LONGEST: Mapping[str, timedelta] = {"timeout": timedelta(seconds=50), "validity": timedelta(hours=10)}
"""The outbox's own limit of a try is a minute; Twilio keeps nothing longer than 36000 seconds."""
Number: TypeAlias = Annotated[str, StringConstraints(pattern=r"^(\+[1-9][0-9]{6,14}|[0-9]{3,8})$")]

Prefix: TypeAlias = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{0,14}$")]


def not_too_often(pause: timedelta) -> timedelta:
    """A pause between comparisons with a list. Raises ValueError."""
    if 0 < pause.total_seconds() < 60:
        raise ValueError("should be 1m or more; 0s for never")
    return pause


class Template(Described, BaseModel):
    """A text that WhatsApp has approved, as the console's Content Template Builder names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    content_sid: str = Field(pattern=r"^HX[0-9a-fA-F]{32}$")
    """"HX…"."""
    variables: dict[Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]?$")], Literal["text", "link"]] = {
        "1": "text"
    }
    """Number of a placeholder -> what stands there. text: the notice on one line; link: the person's page of it."""


class SharedKey(Described, BaseModel):
    """A key that signs webhooks with SHA-256 instead of the auth token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[\w.-]+$", max_length=200)
    """As Twilio names it in `X-Twilio-Webhooks-Signature-Settings`."""
    secret: SecretStr
    """`env:NAME` or `file:PATH`."""


class TwilioNumbers(AccountSettings):
    """The numbers of one account, or of one subaccount, whatever they are for: it has a SID and tokens of its own."""

    BUILT_ONCE: ClassVar[frozenset[str]] = frozenset(
        {"account_sid", "auth_token", "next_auth_token", "shared_keys", "public_url", "numbers"}
    )

    account_sid: str = Field(pattern=r"^AC[0-9a-fA-F]{32}$")
    """"AC…" as the console shows it. A request of another account is not believed, even when it is signed rightly."""
    auth_token: SecretStr
    """`env:NAME` or `file:PATH`: the account's auth token. It signs what Twilio sends to us."""
    next_auth_token: SecretStr | None = None
    """`env:NAME` or `file:PATH`: the secondary token, while tokens are changed. Either is believed."""
    shared_keys: tuple[SharedKey, ...] = ()
    """Keys that sign webhooks with SHA-256, where the account has such. Nothing else is believed by them."""
    numbers: tuple[Number, ...] = Field(min_length=1)
    """Our numbers: +380441234567, or a short code. Words said to one of them (STOP) concern that one."""
    public_url: str = ""
    """The address up to "/channels" by which Twilio reaches us, without a slash at its end: what is signed begins with
    it. Empty: `http.public_url`."""

    api_url: str = OFFICIAL
    """Where the REST API is: its beginning before "/2010-04-01". The account's token goes there and nowhere else, also
    not where the file of a message lies."""
    timeout: Duration = timedelta(seconds=15)
    """Hard limit of one call of the REST API; at most 50s."""

    @field_validator("timeout", "validity", check_fields=False)
    @classmethod
    def _is_bounded(cls, span: timedelta, info: ValidationInfo) -> timedelta:
        longest = LONGEST[str(info.field_name)]
        if not timedelta(seconds=1) <= span <= longest:
            raise ValueError(f"should be from 1s to {show_duration(longest)}")
        return span

    @field_validator("public_url", "api_url")
    @classmethod
    def _is_a_base(cls, url: str, info: ValidationInfo) -> str:
        base = url.rstrip("/")
        if not base and info.field_name == "api_url":
            raise ValueError("must not be empty; leave the key out for Twilio's own")
        if base and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", base):
            raise ValueError("should be an address such as https://intake.example.org, without a user or a query")
        try:
            _ = urlsplit(base).port
        except ValueError:
            raise ValueError("the port of this address is none") from None
        return base

    def endpoints(self) -> tuple[str, ...]:
        """Our numbers."""
        return self.numbers

    def wants_public_url(self) -> bool:
        """The address is a part of what Twilio signs; a server of one's own may be told the one that listens."""
        return not self.public_url and self.api_url == OFFICIAL

    def reading(self) -> Facts:
        """Our numbers, for a message that does not say which one it came to."""
        return {"numbers": list(self.numbers)}

    def wrong_secrets(self) -> Mapping[str, str]:
        """Secrets that are there and empty: anybody can sign with the empty key."""
        given = {"auth_token": self.auth_token, "next_auth_token": self.next_auth_token}
        given |= {f"shared_keys.{number}.secret": key.secret for number, key in enumerate(self.shared_keys)}
        return {name: "is empty; anybody could sign without one" for name, each in given.items() if _is_empty(each)}


class TwilioAccount(TwilioNumbers):
    """Numbers that messages go to and come from."""

    segments: int = Field(default=3, ge=1, le=10)
    """The most parts of one text message: 70 Cyrillic characters are one part, 201 are three. What the desk's people
    write goes on in further messages; what the gateway writes itself is cut, with a link to the whole."""
    validity: Duration = timedelta(hours=4)
    """How long Twilio may try to send a text message; at most 10h. What could not go out by then never does."""
    prefixes: tuple[Prefix, ...] = ()
    """Countries, or parts of them, that are written to: +380, +4866. Empty: those of `numbers`; with short codes alone
    there must be one. Who has another number is told by the next channel."""
    daily_limit: int = Field(default=1000, ge=1)
    """Messages that go out by this account in a day (UTC): each costs money. Those above it take the next channel, and
    operators hear of it."""
    reconcile: Duration = timedelta(minutes=15)
    """How often the provider's list of messages is compared with what came, also at each start: Twilio does not bring a
    message again that we did not answer. 0s: never, for a provider without a list."""
    reconcile_back: Duration = timedelta(hours=1)
    """What was sent to a number so long before its first start is taken in, too; nothing older ever is."""

    @model_validator(mode="after")
    def _knows_whom_to_write_to(self) -> Self:
        if not self.prefixes and not any(map(calling_code, self.numbers)):
            raise ValueError("prefixes must name the countries that are written to: a short code has none")
        return self

    _is_not_too_often = field_validator("reconcile")(not_too_often)

    def most_a_day(self) -> int | None:
        """`daily_limit`."""
        return self.daily_limit

    def costs(self, kind: str, recipient: str) -> bool:
        """Where we write to."""
        return allowed(recipient.removeprefix("whatsapp:"), self.prefixes, self.numbers)

    def template(self, kind: str, language: str) -> Template | None:
        """What may go to somebody who wrote nothing for a day, where the far side asks for an approved text then."""
        return None


def _is_empty(secret: SecretStr | None) -> bool:
    """There, and nothing in it; one that is not there is said elsewhere."""
    if secret is None:
        return False
    try:
        return not reveal(secret).strip()
    except (KeyError, OSError, ValueError):
        return False
