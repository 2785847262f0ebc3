"""Files that people sent: asked for at the address that the message names, after it is filed (rule 10).

https://www.twilio.com/docs/messaging/api/media-resource: the address leads to another host, where the file lies. Only
`api_url` itself is told who we are; no other host is, wherever the address or a redirect leads. The token stands in no
address, but the address of a file is a secret of its own, so nothing that is shown names it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urljoin

import aiohttp

from channels.contract import Clock, Fetched, FetchFailed
from channels.new_file import new_file
from channels.twilio.hosts import Forbidden, Guard, credentials, origin
from channels.twilio.media_type import HEAD, is_page, true_type
from channels.twilio.settings import TwilioNumbers

PIECE_SECONDS = 30.0
"""The longest silence of the far side, before and within a file."""
SLOWEST = 16 * 1024
"""Bytes a second; the time for a file is what the greatest size takes at this pace."""
LEAST_SECONDS = 60.0
HOPS = 4
"""How often we are led on."""
ABSENT = timedelta(minutes=30)
"""A file that is not there may still come; after so long it does not."""
REMEMBERED = 1_000
"""Files of which we remember since when they are missing."""
LED_ON = frozenset({301, 302, 303, 307, 308})
Outcome: TypeAlias = tuple[str, bool]
"""(words for staff, permanent)."""
AT_HOME: Mapping[int, Outcome] = {
    401: ("the provider does not accept our account's token", False),
    403: ("the provider does not give it to us", True),
    408: ("the host of the file has no time for us", False),
    425: ("the host of the file has no time for us", False),
    429: ("the host of the file is asked too often", False),
}
"""Status of the host that knows us -> what it comes to. A token can be mended; other refusals stand."""
ELSEWHERE: Mapping[int, Outcome] = {**AT_HOME, 401: ("the host of the file wants a password", True)}
"""Of a host that the message itself names."""
LED_THERE: Mapping[int, Outcome] = {**AT_HOME, **dict.fromkeys((400, 401, 403), ("the link has expired", False))}
"""Of a host that we were led to: its link holds for a while, and the next try brings another."""


class TwilioFetcher:
    """Fetches for one account."""

    def __init__(
        self, account: TwilioNumbers, tokens: Sequence[str], *, clock: Clock, unique: Callable[[], str]
    ) -> None:
        """`tokens`: the present one, and the next where there is one. `unique` makes names for files."""
        self._account, self._tokens, self._clock, self._unique = account, tokens, clock, unique
        self._home = origin(account.api_url)
        self._absent: OrderedDict[str, datetime] = OrderedDict()

    async def fetch(self, source: str, limit: int, into: Path) -> Fetched:
        """Fetch the file at the URL `source`; see `channels.contract.Fetcher`."""
        target = into / self._unique()
        kept = False
        try:
            async with asyncio.timeout(max(LEAST_SECONDS, limit / SLOWEST)):
                fetched = await self._fetched(source, limit, target)
            kept = True
        except TimeoutError:
            raise FetchFailed("the file does not come in time", permanent=False) from None
        except Forbidden:
            raise FetchFailed("its address leads into a network that is not the Internet", permanent=True) from None
        except (aiohttp.ClientError, ssl.SSLError) as error:
            raise _broken(error) from None
        finally:
            if not kept:
                await asyncio.to_thread(target.unlink, missing_ok=True)
        self._absent.pop(source, None)
        return fetched

    async def _fetched(self, source: str, limit: int, target: Path) -> Fetched:
        guard = Guard(self._home[1] if self._home else "")
        waits = aiohttp.ClientTimeout(total=None, connect=PIECE_SECONDS, sock_read=PIECE_SECONDS)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=guard, use_dns_cache=False, force_close=True),
            timeout=waits, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False,
        ) as http:  # fmt: skip
            url, last = source, ""
            for _ in range(HOPS + 1):
                async with await self._asked(http, guard, url, last) as response:
                    if response.status not in LED_ON:
                        if response.status != 200:
                            raise self._refused(response, source, url, led=bool(last))
                        return await _stream(response, limit, target)
                    url, last = _next(response, url), url
        raise FetchFailed("the file's address leads on and on", permanent=False)

    async def _asked(self, http: aiohttp.ClientSession, guard: Guard, url: str, last: str) -> aiohttp.ClientResponse:
        """The answer of one host; of ours to the first token that it accepts."""
        where = origin(url)
        if where is None or (last.startswith("https:") and where[0] == "http"):
            raise FetchFailed("the file's address is none that can be asked", permanent=not last)
        await guard.check(where[1])
        # Known by scheme, host and port: another port may be another's server.
        tokens: Sequence[str] = self._tokens if where == self._home and not last else ()
        shown = [credentials(self._account.account_sid, token) for token in tokens] or [{}]
        plain = {"Accept-Encoding": "identity", "Accept": "*/*"}
        for number, auth in enumerate(shown, 1):
            response = await http.get(url, allow_redirects=False, headers={**plain, **auth})
            if response.status != 401 or number == len(shown):
                break
            response.close()
        return response

    def _refused(self, response: aiohttp.ClientResponse, source: str, url: str, *, led: bool) -> FetchFailed:
        status, after = response.status, response.headers.get("Retry-After", "")
        retry_after = float(after) if re.fullmatch(r"[0-9]{1,5}", after) else None
        if status == 404:
            return self._not_there(source)
        table = LED_THERE if led else AT_HOME if origin(url) == self._home else ELSEWHERE
        # Another 4xx is about what we ask, and we would ask the same again.
        what, permanent = table.get(status, (f"the file's address answers {status}", 400 <= status < 500))
        return FetchFailed(what, permanent=permanent, retry_after=retry_after)

    def _not_there(self, source: str) -> FetchFailed:
        """Not yet, or not any more: only time tells."""
        now = self._clock()
        since = self._absent.setdefault(source, now)
        if len(self._absent) > REMEMBERED:
            self._absent.popitem(last=False)
        return FetchFailed("the provider does not have the file", permanent=now - since >= ABSENT, absent=True)


def _next(response: aiohttp.ClientResponse, url: str) -> str:
    """Where the answer leads."""
    said = response.headers.get("Location", "")
    try:
        return urljoin(url, said) if said else ""
    except ValueError:
        return ""


async def _stream(response: aiohttp.ClientResponse, limit: int, target: Path) -> Fetched:
    """Write the body into `target`. Raises FetchFailed, OSError for our disk."""
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        # A few bytes may be packed gigabytes, and nobody asked for it.
        raise FetchFailed("the file comes packed, although it was asked for as it is", permanent=False)
    if (response.content_length or 0) > limit:
        raise _too_big(limit)
    digest, got, head = hashlib.sha256(), 0, b""
    async with new_file(target) as file:
        async for piece in response.content.iter_chunked(256 * 1024):
            got += len(piece)
            if got > limit:
                raise _too_big(limit)
            head = head if len(head) >= HEAD else (head + piece)[:HEAD]
            digest.update(piece)
            await asyncio.to_thread(file.write, piece)
    said = response.content_type.lower() if "Content-Type" in response.headers else ""
    if not got or is_page(said, head):
        raise FetchFailed("instead of the file comes a page, or nothing", permanent=False)
    return Fetched(path=target, content_type=true_type(said, head), size=got, sha256=digest.hexdigest())


def _too_big(limit: int) -> FetchFailed:
    return FetchFailed(f"it has more than {limit} bytes", permanent=True, too_big=True)


def _broken(error: Exception) -> FetchFailed:
    """How the connection ends; the error's own words name the address."""
    reason: BaseException | None = error
    while reason is not None:
        if isinstance(reason, Forbidden):
            return FetchFailed("its address leads into a network that is not the Internet", permanent=True)
        reason = reason.__cause__ or reason.__context__
    if isinstance(error, aiohttp.InvalidURL):
        return FetchFailed("the file's address is none that can be asked", permanent=True)
    return FetchFailed(f"the file breaks off ({type(error).__name__})", permanent=False)
