"""A person and a bot over real JSON: commands, a code by mail, a mark, a comment, and reopening."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import aiohttp
import aiosmtplib
import pytest

from gateway.demo.bot_api import RECEIVING, SENDING, BotApi
from gateway.demo.bot_api.sending import Chats, Sent
from tests.mailboxes.desk import Running, running
from tests.telegram.standin import TOKEN, said, standin

ANNA, BORYS = 5_000_000_001, 5_000_000_002
ADDRESS = "anna@client.example"


@dataclass
class Story:
    """What people do with the bot, and what they see."""

    api: BotApi
    gateway: Running
    var: Path
    seen: dict[int, int] = field(default_factory=dict)
    number: int = 0

    @property
    def chats(self) -> Chats:
        return self.api.bot().part(Chats)

    def says(self, text: str, who: int = ANNA, **more: Any) -> None:
        """Somebody writes now."""
        self.number += 1
        update = said(text, user=who, message_id=self.number, **more)
        update["message"]["date"] = int(time.time())
        self.api.bot().push(update)

    def presses(self, sent: Sent, label: str, who: int = ANNA) -> str:
        """Somebody presses a button; the id of the press."""
        self.number += 1
        data = next(button["callback_data"] for row in sent.keyboard for button in row if button["text"] == label)
        chat = {"id": sent.chat, "type": "private" if sent.chat > 0 else "supergroup"}
        message = {"message_id": sent.id, "chat": chat, "date": int(time.time()), "text": sent.text}
        press = f"press-{self.number}"
        self.chats.presses.add(press)
        person = {"id": who, "is_bot": False, "first_name": "Анна", "language_code": "ru"}
        self.api.bot().push(
            {"callback_query": {"id": press, "from": person, "message": message, "chat_instance": "1", "data": data}}
        )
        return press

    async def hears(self, part: str, chat: int = ANNA) -> Sent:
        """Wait for the next new message of the chat with these words."""

        def look() -> Sent | None:
            new = self.chats.to(chat)[self.seen.get(chat, 0) :]
            return next((item for item in new if part in item.text), None)

        found: Sent | None = await self.gateway.until(look, f"{part!r} in the chat")
        assert found is not None
        self.seen[chat] = self.chats.to(chat).index(found) + 1
        return found

    async def changed(self, sent: Sent, part: str) -> Sent:
        """Wait until one of our messages says this instead."""
        await self.gateway.until(lambda: part in sent.text, f"{part!r} instead of {sent.text!r}")
        return sent

    async def toast(self, press: str) -> str:
        """Wait for the answer to a press; its words."""
        await self.gateway.until(lambda: press in self.chats.pressed, f"an answer to {press}")
        return self.chats.pressed[press]

    async def resolve(self, number: str) -> None:
        """Staff resolve a ticket."""
        token = (self.var / "token").read_text().strip()
        url = f"http://{self.gateway.listening['http']}/api/v1/tickets/{number}/resolve"
        headers = {"Authorization": f"Bearer {token}"}
        done = {"result": "Заменили кабель."}
        async with aiohttp.ClientSession(headers=headers) as http, http.post(url, json=done) as answer:
            assert answer.status == 200, await answer.text()

    def status(self, number: str) -> str:
        return str(self.gateway.store.one(f"SELECT status FROM ticket WHERE number = '{number}'"))

    def votes(self) -> list[tuple[int, str]]:
        return list(self.gateway.store.rows("SELECT score, comment FROM rating WHERE current"))


@asynccontextmanager
async def story(var: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Story]:
    monkeypatch.setenv("BOT_TOKEN", TOKEN)
    async with standin({**RECEIVING, **SENDING}) as api:
        account = {"token": "env:BOT_TOKEN", "api_url": api.api_url, "poll": "5s", "language": "ru"}
        settings = (
            "smtp.port=0", "http.port=0", f"channels.telegram.main={json.dumps(account)}",
            "outbox.chat_acknowledgement_delay=0s", "outbox.debounce=0s", "outbox.backoff=1s",
            "outbox.backoff_limit=1s",
        )  # fmt: skip
        async with running(var, settings) as gateway:
            yield Story(api, gateway, var)


def number_in(text: str) -> str:
    found = re.search(r"[0-9]{7,}", text)
    assert found is not None, text
    return found[0]


async def test_from_start_to_a_comment_and_back_to_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with story(tmp_path / "var", monkeypatch) as she:
        she.says("/start")
        hello = await she.hears("Здравствуйте")
        press = she.presses(hello, "Українська")
        await she.changed(hello, "українською")
        assert await she.toast(press)
        she.says("Принтер на другому поверсі не друкує з самого ранку")
        number = number_in((await she.hears("аявк")).text)
        she.says("/status")
        assert number in (await she.hears("Ваші заявки")).text
        await she.resolve(number)
        question = await she.hears("виконано")
        foreign = she.presses(question, "5 — відмінно", BORYS)
        assert await she.toast(foreign)
        assert she.votes() == []
        press = she.presses(question, "2 — погано")
        await she.changed(question, "Що було не так?")
        assert await she.toast(press)
        she.says("Ніхто не передзвонив, і він досі не працює")
        thanks = await she.hears("Дякуємо")
        assert she.votes() == [(2, "Ніхто не передзвонив, і він досі не працює")]
        assert she.status(number) == "resolved"
        she.presses(thanks, "Проблема залишилася")
        await she.hears("знову")
        assert she.status(number) == "open"
        assert she.gateway.store.tickets() == 1


async def test_a_code_by_mail_shows_what_was_asked_by_mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    var = tmp_path / "var"
    async with story(var, monkeypatch) as she:
        await she.gateway.until(lambda: she.gateway.listening.get("smtp"), "the mail port")
        await mailed(she.gateway.listening["smtp"])
        await she.gateway.tickets(1)
        number = str(she.gateway.store.one("SELECT number FROM ticket"))
        she.says("/status")
        await she.hears("Открытых заявок")
        she.says(f"/link {ADDRESS}")
        await she.hears("ушёл код")
        code = await she.gateway.until(lambda: mailed_code(var), "the mail with the code")
        she.says(code)
        await she.hears(ADDRESS)
        she.says("/status")
        await she.hears(number)
        assert she.gateway.store.tickets() == 1


async def mailed(port: str) -> None:
    """Anna writes a mail."""
    host, _, where = port.rpartition(":")
    content = (
        f"From: Anna <{ADDRESS}>\r\nTo: support@desk.example\r\nSubject: VPN\r\n"
        "Message-ID: <vpn@client.example>\r\n\r\nThe VPN does not connect since this morning.\r\n"
    )
    await aiosmtplib.send(
        content.encode(), sender=ADDRESS, recipients=["support@desk.example"], hostname=host, port=int(where),
        start_tls=False,
    )  # fmt: skip


def mailed_code(var: Path) -> str:
    """The code, once a mail with one has gone out."""
    for path in (var / "outgoing").glob("*.eml"):
        subject = str(message_from_bytes(path.read_bytes(), policy=policy.default)["Subject"])
        if (found := re.search(r"\b[0-9]{6}\b", subject)) is not None:
            return found[0]
    return ""
