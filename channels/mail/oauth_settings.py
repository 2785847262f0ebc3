"""What an account that logs in with tokens may say."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from channels.described import Described


class OAuth(Described, BaseModel):
    """Logging in with tokens (XOAUTH2): an access token is got and renewed by a refresh token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token_url: str = Field(pattern=r"^(https://|http://(127\.0\.0\.1|localhost|\[::1\])[:/])\S+$")
    """Where tokens are given out (RFC 6749 section 3.2)."""
    device_url: str = Field("", pattern=r"^(|(https://|http://(127\.0\.0\.1|localhost|\[::1\])[:/])\S+)$")
    """Where `gateway mail login` begins (RFC 8628 section 3.1); empty when the first token comes otherwise."""
    client_id: str = Field(min_length=1)
    """The name of this program at the provider."""
    client_secret: SecretStr | None = None
    """`env:NAME` or `file:PATH`; None for a public client."""
    refresh_token: SecretStr
    """`env:NAME` or `file:PATH`: the first one; those that replace it are kept encrypted in the database."""
    scope: str = ""
    """What is asked for, where the provider wants it said."""
    expires: date | None = None
    """When the client's secret or the consent ends, as the provider's page says; operators hear 14 days ahead."""
