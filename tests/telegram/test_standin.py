"""The Bot API server behaves as documented; without this the tests that use it would prove little."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.demo.bot_api import BotApi, Fault
from gateway.demo.bot_api.files import Files
from gateway.demo.bot_api.webhooks import Deliveries
from tests.passing import time_passes
from tests.telegram.standin import PATIENCE, SECRET, TOKEN, said, standin


class Client:
    """Calls methods."""

    def __init__(self, api: BotApi, http: aiohttp.ClientSession) -> None:
        self._api, self._http = api, http

    async def answer(self, method: str, token: str = TOKEN, **parameters: Any) -> dict[str, Any]:
        async with self._http.post(f"{self._api.api_url}{token}/{method}", json=parameters) as response:
            found: dict[str, Any] = await response.json()
            assert response.status == (200 if found["ok"] else found["error_code"])
            return found

    async def ids(self, **parameters: Any) -> list[int]:
        return [update["update_id"] for update in (await self.answer("getUpdates", **parameters))["result"]]


@asynccontextmanager
async def client(**timing: float) -> AsyncIterator[tuple[BotApi, Client]]:
    async with standin(**timing) as api, aiohttp.ClientSession() as http:
        yield api, Client(api, http)


async def test_updates_come_again_until_a_higher_offset_confirms_them() -> None:
    async with client() as (api, ask):
        first, second, third = (api.bot().push(said(text)) for text in "abc")
        assert await ask.ids() == [first, second, third]
        assert await ask.ids(limit=2) == [first, second]
        assert await ask.ids(offset=second) == [second, third]
        assert await ask.ids() == [second, third]
        assert await ask.ids(offset=-1) == [third]
        assert await ask.ids() == [third]
        assert await ask.ids(offset=(third or 0) + 1) == []


async def test_a_long_poll_ends_with_the_first_update_and_a_second_poll_ends_the_first() -> None:
    async with client() as (api, ask):
        polls = [asyncio.create_task(ask.answer("getUpdates", timeout=50)) for _ in range(2)]
        await api.called("getUpdates", 2)
        done, _ = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
        (ended,) = done
        assert ended.result()["error_code"] == 409
        assert "other getUpdates" in ended.result()["description"]
        number = api.bot().push(said("a"))
        (left,) = (poll for poll in polls if poll is not ended)
        assert [update["update_id"] for update in (await asyncio.wait_for(left, PATIENCE))["result"]] == [number]


async def test_what_nobody_asked_for_does_not_come() -> None:
    async with client() as (api, ask):
        assert await ask.ids(allowed_updates=["message"]) == []
        assert api.bot().push({"edited_message": {}}) is None
        assert api.bot().push(said("a")) is not None
        await ask.ids(allowed_updates=[])
        assert api.bot().push({"chat_member": {}}) is None
        assert api.bot().push({"edited_message": {}}) is not None


async def test_parameters_come_in_four_ways_and_unknown_ones_are_complained_of() -> None:
    async with client() as (api, _), aiohttp.ClientSession() as http:
        api.bot().push(said("a"))
        url = f"{api.api_url}{TOKEN}/getUpdates"
        form = aiohttp.FormData({"limit": "1", "allowed_updates": '["message"]'})
        multipart = aiohttp.FormData({"limit": "1"}, default_to_multipart=True)
        for request in (
            http.get(url, params={"limit": "1"}),
            http.post(url, data=form),
            http.post(url, data=multipart),
            http.post(url.replace("getUpdates", "GETUPDATES"), json={"limit": 1}),
        ):
            async with request as response:
                assert len((await response.json())["result"]) == 1
        async with http.post(url, json={"limits": 1}) as response:
            assert response.status == 200
        assert api.complaints == ["getUpdates: no parameter limits"]
        api.complaints.clear()


async def test_wrong_tokens_and_webhooks_stop_polls() -> None:
    async with client() as (api, ask):
        assert (await ask.answer("getMe", "1:other"))["error_code"] == 401
        poll = asyncio.create_task(ask.answer("getUpdates", timeout=50))
        await api.called("getUpdates")
        assert (await ask.answer("setWebhook", url="http://127.0.0.1:9/x"))["result"] is True
        assert "setWebhook" in (await asyncio.wait_for(poll, PATIENCE))["description"]
        assert "webhook is active" in (await ask.answer("getUpdates"))["description"]
        assert (await ask.answer("setWebhook", url="http://h/x", secret_token="ё"))["error_code"] == 400
        await ask.answer("deleteWebhook")
        assert await ask.ids() == []
        api.bot().revoked = True
        assert (await ask.answer("getMe"))["error_code"] == 401


@asynccontextmanager
async def hook(statuses: list[int], got: list[dict[str, Any]]) -> AsyncIterator[str]:
    """A webhook that answers with `statuses`, then with 200."""

    async def take(request: web.Request) -> web.Response:
        assert request.headers["X-Telegram-Bot-Api-Secret-Token"] == SECRET
        got.append(await request.json())
        return web.Response(status=statuses.pop(0) if statuses else 200)

    site = web.Application()
    site.router.add_post("/hook", take)
    runner = web.AppRunner(site)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


async def test_a_webhook_gets_its_secret_and_what_it_does_not_take_again() -> None:
    got: list[dict[str, Any]] = []
    async with client() as (api, ask), hook([503, 200], got) as url:
        await ask.answer("setWebhook", url=url, secret_token=SECRET, max_connections=1)
        bot = api.bot()
        first = bot.push(said("a"))
        await api.until(lambda: len(got) == 2 and not bot.waiting)
        assert [update["update_id"] for update in got] == [first, first]
        info = (await ask.answer("getWebhookInfo"))["result"]
        assert (info["url"], info["pending_update_count"]) == (url, 0)
        assert "503" in info["last_error_message"]
        # Taken twice, and taken although the answer got lost.
        bot.part(Deliveries).plan.extend([Fault(kind="twice"), Fault(kind="lost")])
        bot.push(said("b"))
        await api.until(lambda: len(got) == 4 and not bot.waiting)
        bot.push(said("c"))
        await api.until(lambda: len(got) == 6 and not bot.waiting)


async def test_a_broken_delivery_is_repeated_whole() -> None:
    got: list[dict[str, Any]] = []
    async with client(delivery_timeout=PATIENCE) as (api, ask), hook([], got) as url:
        await ask.answer("setWebhook", url=url, secret_token=SECRET)
        bot = api.bot()
        plan = bot.part(Deliveries).plan
        plan.extend([Fault(kind="half"), Fault(kind="never")])
        bot.push(said("a"))
        while plan:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        time_passes(PATIENCE)
        await api.until(lambda: not bot.waiting)
        assert [one["message"]["text"] for one in got] == ["a"]
        assert [one.status for one in bot.part(Deliveries).tries] == [None, None, 200]


@pytest.mark.parametrize("kind", ["too_many", "error", "html", "reset", "lost", "half", "slow", "late", "never"])
async def test_each_fault_is_one_call_long(kind: Any) -> None:
    async with client() as (api, _), aiohttp.ClientSession() as http:
        api.plan(Fault(kind=kind, retry_after=7, seconds=0.03, method="getMe"))
        url, said_ = f"{api.api_url}{TOKEN}/getMe", ""
        asking = asyncio.create_task(_text(http, url))
        await api.called("getMe")
        if kind == "late":
            api.go_on()
        try:
            said_ = await asyncio.wait_for(asking, 0.3 if kind == "never" else PATIENCE)
        except (aiohttp.ClientError, TimeoutError) as error:
            said_ = type(error).__name__
        wanted = {
            "too_many": '"retry_after": 7',
            "error": "500",
            "html": "nginx",
            "slow": "desk_bot",
            "late": "desk_bot",
        }
        assert wanted.get(kind, "") in said_
        assert bool(wanted.get(kind)) == said_.startswith(("{", "<"))
        assert api.calls[0].done == (kind in ("lost", "half", "slow", "late"))
        assert "desk_bot" in await _text(http, url)


async def _text(http: aiohttp.ClientSession, url: str) -> str:
    # Not by GET: the client itself repeats that when the connection breaks.
    async with http.post(url) as response:
        return await response.text()


async def test_updates_that_were_confirmed_can_come_again() -> None:
    async with client() as (api, ask):
        number = api.bot().push(said("a"))
        api.plan(Fault(kind="twice", method="getUpdates"))
        # With nothing confirmed there is nothing that could come again.
        assert await ask.ids() == [number]
        assert await ask.ids(offset=(number or 0) + 1) == [number]
        assert await ask.ids(offset=(number or 0) + 1) == []


async def test_files_and_menus() -> None:
    async with client() as (api, ask), aiohttp.ClientSession() as http:
        files = api.bot().part(Files)
        files.add("F1", b"content")
        files.add("F2", b"", size=20 * 1024 * 1024 + 1)
        found = (await ask.answer("getFile", file_id="F1"))["result"]
        assert found["file_size"] == 7
        async with http.get(f"{api.file_url}{TOKEN}/{found['file_path']}") as response:
            assert await response.read() == b"content"
        assert (await ask.answer("getFile", file_id="F2"))["description"] == "Bad Request: file is too big"
        assert (await ask.answer("getFile"))["error_code"] == 400
        menu = [{"command": "help", "description": "Помощь"}]
        assert (await ask.answer("setMyCommands", commands=json.dumps(menu), language_code="ru"))["result"] is True
        assert (await ask.answer("getMyCommands", language_code="ru"))["result"] == menu
        assert (await ask.answer("getMyCommands"))["result"] == []
        assert (await ask.answer("setMyCommands", commands=[{"command": "Help", "description": "x"}]))["ok"] is False
