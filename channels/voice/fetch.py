"""Recordings of calls, fetched as files of messages are: a recording that is not there yet is asked for again.

Deleted at the provider afterwards where the account wants that:
https://www.twilio.com/docs/voice/api/recording#delete-a-recording-resource
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp

from channels.contract import Clock, Fetched, FetchFailed
from channels.twilio.fetch import TwilioFetcher
from channels.twilio.hosts import credentials, origin
from channels.twilio.listed import text_of
from channels.twilio.lists import Lists, NotListed
from channels.voice import told
from channels.voice.settings import VoiceAccount
from normalizer.message import RawMessage

ENDING, RESOURCE = ".mp3", ".json"
"""Of the address of the sound, and of what is deleted."""
GONE = frozenset({200, 204, 404, 410})
"""Statuses after which it is not there."""


class RecordingFetcher(TwilioFetcher):
    """Fetches for one account; `channels.contract.Erases` and `Recalls`."""

    def __init__(
        self, name: str, account: VoiceAccount, tokens: Sequence[str], *, clock: Clock, unique: Callable[[], str]
    ) -> None:
        """As for other files of Twilio's; `name` of the account."""
        super().__init__(account, tokens, clock=clock, unique=unique)
        self._name, self._account, self._now = name, account, clock
        self._erase_after, self._seconds = account.delete_recordings_after, account.timeout.total_seconds()

    async def fetch(self, source: str, limit: int, into: Path) -> Fetched:
        """The recording at the URL `source`; it is somebody's spoken words."""
        return replace(await super().fetch(source, limit, into), spoken=True)

    @property
    def erase_after(self) -> timedelta | None:
        """`delete_recordings_after`."""
        return self._erase_after

    async def erase(self, source: str) -> None:
        """Delete the recording at the URL `source`. Raises FetchFailed."""
        if origin(source) != self._home:
            # Nobody else is told the token.
            raise FetchFailed("the recording lies at a host that is not the provider's", permanent=True)
        try:
            async with asyncio.timeout(self._seconds):
                status = await self._deleted(f"{source.removesuffix(ENDING)}{RESOURCE}")
        except TimeoutError:
            raise FetchFailed("the provider does not answer in time", permanent=False) from None
        except aiohttp.ClientError as error:
            raise FetchFailed(f"the provider cannot be asked ({type(error).__name__})", permanent=False) from None
        if status not in GONE:
            raise FetchFailed(f"the provider answers {status}", permanent=False)

    async def _deleted(self, url: str) -> int:
        """The status for the first token that is accepted."""
        status = 401
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False) as http:
            for token in self._tokens:
                headers = credentials(self._account.account_sid, token)
                async with http.delete(url, headers=headers, allow_redirects=False) as response:
                    status = response.status
                if status != 401:
                    break
        return status

    async def recall(self, call: str) -> Sequence[RawMessage]:
        """Its end, and what was recorded in it. Nothing of calls that we made: who made them asks for them."""
        lists = Lists(self._account, self._tokens)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._recalled(lists, call)
        except TimeoutError:
            raise FetchFailed("the provider does not answer in time", permanent=False) from None
        except NotListed as error:
            gone = error.status in (404, 410)
            raise FetchFailed(str(error), permanent=gone, retry_after=error.retry_after) from error
        finally:
            await lists.close()

    async def _recalled(self, lists: Lists, sid: str) -> Sequence[RawMessage]:
        """Raises NotListed, FetchFailed."""
        call = await lists.one(lists.call(sid))
        if told.is_ours(call):
            return ()
        if not told.is_over(call):
            raise FetchFailed("the call goes on", permanent=False, absent=True)
        recordings = await lists.whole(lists.recordings(sid), "recordings")
        if told.are_unfinished(recordings):
            raise FetchFailed("a recording is not ready yet", permanent=False, absent=True)
        found = [(one, lists.recording(text_of(one, "sid"))) for one in recordings if text_of(one, "sid")]
        return told.raws_listed({**call, "sid": sid}, found, channel="voice", account=self._name, now=self._now())
