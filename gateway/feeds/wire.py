"""Calls to a store's HTTP interface: bounded, and with errors that say whether the store may have done it."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from channels import answers
from gateway.feeds.contract import FeedError, Outcome, Pushed

CONNECT = 10.0
"""Seconds for a connection; what is not connected by then was surely not sent."""
LONGEST_ANSWER = 64 * 1024 * 1024
"""Bytes; attachments come this way, too."""
LONGEST_WORDS = 300
_REPEATED = frozenset({408, 423, 425, 429})
"""Answers that ask for another try. 409 and 412 are for the feed: the ticket changed meanwhile."""
_OURS = frozenset({401, 403, 407})
"""Everybody's writes are refused, not this one."""


class Unsent(Exception):
    """The store was not reached: it has read nothing. The text is safe to show."""


class Unanswered(Exception):
    """The call went out, and no answer came that can be read: it may have been done. The text is safe to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the store said."""

    status: int
    headers: Mapping[str, str]
    """Names as the store writes them; look up without regard to case."""
    body: bytes
    host: str

    @property
    def good(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body. Raises Unanswered for anything else: a proxy's page with a 200 is no answer of the store's."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise Unanswered(f"{self.host} answers {self.status} with something that is not JSON") from None

    def words(self) -> str:
        """What a store says about an error, on one line; a page in HTML is left out."""
        text = self.body[:4000].decode("utf-8", "replace").strip()
        said = "" if text.startswith("<") else re.sub(r"[\x00-\x20\x7f]+", " ", text)[:LONGEST_WORDS]
        return f"{self.host} answers {self.status}" + (f": {said}" if said else "")

    def failure(self) -> Pushed:
        """What an answer that is not good comes to, by its status alone (RFC 9110 section 15)."""
        after = answers.seconds(self.headers.get("Retry-After"))
        if self.status in _REPEATED or self.status in _OURS:
            return Pushed(outcome=Outcome.RETRY, detail=self.words(), retry_after=after)
        if self.status >= 500:
            return Pushed(outcome=Outcome.RETRY, detail=self.words(), retry_after=after, uncertain=True)
        if 300 <= self.status < 400:
            where = f"{self.words()}: it wants another address; put the right one into `url`"
            return Pushed(outcome=Outcome.RETRY, detail=where)
        return Pushed(outcome=Outcome.REFUSED, detail=self.words())

    def trouble(self) -> FeedError:
        """The same for reading."""
        after = answers.seconds(self.headers.get("Retry-After"))
        again = self.status >= 500 or self.status in _REPEATED
        return FeedError(self.words(), again=again, retry_after=after)


class Wire:
    """One store. Nothing connects before the first call; redirects are not followed: they would carry the token away.

    Every call raises `Unsent` and `Unanswered`.
    """

    def __init__(
        self, url: str, *, headers: Mapping[str, str], seconds: float, certificates: ssl.SSLContext | None = None
    ) -> None:
        """`url`: the beginning of every path; `headers`: of every call, credentials among them."""
        self._base, self._headers, self._seconds = url.rstrip("/"), dict(headers), seconds
        self._tls = certificates if certificates is not None else True
        self._session: aiohttp.ClientSession | None = None
        self.host = urlsplit(url).netloc.rpartition("@")[2]

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,  # noqa: A002, RUF100  the name that the library and everybody has for it
        body: bytes | aiohttp.FormData | None = None,
    ) -> Answer:
        """One call. `path` is percent-encoded by the caller where it has to be; `query` is not."""
        if self._session is None:
            limits = aiohttp.ClientTimeout(total=None, connect=min(CONNECT, self._seconds))
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=limits)
            # aiohttp sends a PUT again by itself when the connection ends: the store may have done it, and would twice.
            self._session._retry_connection = False
        url = URL(self._base + path, encoded=True)
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._session.request(
                    method, url.update_query(dict(query)) if query else url, json=json, data=body,
                    headers={**self._headers, **(headers or {})}, allow_redirects=False, ssl=self._tls,
                ) as answer,
            ):  # fmt: skip
                content = await answers.bounded(answer, LONGEST_ANSWER)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise Unsent(f"{self.host}: {answers.why(error)}") from None
        except TimeoutError:
            raise Unanswered(f"{self.host} does not answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unanswered(f"{self.host}: {answers.why(error)}") from None
        return Answer(status=answer.status, headers=answer.headers, body=content, host=self.host)


def not_reached(error: Unsent | Unanswered) -> Pushed:
    """A call without an answer, as the result of a push."""
    return Pushed(outcome=Outcome.RETRY, detail=str(error), uncertain=isinstance(error, Unanswered))
