"""Recordings of calls, fetched as files of messages are: a recording that is not there yet is asked for again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from channels.contract import Fetched
from channels.twilio.fetch import TwilioFetcher


class RecordingFetcher(TwilioFetcher):
    """Fetches for one account."""

    async def fetch(self, source: str, limit: int, into: Path) -> Fetched:
        """The recording at the URL `source`; it is somebody's spoken words."""
        return replace(await super().fetch(source, limit, into), spoken=True)
