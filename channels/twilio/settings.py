"""What an account of Twilio's may be told, whatever channel it is for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator

from channels.contract import AccountSettings
from channels.credentials import reveal
from normalizer.message import Facts

Number: TypeAlias = Annotated[str, StringConstraints(pattern=r"^(\+[1-9][0-9]{6,14}|[0-9]{3,8})$")]


class SharedKey(BaseModel):
    """A key that signs webhooks with SHA-256 instead of the auth token."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    id: str = Field(pattern=r"^[\w.-]+$", max_length=200)
    """As Twilio names it in `X-Twilio-Webhooks-Signature-Settings`."""
    secret: SecretStr
    """`env:NAME` or `file:PATH`."""


class TwilioAccount(AccountSettings):
    """The numbers of one account, or of one subaccount: it has a SID and tokens of its own."""

    BUILT_ONCE: ClassVar[frozenset[str]] = frozenset(
        {"account_sid", "auth_token", "next_auth_token", "shared_keys", "public_url", "numbers"}
    )

    outbound: Literal["capture", "off"] = "capture"
    """capture: notices are written to a folder instead of sent; off: none are made to go out. What goes out by Twilio
    is not part of this version, so there is no `on` yet."""
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

    @field_validator("public_url")
    @classmethod
    def _is_a_base(cls, url: str) -> str:
        base = url.rstrip("/")
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

    def reading(self) -> Facts:
        """Our numbers, for a message that does not say which one it came to."""
        return {"numbers": list(self.numbers)}

    def wrong_secrets(self) -> Mapping[str, str]:
        """Secrets that are there and empty: anybody can sign with the empty key."""
        given = {"auth_token": self.auth_token, "next_auth_token": self.next_auth_token}
        given |= {f"shared_keys.{number}.secret": key.secret for number, key in enumerate(self.shared_keys)}
        return {name: "is empty; anybody could sign without one" for name, each in given.items() if _is_empty(each)}


def _is_empty(secret: SecretStr | None) -> bool:
    """There, and nothing in it; one that is not there is said elsewhere."""
    if secret is None:
        return False
    try:
        return not reveal(secret).strip()
    except (KeyError, OSError, ValueError):
        return False
