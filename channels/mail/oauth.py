"""Access tokens for XOAUTH2, got and renewed by a refresh token (RFC 6749 section 6).

A provider may hand out another refresh token at each renewal and forget the old one: the new one is kept,
encrypted, before it is used.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

import aiohttp

from channels.contract import Clock, Vault
from channels.credentials import reveal
from channels.mail.oauth_settings import OAuth

log = logging.getLogger(__name__)

SECONDS = 30.0
EARLY = timedelta(seconds=60)
"""An access token is renewed so long before it ends."""
WARNED = timedelta(days=14)
"""Operators hear so long before a refresh token or a secret ends."""
SHORT = timedelta(minutes=5)
"""Life of an access token of which the provider says nothing."""
_REFUSED = frozenset({400, 401, 403})
_ENDS_IN = ("refresh_token_expires_in", "refresh_expires_in")
"""Not in the standard; what large providers call it. Seconds."""


class TokenRefused(Exception):
    """The provider gives no token: somebody must log in again."""


class TokenUnavailable(OSError):
    """The provider cannot be asked now."""


class Tokens:
    """Access tokens of one account. Only for the event loop that it is used in."""

    def __init__(self, name: str, settings: OAuth, vault: Vault, clock: Clock) -> None:
        """`name` is where the refresh token is kept: one of its own for each account."""
        self._name, self._settings, self._vault, self._clock = name, settings, vault, clock
        self._lock = asyncio.Lock()
        self._access = ""
        self._ends_at: datetime | None = None
        self._refresh_ends_at: datetime | None = None

    async def access(self) -> str:
        """A token that is good for a minute at least.

        Raises TokenRefused, TokenUnavailable (an OSError), or Unavailable when the new refresh token cannot be kept.
        """
        async with self._lock:
            if self._ends_at is None or self._clock() >= self._ends_at - EARLY:
                await self._renew()
            return self._access

    def forget(self) -> None:
        """The server did not take the token: get another one next time."""
        self._ends_at = None

    @property
    def account(self) -> str:
        """Whose they are."""
        return self._name.partition("/")[2]

    async def recall(self) -> None:
        """Read when the kept refresh token ends, for `trouble`, where none was asked for yet. Raises Unavailable."""
        if self._ends_at is None and self._refresh_ends_at is None:
            await self._kept()

    def trouble(self, now: datetime) -> str:
        """A refresh token or secret that ends within 14 days."""
        ends = [self._refresh_ends_at] if self._refresh_ends_at else []
        if self._settings.expires:
            ends.append(datetime.combine(self._settings.expires, time(), UTC))
        if not ends or min(ends) - now > WARNED:
            return ""
        return f"the login of {self._name} ends on {min(ends):%Y-%m-%d}: renew it at the provider"

    async def _renew(self) -> None:
        kept = await self._kept()
        configured = self._configured()
        tried = dict.fromkeys(token for token in (kept, configured) if token)
        if not tried:
            raise TokenRefused("there is no refresh token")
        refused = ""
        for token in tried:
            try:
                await self._renew_with(token)
            except TokenRefused as error:
                # The one that was kept may have been revoked, and the configured one be fresh.
                refused = str(error)
            else:
                return
        raise TokenRefused(refused)

    async def _kept(self) -> str:
        text = await self._vault.get(self._name)
        if text is None:
            return ""
        kept = json.loads(text)
        self._refresh_ends_at = datetime.fromisoformat(kept["ends_at"]) if kept["ends_at"] else None
        return str(kept["refresh_token"])

    def _configured(self) -> str:
        try:
            return reveal(self._settings.refresh_token)
        except (KeyError, OSError) as error:
            log.warning("%s: the configured refresh token is not there: %s", self._name, type(error).__name__)
            return ""

    async def _renew_with(self, refresh_token: str) -> None:
        said = await self._ask(refresh_token)
        access = said.get("access_token")
        if not isinstance(access, str) or not access:
            raise TokenUnavailable("the answer has no access_token")
        now = self._clock()
        self._refresh_ends_at = next((now + timedelta(seconds=int(said[key])) for key in _ENDS_IN if key in said), None)
        fresh = str(said.get("refresh_token") or refresh_token)
        ends_at = self._refresh_ends_at.isoformat() if self._refresh_ends_at else None
        # Before anything else: the old one may be worth nothing from now on.
        await self._vault.put(self._name, json.dumps({"refresh_token": fresh, "ends_at": ends_at}))
        life = said.get("expires_in")
        self._ends_at = now + (timedelta(seconds=int(life)) if life else SHORT)
        self._access = access

    async def _ask(self, refresh_token: str) -> Mapping[str, Any]:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": self._settings.client_id}
        if self._settings.client_secret is not None:
            form["client_secret"] = reveal(self._settings.client_secret)
        if self._settings.scope:
            form["scope"] = self._settings.scope
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(self._settings.token_url, data=form, allow_redirects=False) as answer,
            ):
                said = await answer.json(content_type=None)
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            # Neither the form nor the answer is shown: both hold secrets.
            raise TokenUnavailable(f"the token server gives no answer: {type(error).__name__}") from None
        if not isinstance(said, dict):
            raise TokenUnavailable(f"the token server answers {status} with something else than an object")
        if status in _REFUSED:
            raise TokenRefused(f"the token server refuses ({status}): {str(said.get('error', ''))[:100]}")
        if status != 200:
            raise TokenUnavailable(f"the token server answers {status}")
        return said
