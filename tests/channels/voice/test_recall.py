"""What is taken of what the provider remembers of a call, and what only later."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from channels.contract import FetchFailed
from channels.voice.fetch import RecordingFetcher
from channels.voice.settings import VoiceAccount
from tests.twilio.provider import ACCOUNT, TOKEN

CALL = "CA" + "1" * 32
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


@dataclass
class Provider:
    """Remembers one call."""

    call: dict[str, Any] = field(
        default_factory=lambda: {
            "sid": CALL, "status": "completed", "direction": "inbound", "from": "+380670000001", "to": "+380440000001",
            "end_time": "Mon, 23 Nov 2026 09:00:00 +0000",
        }
    )  # fmt: skip
    recordings: list[Any] = field(default_factory=list)
    page_size: int = 50
    endless: bool = False
    """Each page names another one."""

    @asynccontextmanager
    async def fetcher(self) -> AsyncIterator[RecordingFetcher]:
        app = web.Application()
        below = "/2010-04-01/Accounts/{account}/Calls/{call}"
        app.router.add_get(below + ".json", self._call)
        app.router.add_get(below + "/Recordings.json", self._recordings)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            [(host, port, *_)] = runner.addresses
            said = {**ACCOUNT, "auth_token": "env:X", "api_url": f"http://{host}:{port}"}
            account = VoiceAccount.model_validate(said)
            yield RecordingFetcher("main", account, (TOKEN,), clock=lambda: NOW, unique=lambda: "x")
        finally:
            await runner.cleanup()

    async def _call(self, _request: web.Request) -> web.Response:
        return web.json_response(self.call)

    async def _recordings(self, request: web.Request) -> web.Response:
        begin = int(request.query.get("Page", "0")) * self.page_size
        end = begin + self.page_size
        more = f"{request.path}?Page={end // self.page_size}" if self.endless or end < len(self.recordings) else None
        return web.json_response({"recordings": self.recordings[begin:end], "next_page_uri": more})


def recording(**changed: Any) -> dict[str, Any]:
    return {"sid": "RE" + "2" * 32, "status": "completed", "source": "RecordVerb", "duration": "9", **changed}


async def test_a_call_that_we_made_is_nobodys_to_ask_for_here() -> None:
    provider = Provider(recordings=[recording()])
    provider.call["direction"] = "outbound-api"
    async with provider.fetcher() as fetcher:
        assert await fetcher.recall(CALL) == ()


@pytest.mark.parametrize("status", ["in-progress", "paused", "stopped", "processing"])
async def test_a_recording_that_is_not_ready_is_waited_for(status: str) -> None:
    provider = Provider(recordings=[recording(), recording(sid="RE" + "3" * 32, status=status)])
    async with provider.fetcher() as fetcher:
        with pytest.raises(FetchFailed, match="not ready") as waiting:
            await fetcher.recall(CALL)
        assert waiting.value.absent and not waiting.value.permanent
        provider.recordings[1]["status"] = "completed"
        assert [raw.facts["route"] for raw in await fetcher.recall(CALL)] == ["recorded", "recorded", "status"]


async def test_an_answer_of_odd_values_is_told_as_far_as_it_goes() -> None:
    odd: dict[str, Any] = {"from": {"x": 1}, "to": ["+1"], "direction": None, "end_time": 10**400, "duration": True}
    provider = Provider(recordings=["no recording", recording(sid=None), recording(duration={}, sid="RE\0\ud800")])
    provider.call |= odd
    async with provider.fetcher() as fetcher:
        told = await fetcher.recall(CALL)
    assert [(raw.facts["route"], raw.received_at) for raw in told] == [("recorded", NOW), ("status", NOW)]


async def test_all_pages_of_its_recordings_are_read_and_a_list_without_an_end_is_asked_for_later() -> None:
    provider = Provider(recordings=[recording(sid=f"RE{number:032}") for number in range(5)], page_size=2)
    async with provider.fetcher() as fetcher:
        told = await fetcher.recall(CALL)
        assert [raw.facts["route"] for raw in told] == [*["recorded"] * 5, "status"]
        assert len({raw.external_id for raw in told}) == 6
        provider.endless = True
        with pytest.raises(FetchFailed, match="no end of pages") as endless:
            await fetcher.recall(CALL)
        assert not endless.value.permanent
