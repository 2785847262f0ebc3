"""What our own HTTP answers a request, whatever it thinks of it."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request

PATIENCE = 90.0
"""Seconds for one answer: a shared machine pauses."""


async def status_of(request: urllib.request.Request) -> int:
    """The status; one that refuses is an answer, too."""

    def ask() -> int:
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    return await asyncio.to_thread(ask)
