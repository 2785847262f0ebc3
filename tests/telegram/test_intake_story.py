"""A whole gateway and a bot: by webhook and by polling, whatever comes stands in the journal once and in one ticket."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from channels.registry import CHANNELS
from channels.telegram.settings import TelegramAccount
from channels.telegram.webhook import HEADER
from gateway.demo.bot_api import RECEIVING, SENDING, BotApi, Fault
from gateway.demo.bot_api.sending import Chats
from gateway.demo.bot_api.webhooks import Deliveries
from tests.channels.telegram.test_telegram_inbound import MALFORMED
from tests.mailboxes.desk import Running, running
from tests.telegram.standin import PATIENCE, SECRET, TOKEN, said, standin


@asynccontextmanager
async def desk(var: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> AsyncIterator[tuple[BotApi, Running]]:
    """A gateway with one bot, and the Bot API server that it talks to."""
    monkeypatch.setenv("BOT_TOKEN", TOKEN)
    monkeypatch.setenv("BOT_SECRET", SECRET)
    async with standin({**RECEIVING, **SENDING}, delivery_timeout=PATIENCE) as api:
        account = {"token": "env:BOT_TOKEN", "secret": "env:BOT_SECRET", "api_url": api.api_url, "poll": "5s", **more}
        settings = (
            "smtp.port=0", "http.port=0", "outbox.backoff=1s", "outbox.backoff_limit=1s",
            f"channels.telegram.main={json.dumps(account)}",
        )  # fmt: skip
        async with running(var, settings) as gateway:
            yield api, gateway


def now(text: str, **more: Any) -> dict[str, Any]:
    """What somebody writes at this moment; an old message would get no answer."""
    update = said(text, **more)
    update["message"]["date"] = int(time.time())
    return update


def rows(gateway: Running) -> list[tuple[str, str]]:
    return gateway.store.rows("SELECT state, sha256 FROM entry WHERE channel = 'telegram' ORDER BY id")


async def filed(gateway: Running, count: int) -> list[str]:
    """Wait until so many are done; their SHA-256."""

    def look() -> list[str]:
        found = rows(gateway)
        done = [sha for state, sha in found if state == "done"]
        assert not any(state == "quarantined" for state, _ in found), found
        return done if len(done) >= count else []

    return await gateway.until(look, f"{count} entries")


async def registered(api: BotApi, gateway: Running) -> str:
    """The webhook is set up as the command does it; its address."""
    public_url = f"http://{gateway.listening['http']}"
    account = TelegramAccount.model_validate(
        {"token": TOKEN, "secret": SECRET, "mode": "webhook", "api_url": api.api_url}
    )
    setup = CHANNELS["telegram"].setup
    assert setup is not None
    await setup("main", account, public_url, {}, lambda _: None)
    return f"{public_url}/channels/telegram/main"


@pytest.mark.parametrize("mode", ["polling", "webhook"])
async def test_what_a_person_writes_becomes_a_ticket_and_is_answered(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path / "var", monkeypatch, mode=mode) as (api, gateway):
        bot = api.bot()
        if mode == "webhook":
            await registered(api, gateway)
            # Half of it first; and once the answer gets lost.
            bot.part(Deliveries).plan.extend([Fault(kind="half"), Fault(kind="lost")])
        bot.push(now("Не открывается портал, ошибка 502", message_id=1, user=5_000_000_001))
        await gateway.tickets(1)
        await api.until(lambda: not bot.waiting)
        assert len(await filed(gateway, 1)) == 1
        await api.until(lambda: len(bot.part(Chats).sent) > 0)
        (sent,) = bot.part(Chats).sent
        assert sent.chat == 5_000_000_001
        assert str(gateway.store.one("SELECT number FROM ticket")) in sent.text


async def test_nothing_that_is_posted_is_a_500_and_all_of_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path / "var", monkeypatch, mode="webhook") as (api, gateway):
        url = await registered(api, gateway)
        big = json.dumps({"update_id": 900, **now("x" * 12 * 1024 * 1024, message_id=900)}).encode()
        one = json.dumps({"update_id": 901, **now("Десять раз", message_id=901)}).encode()
        async with aiohttp.ClientSession(headers={HEADER: SECRET}) as http:

            async def post(body: bytes, **headers: str) -> int:
                async with http.post(url, data=BytesIO(body), headers=headers) as answer:
                    await answer.read()
                    return answer.status

            assert {await post(body) for body in MALFORMED} == {200}
            assert await asyncio.gather(*(post(one) for _ in range(10))) == [200] * 10
            assert await post(big) == 200
            assert await post(one, **{HEADER: "another"}) == 403
            async with aiohttp.ClientSession() as stranger, stranger.post(url, data=one) as answer:
                assert answer.status == 401
            async with http.get(url) as answer:
                assert answer.status == 405
        wanted = [hashlib.sha256(body).hexdigest() for body in {*MALFORMED, one, big}]
        assert sorted(await filed(gateway, len(wanted))) == sorted(wanted)


async def test_what_came_while_the_secret_was_wrong_is_taken_in_when_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = json.dumps({"update_id": 7, **now("Пришло раньше")}).encode()
    var, path = tmp_path / "var", "/channels/telegram/main"
    async with aiohttp.ClientSession() as http:

        async def post(gateway: Running, path: str, body: bytes, **headers: str) -> tuple[int, Any]:
            url = f"http://{gateway.listening['http']}{path}"
            async with http.post(url, data=body, headers=headers) as answer:
                said_ = await answer.read()
                return answer.status, json.loads(said_) if said_ and answer.status == 200 else None

        async with desk(var, monkeypatch, mode="webhook") as (_, gateway):
            assert (await post(gateway, path, update, **{HEADER: "the-one-telegram-was-told"}))[0] == 403
            assert rows(gateway) == []
        (tmp_path / "secret").write_text("the-one-telegram-was-told")
        async with desk(var, monkeypatch, mode="webhook", secret=f"file:{tmp_path}/secret") as (_, gateway):
            allowed = {"Authorization": f"Bearer {(var / 'token').read_text().strip()}"}
            asked = {"Content-Type": "application/json", **allowed}
            status, done = await post(gateway, "/api/v1/unverified/replay", b"{}", **asked)
            assert (status, done["believed"], done["messages"]) == (200, 1, 1)
            assert await filed(gateway, 1) == [hashlib.sha256(update).hexdigest()]
            # Telegram repeats what was answered with 403; by now it is known.
            assert (await post(gateway, path, update, **{HEADER: "the-one-telegram-was-told"}))[0] == 200
            assert len(rows(gateway)) == 1


async def test_a_poison_between_good_ones_is_polled_and_filed_like_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = [
        '{"update_id":2001,"message":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"update_id":2002,"message":{"x":' + "9" * 5000 + "}}",
        '{"update_id":2003,"poll":{"id":null}}',
        r'{"update_id":2004,"message":{"text":"\ud83d\u0000"}}',
        '{"update_id":2005,"message":{"text":"' + "x" * 300_000 + '"}}',
    ]
    async with desk(tmp_path / "var", monkeypatch, mode="polling") as (api, gateway):
        bot = api.bot()
        bot.push(now("Не открывается портал", message_id=1, user=5_000_000_001))
        for number, text in enumerate(poison, 2001):
            bot.push_text(number, text)
        bot.push(now("Принтер не печатает", message_id=2, user=5_000_000_002))
        wanted = [hashlib.sha256(one.text.encode()).hexdigest() for one in bot.waiting]
        assert await filed(gateway, len(wanted)) == wanted
        people = "SELECT requester, subject FROM ticket WHERE requester != '' ORDER BY id"
        assert gateway.store.rows(people) == [
            ("5000000001", "Не открывается портал"), ("5000000002", "Принтер не печатает"),
        ]  # fmt: skip
        await api.until(lambda: not bot.waiting)
        await api.until(lambda: {sent.chat for sent in bot.part(Chats).sent} == {5_000_000_001, 5_000_000_002})
        # The poll goes on behind it.
        bot.push(now("Сервер не отвечает", message_id=3, user=5_000_000_003))
        await gateway.until(lambda: len(gateway.store.rows(people)) == 3, "the next one")


async def test_a_group_that_becomes_a_supergroup_is_followed_before_we_write_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = {"id": -777, "type": "group", "title": "Office"}, {"id": -1001234567890, "type": "supergroup"}
    async with desk(tmp_path / "var", monkeypatch, mode="polling") as (api, gateway):
        bot = api.bot()
        chats = bot.part(Chats)
        bot.push(now("Не открывается портал", message_id=1, chat=before))
        await gateway.tickets(1)
        await api.until(lambda: [sent.chat for sent in chats.sent] == [-777])
        # From now on the old id is refused, but nobody has to run into that.
        chats.moved[-777] = -1001234567890
        service = now("", message_id=2, chat=before, migrate_to_chat_id=-1001234567890)
        del service["message"]["text"]
        bot.push(service)
        again = now("", message_id=1, chat=after, migrate_from_chat_id=-777)
        del again["message"]["text"]
        bot.push(again)
        await filed(gateway, 3)
        assert gateway.store.one("SELECT json_extract(conversation, '$.answer_to.chat') FROM ticket") == -1001234567890
        bot.push(now("И почта тоже", message_id=3, chat=after))
        await filed(gateway, 4)
        assert gateway.store.tickets() == 1, "the conversation goes on"
        token = (tmp_path / "var" / "token").read_text().strip()
        number = gateway.store.one("SELECT number FROM ticket")
        url = f"http://{gateway.listening['http']}/api/v1/tickets/{number}/reply"
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http,
            http.post(url, json={"text": "Смотрим."}) as answer,
        ):
            assert answer.status < 300, await answer.text()
        calls = len(api.calls)
        await api.until(lambda: any(sent.chat == -1001234567890 and "Смотрим" in sent.text for sent in chats.sent))
        assert all(call.parameters.get("chat_id") != -777 for call in api.calls[calls:])
