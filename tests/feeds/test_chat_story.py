"""A request from a chat, a ticket in a store, and what staff do there back in the chat, buttons and all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.demo.bot_api import RECEIVING, SENDING
from tests.feeds.desk import Desk, settings
from tests.feeds.shelf import shelf
from tests.feeds.shelf_feed import registered
from tests.mailboxes.desk import running
from tests.telegram.standin import TOKEN, standin
from tests.telegram.test_bot_story import ANNA, Story

pytestmark = pytest.mark.timeout(600)


async def test_a_chat_and_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_TOKEN", TOKEN)
    var = tmp_path / "var"
    async with shelf(tmp_path) as store, standin({**RECEIVING, **SENDING}) as api:
        account = {"token": "env:BOT_TOKEN", "api_url": api.api_url, "poll": "5s", "language": "ru"}
        chat = (f"channels.telegram.main={json.dumps(account)}", "outbox.chat_acknowledgement_delay=0s")
        with registered():
            async with running(var, settings(store, *chat, feed={"wait": "1h"})) as gateway:
                it, she = Desk(var=var, store=store, running=gateway), Story(api, gateway, var)
                she.says("Принтер на втором этаже не печатает с самого утра")
                await it.opened()
                ticket = store.ticket()
                assert (ticket["requester"], ticket["status"]) == (str(ANNA), "new")
                assert store.texts(1) == ["Принтер на втором этаже не печатает с самого утра"]
                await she.hears("S0001")

                store.reply(1, "Этот клиент вечно путает кабели", public=False)
                store.reply(1, "Попробуйте другой кабель")
                await she.hears("Попробуйте другой кабель")
                she.says("Попробовала, теперь печатает, спасибо за помощь с кабелем")
                await it.until(lambda: len(store.texts(1)) == 4, "her answer in the store")
                assert store.texts(1)[-1].startswith("Попробовала")

                store.set(1, status="resolved")
                question = await she.hears("выполнен")
                press = she.presses(question, "2 — плохо")
                assert await she.toast(press)
                await it.until(she.votes, "her vote")
                assert [score for score, _ in she.votes()] == [2]
                await it.until(it.is_quiet, "quiet")
                assert it.ticket()["status"] == "resolved"
                assert not any("вечно путает" in sent.text for sent in she.chats.sent)
                assert it.rows("SELECT text FROM message WHERE direction = 'note'") == [
                    ("Этот клиент вечно путает кабели",)
                ]
                assert gateway.store.tickets() == 1 == len(store.tickets())
