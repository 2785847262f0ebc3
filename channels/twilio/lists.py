"""What the provider lists: https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources

Asked directly and in pages. Nothing that leaves here holds the token, and no page leads to another host.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp

from channels.answers import bounded, why
from channels.answers import seconds as retry_after
from channels.twilio.hosts import credentials
from channels.twilio.settings import TwilioNumbers

SECONDS = 30.0
"""One page takes at most so long."""
LONGEST = 32 * 1024 * 1024
"""Bytes of one page."""
PAGE = 200
"""Messages, or calls, of one page; the API gives 1,000 at most."""
PAGES = 20
"""Of a list that is read as a whole."""
VERSION = "/2010-04-01/Accounts"


class NotListed(Exception):
    """There is no list now; the text says why, and is safe to show."""

    def __init__(self, why: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        """`status`: of HTTP, where there was a whole answer. `retry_after`: seconds that we are asked to wait."""
        super().__init__(why)
        self.status, self.retry_after = status, retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list."""

    items: Sequence[Mapping[str, Any]]
    next: str
    """The path of the next one; "" for none."""


class Lists:
    """Of one account. The connection is made at the first call; `close` ends it, and it may be used again."""

    def __init__(self, account: TwilioNumbers, tokens: Sequence[str]) -> None:
        """`tokens`: the present one, and the next where there is one."""
        self._account, self._tokens = account, tokens
        base = urlsplit(account.api_url)
        self.host, self._prefix = base.netloc, base.path
        self._base = f"{base.scheme}://{base.netloc}"
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """End the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def messages(self, to: str, first: date, last: date) -> str:
        """Path of the first page of what was sent to a number on these days (UTC), the newest first."""
        wanted = {"To": to, "DateSent>": f"{first}", "DateSent<": f"{last}", "PageSize": f"{PAGE}"}
        return f"{self._prefix}{VERSION}/{self._account.account_sid}/Messages.json?{urlencode(wanted)}"

    def media(self, sid: str) -> str:
        """Path of the first page of a message's files."""
        return f"{self._prefix}{VERSION}/{self._account.account_sid}/Messages/{_quoted(sid)}/Media.json"

    def calls(self, to: str, first: date, last: date) -> str:
        """Path of the first page of calls to a number that began on these days (UTC), the newest first.
        https://www.twilio.com/docs/voice/api/call-resource#read-multiple-call-resources"""
        wanted = {"To": to, "StartTime>": f"{first}", "StartTime<": f"{last}", "PageSize": f"{PAGE}"}
        return f"{self._prefix}{VERSION}/{self._account.account_sid}/Calls.json?{urlencode(wanted)}"

    def call(self, sid: str) -> str:
        """Path of a call."""
        return f"{self._prefix}{VERSION}/{self._account.account_sid}/Calls/{_quoted(sid)}.json"

    def recordings(self, call: str) -> str:
        """Path of the first page of what was recorded in a call."""
        return f"{self._prefix}{VERSION}/{self._account.account_sid}/Calls/{_quoted(call)}/Recordings.json"

    def recording(self, sid: str) -> str:
        """The address of a recording, as requests name it."""
        return f"{self._base}{self._prefix}{VERSION}/{self._account.account_sid}/Recordings/{_quoted(sid)}"

    def url(self, path: str) -> str:
        """The whole address of what a list names by its path."""
        return self._base + self._own(path)

    async def page(self, path: str, key: str) -> Page:
        """A page; its items stand under `key`. Raises NotListed."""
        said = await self.one(path)
        items = said.get(key)
        if not isinstance(items, list):
            raise NotListed(f"{self.host} answers with something that is no list", status=200)
        more = said.get("next_page_uri")
        return Page(
            items=[one for one in items if isinstance(one, dict)],
            next=self._own(more) if isinstance(more, str) and more else "",
        )

    async def whole(self, path: str, key: str) -> Sequence[Mapping[str, Any]]:
        """The items of all pages of a short list. Raises NotListed, also for a list without an end."""
        found: list[Mapping[str, Any]] = []
        for _ in range(PAGES):
            page = await self.page(path, key)
            found += page.items
            if not page.next:
                return found
            path = page.next
        raise NotListed(f"{self.host} has no end of pages")

    async def one(self, path: str) -> Mapping[str, Any]:
        """What stands at a path. Raises NotListed."""
        content = await self._content(self._base + path)
        try:
            said = json.loads(content)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise NotListed(f"{self.host} answers with something that is no list", status=200)
        return said

    def _own(self, path: str) -> str:
        """A path at our own host, below `api_url`. Raises NotListed for anything else."""
        if not re.fullmatch(r"/(?!/)[!-~]{1,4000}", path) or "\\" in path:
            raise NotListed(f"{self.host} leads elsewhere", status=200)
        return path if path.startswith(f"{self._prefix}/") else self._prefix + path

    async def _content(self, url: str) -> bytes:
        """The bytes of a good answer, by the first token that is accepted."""
        for number, token in enumerate(self._tokens, 1):
            status, content, after = await self._asked(url, token)
            if status != 401 or number == len(self._tokens):
                break
        if status == 200:
            return content
        raise NotListed(f"{self.host} answers {status}{_reason(content)}", status=status, retry_after=after)

    async def _asked(self, url: str, token: str) -> tuple[int, bytes, float | None]:
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        shown = {"Accept": "application/json", **credentials(self._account.account_sid, token)}
        try:
            # A redirect would carry the token away.
            async with (
                asyncio.timeout(SECONDS),
                self._session.get(url, headers=shown, allow_redirects=False) as response,
            ):
                content = await bounded(response, LONGEST)
        except TimeoutError:
            raise NotListed(f"{self.host} does not answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            # The error's own words may have the address, and so people's numbers.
            raise NotListed(f"{self.host}: {why(error)}") from None
        return response.status, content, retry_after(response.headers.get("Retry-After"))


def _quoted(sid: str) -> str:
    """Within a path; an answer may hold any text."""
    return quote(sid, safe="", errors="replace")


def _reason(content: bytes) -> str:
    """The API's own code, where it gives one; a proxy on the way answers in HTML."""
    try:
        code = json.loads(content).get("code")
    except (ValueError, RecursionError, AttributeError):
        return ""
    return f" (error {code})" if isinstance(code, int) else ""
