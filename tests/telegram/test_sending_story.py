"""A bot's way out through the whole gateway: acknowledged, files fetched, answered in parts, answered back, blocked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.client import Client
from gateway.demo.bot_api import RECEIVING, SENDING, Bot, BotApi
from gateway.demo.bot_api.files import Files
from gateway.demo.bot_api.sending import Chats, Sent
from tests.mailboxes.desk import Running, running
from tests.telegram.standin import TOKEN, said, standin

ANNA, GROUP = 5_000_000_001, -1_001_234_567_890
ROOF = b"\xff\xd8\xff a roof with a hole " * 40_000


class Story:
    """Anna, the bot, and the desk."""

    def __init__(self, api: BotApi, desk: Running, var: Path) -> None:
        self.api, self.desk, self.var = api, desk, var
        self._number = 0

    @property
    def bot(self) -> Bot:
        return self.api.bot(TOKEN)

    @property
    def chats(self) -> Chats:
        return self.bot.part(Chats)

    def says(self, text: str, **more: Any) -> int:
        """Somebody writes; the number of their message."""
        self._number += 1
        self.bot.push(said(text, message_id=self._number, date=int(time.time()), **more))
        return self._number

    async def messages(self, chat: int, count: int) -> list[Sent]:
        """What the bot wrote to a chat, once it is so much."""
        await self.api.until(lambda: len(self.chats.to(chat)) >= count)
        return self.chats.to(chat)

    async def act(self, number: str, what: str, **body: Any) -> None:
        client = Client.find(self.var)
        await asyncio.to_thread(client.post, f"/tickets/{number}/{what}", body)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self.desk.store.rows(query, *values)

    async def until(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the database, once there are some."""
        return await self.desk.until(lambda: self.rows(query, *values), query)


@asynccontextmanager
async def story(var: Path) -> AsyncIterator[Story]:
    async with standin({**RECEIVING, **SENDING}) as api:
        secret = var.with_suffix(".token")
        secret.write_text(TOKEN, encoding="ascii")
        account = f'{{"token": "file:{secret}", "api_url": "{api.api_url}", "poll": "2s"}}'
        settings = (
            "smtp.port=0", "http.port=0", "outbox.debounce=0s", "outbox.backoff=1s", "outbox.backoff_limit=1s",
            f"channels.telegram.desk={account}",
        )  # fmt: skip
        async with running(var, settings) as desk:
            yield Story(api, desk, var)


@pytest.mark.timeout(600)
async def test_a_conversation_with_files_and_a_long_answer(tmp_path: Path) -> None:
    async with story(tmp_path / "var") as tg:
        tg.bot.part(Files).add("roof", ROOF, "photos/file_1.jpg")
        tg.bot.part(Files).add("large", b"", "documents/file_2.mp4", size=30 * 1024 * 1024)
        photo = [{"file_id": "roof", "file_unique_id": "u", "width": 9, "height": 9, "file_size": len(ROOF)}]
        tg.says("", caption="Крыша протекает, вода капает на сервер", photo=photo)
        ((number,),) = await tg.until("SELECT number FROM ticket")
        (acknowledgement,) = await tg.messages(ANNA, 1)
        assert acknowledgement.bold == [number]

        await tg.until("SELECT 1 FROM attachment WHERE state = 'here' AND blob IS NOT NULL")
        shown = await asyncio.to_thread(Client.find(tg.var).get, f"/tickets/{number}")
        (file,) = shown["messages"][0]["attachments"]
        path = file["url"].removeprefix("/api/v1")
        assert await asyncio.to_thread(Client.find(tg.var).download, path) == ROOF

        # Long enough for three messages, with what Telegram's markup would trip over.
        answer = "\n\n".join(
            f"{step}. Откройте <Панель> & нажмите «{step}». " + "Подождите. " * 80 for step in range(1, 13)
        )
        await tg.act(number, "reply", text=answer)
        parts = (await tg.messages(ANNA, 4))[1:]
        assert len(parts) == 3
        for step in range(1, 13):
            assert sum(f"{step}. Откройте <Панель>" in part.text for part in parts) >= 1
        await tg.until("SELECT 1 FROM outbox WHERE template = 'reply' AND part = 2 AND state = 'sent'")
        keys = tg.rows("SELECT key, part, state FROM outbox WHERE template = 'reply' ORDER BY id")
        assert [(part, state) for _, part, state in keys] == [(0, "sent"), (1, "sent"), (2, "sent")]

        # Who answers a part answers the ticket, whatever else is open.
        under = {"message_id": parts[1].id, "chat": {"id": ANNA, "type": "private"}, "date": 1, "text": "x"}
        tg.says("Не помогло", reply_to_message={**under, "from": {"id": tg.bot.id, "is_bot": True, "first_name": "D"}})
        await tg.until("SELECT 1 FROM message WHERE text LIKE '%Не помогло%'")
        assert tg.rows("SELECT count(*) FROM ticket") == [(1,)]

        tg.says("", document={"file_id": "large", "file_unique_id": "v", "file_name": "видео.mp4"})
        await tg.until("SELECT 1 FROM attachment WHERE state = 'failed'")
        told = (await tg.messages(ANNA, 5))[-1]
        assert "20" in told.text
        assert tg.api.complaints == []


@pytest.mark.timeout(600)
async def test_who_blocks_the_bot_gets_the_answer_by_mail(tmp_path: Path) -> None:
    async with story(tmp_path / "var") as tg:
        tg.says("Принтер не печатает второй день, помогите")
        ((number,),) = await tg.until("SELECT number FROM ticket")
        await tg.messages(ANNA, 1)
        tg.desk.store.change(
            "INSERT INTO identity (kind, value, contact_id) SELECT 'mail', 'anna@client.example',"
            f" contact_id FROM identity WHERE kind = 'telegram' AND value = '{ANNA}'"
        )
        tg.chats.blocked.add(ANNA)
        await tg.act(number, "reply", text="Включите принтер.")
        await tg.until("SELECT 1 FROM outbox WHERE channel = 'mail' AND template = 'reply' AND state = 'sent'")
        (mail,) = [path for path in (tg.var / "outgoing").glob("*.eml") if b"anna@client.example" in path.read_bytes()]
        assert b"Reply-To: " in mail.read_bytes()
        assert len(tg.chats.to(ANNA)) == 1
        ((data,),) = tg.rows("SELECT data FROM event WHERE kind = 'undelivered'")
        assert "anna@client.example" in data


@pytest.mark.timeout(600)
async def test_an_answer_in_a_group_points_at_its_question_and_follows_the_group(tmp_path: Path) -> None:
    async with story(tmp_path / "var") as tg:
        group = {"id": -77, "type": "group", "title": "Office"}
        asked = tg.says("@desk_bot Не работает Wi-Fi на складе", chat=group)
        tg.chats.theirs.add((-77, asked))
        ((number,),) = await tg.until("SELECT number FROM ticket")
        (first,) = await tg.messages(-77, 1)
        assert first.answers == asked

        tg.chats.moved[-77] = GROUP
        await tg.act(number, "reply", text="Перезагрузите точку доступа.")
        (answer,) = await tg.messages(GROUP, 1)
        assert "Перезагрузите" in answer.text
        ((place,),) = await tg.until("SELECT conversation FROM ticket WHERE conversation LIKE ?", f"%{GROUP}%")
        assert "-77" not in place.replace(str(GROUP), "")
