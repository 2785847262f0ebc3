"""Calls of the Bot API for what comes in, with raw answers; nothing that leaves here holds the token.

core.telegram.org/bots/api#making-requests. For sending there is a client of its own.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from channels import answers
from channels.telegram.settings import TelegramAccount

LONGEST_ANSWER = 64 * 1024 * 1024
"""Bytes; a hundred updates take far less."""
SECONDS = 20.0
"""A call that is not a long poll takes at most so long."""
_LONGEST_WORDS = 300


class Refused(Exception):
    """The far side answered with an error; the text is its own, safe to show."""

    def __init__(self, code: int, said: str, retry_after: float | None = None) -> None:
        """`code`: of HTTP. `retry_after`: seconds that it asks us to wait."""
        super().__init__(said)
        self.code, self.retry_after = code, retry_after


class NoAnswer(Exception):
    """There was no whole answer; the text says why, and is safe to show."""


class Api:
    """One bot. The connection is made at the first call; `close` ends it, and it may be used again."""

    def __init__(self, account: TelegramAccount, token: str) -> None:
        self._account, self._token = account, token
        self._session: aiohttp.ClientSession | None = None
        self.host = urlsplit(account.api_url).netloc

    async def close(self) -> None:
        """End the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def result(self, method: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """What a method gives. Raises Refused and NoAnswer."""
        content = await self.raw(method, parameters)
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict) or answer.get("ok") is not True:
            raise NoAnswer(f"{self.host} answers with something that is not the Bot API's")
        return answer.get("result")

    async def raw(self, method: str, parameters: Mapping[str, Any] | None = None, *, seconds: float = SECONDS) -> bytes:
        """The bytes of a good answer. Raises Refused and NoAnswer."""
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        url = self._account.method_url(self._token, method)
        try:
            # A redirect would carry the token away.
            async with (
                asyncio.timeout(seconds),
                self._session.post(url, json=dict(parameters or {}), allow_redirects=False) as response,
            ):
                content = await answers.bounded(response, LONGEST_ANSWER)
        except TimeoutError:
            raise NoAnswer(f"{self.host} does not answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            # The error's own words may have the URL, and so the token.
            raise NoAnswer(f"{self.host}: {answers.why(error)}") from None
        if response.status != 200:
            raise _refused(response, content)
        return content


def _refused(response: aiohttp.ClientResponse, content: bytes) -> Refused:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        # A proxy on the way answers in HTML.
        return Refused(response.status, f"HTTP {response.status}", answers.seconds(response.headers.get("Retry-After")))
    parameters = answer.get("parameters")
    after = parameters.get("retry_after") if isinstance(parameters, dict) else None
    said = re.sub(r"[^\x20-\x7e]+", " ", str(answer.get("description", "")))[:_LONGEST_WORDS]
    return Refused(response.status, said or f"HTTP {response.status}", answers.seconds(after))
