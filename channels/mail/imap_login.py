"""How a mailbox is logged in to: with a password, or with a token that is renewed."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from pydantic import SecretStr

from channels.credentials import reveal
from channels.mail.oauth import TokenRefused, Tokens


class LoginRefused(Exception):
    """There are no credentials to log in with."""


class Login(Protocol):
    """Credentials of one account."""

    def credentials(self, wait: Any) -> tuple[str, str]:
        """(password, access token), one of them "". `wait` runs a coroutine in the event loop.

        Raises LoginRefused when there are none, OSError when they cannot be got now.
        """
        ...

    def refused(self) -> None:
        """The server did not take what `credentials` gave."""
        ...

    def trouble(self, now: datetime) -> str:
        """What operators should know: a token that ends soon."""
        ...


class PasswordLogin:
    """A password, read again at each login: a changed file is used without a restart."""

    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret

    def credentials(self, wait: Any) -> tuple[str, str]:
        """The password."""
        try:
            return reveal(self._secret), ""
        except (KeyError, OSError) as error:
            raise LoginRefused(f"the password is not there: {error}") from error

    def refused(self) -> None:
        """It is read again anyhow."""

    def trouble(self, now: datetime) -> str:
        """A password says nothing about its end."""
        return ""


class TokenLogin:
    """An access token, renewed when it ends or is refused."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def credentials(self, wait: Any) -> tuple[str, str]:
        """The token."""
        try:
            return "", str(wait(self._tokens.access()))
        except TokenRefused as error:
            raise LoginRefused(str(error)) from error

    def refused(self) -> None:
        """Get another token the next time."""
        self._tokens.forget()

    def trouble(self, now: datetime) -> str:
        """A refresh token that ends soon."""
        return self._tokens.trouble(now)
