"""Files that people sent: asked for by getFile, streamed into the spool after the message is filed (rule 10).

https://core.telegram.org/bots/api#getfile: at most 20 MB, and a link that holds for an hour at least, so it is asked
for anew at each try. The token stands in the file's address: no redirect is followed, and nothing that may name the
address is shown.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from channels.contract import Fetched, FetchFailed
from channels.new_file import new_file
from channels.telegram.api import Api, NoAnswer, Refused
from channels.telegram.settings import TelegramAccount

PIECE_SECONDS = 30.0
"""The longest silence of the far side within a file."""
SLOWEST = 16 * 1024
"""Bytes a second; the time for a file is what its greatest size takes at this pace."""
LEAST_SECONDS = 60.0
_PATH = re.compile(r"(?!/)(?!.*(?:^|/)\.\.?(?:/|$))[\w./ -]{1,300}", re.ASCII)
_SPOKEN = ("voice/", "video_notes/")
"""Where the Bot API server keeps voice messages and round videos, by what it calls their folders."""
_GONE = ("wrong file_id", "invalid file_id", "wrong remote file", "file_id doesn't match", "wrong type of the file")
_USELESS_TYPES = frozenset({"", "application/octet-stream", "text/html"})


class TelegramFetcher:
    """Fetches for one bot."""

    def __init__(self, account: TelegramAccount, token: str, *, unique: Callable[[], str]) -> None:
        """`unique` makes names for files."""
        self._account, self._token, self._unique = account, token, unique

    async def fetch(self, source: str, limit: int, into: Path) -> Fetched:
        """Fetch the file with the file_id `source`; see `channels.contract.Fetcher`."""
        path, size = await self._where(source)
        if size > limit:
            raise FetchFailed(f"it has {size} bytes, over the limit of {limit}", permanent=True, too_big=True)
        target = into / self._unique()
        kept = False
        try:
            fetched = await self._content(path, size, limit, target)
            kept = True
        finally:
            if not kept:
                await asyncio.to_thread(target.unlink, missing_ok=True)
        return fetched

    async def _where(self, source: str) -> tuple[str, int]:
        """(file_path, size or 0) as getFile says."""
        api = Api(self._account, self._token)
        try:
            said: Any = await api.result("getFile", {"file_id": source})
        except Refused as error:
            raise _refused(error) from None
        except NoAnswer as error:
            raise FetchFailed(str(error), permanent=False) from None
        finally:
            await api.close()
        path = said.get("file_path") if isinstance(said, dict) else None
        if not isinstance(path, str) or not _PATH.fullmatch(path):
            raise FetchFailed("Telegram names no file that could be fetched", permanent=False)
        size = said.get("file_size")
        return path, size if isinstance(size, int) and not isinstance(size, bool) else 0

    async def _content(self, path: str, size: int, limit: int, target: Path) -> Fetched:
        url = self._account.content_url(self._token, path)
        seconds = max(LEAST_SECONDS, min(size or limit, limit) / SLOWEST)
        waits = aiohttp.ClientTimeout(total=seconds, connect=PIECE_SECONDS, sock_read=PIECE_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=waits, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
                ) as http,
                http.get(url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as response,
            ):
                if response.status != 200:
                    raise _no_file(response)
                return await _stream(response, size, limit, target, spoken=path.startswith(_SPOKEN))
        except TimeoutError:
            raise FetchFailed("the file does not come in time", permanent=False) from None
        except aiohttp.ClientError as error:
            # Its own words name the address, and so the token.
            raise FetchFailed(f"the file breaks off ({type(error).__name__})", permanent=False) from None


async def _stream(response: aiohttp.ClientResponse, size: int, limit: int, target: Path, *, spoken: bool) -> Fetched:
    """Write the body into `target`. Raises FetchFailed, OSError for our disk."""
    if (response.content_length or 0) > limit:
        raise _too_big(limit)
    digest, got = hashlib.sha256(), 0
    async with new_file(target) as file:
        async for piece in response.content.iter_chunked(256 * 1024):
            got += len(piece)
            if got > limit:
                raise _too_big(limit)
            digest.update(piece)
            await asyncio.to_thread(file.write, piece)
    if size and got != size:
        raise FetchFailed(f"{got} bytes came of {size}", permanent=False)
    said = response.content_type if "Content-Type" in response.headers else ""
    content_type = "" if said in _USELESS_TYPES else said
    return Fetched(path=target, content_type=content_type, size=got, sha256=digest.hexdigest(), spoken=spoken)


def _too_big(limit: int) -> FetchFailed:
    return FetchFailed(f"it has more than {limit} bytes", permanent=True, too_big=True)


def _no_file(response: aiohttp.ClientResponse) -> FetchFailed:
    """The file's address gives something else. A link that has expired is made anew by the next try."""
    after = response.headers.get("Retry-After", "")
    retry_after = float(after) if re.fullmatch(r"[0-9]{1,5}", after) else None
    what = "sends elsewhere" if 300 <= response.status < 400 else f"answers {response.status}"
    return FetchFailed(f"the file's address {what}", permanent=False, retry_after=retry_after)


def _refused(error: Refused) -> FetchFailed:
    said = str(error).lower()
    if error.code == 400 and "too big" in said:
        return FetchFailed("Telegram does not pass on files over 20 MB", permanent=True, too_big=True)
    gone = error.code == 400 and any(words in said for words in _GONE) and "temporarily" not in said
    return FetchFailed(str(error), permanent=gone, retry_after=error.retry_after)
