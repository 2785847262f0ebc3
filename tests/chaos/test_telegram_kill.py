"""SIGKILL while a bot is polled or called, at random moments and at named points: every update is kept, once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from gateway.demo.bot_api import RECEIVING, SENDING, Bot, BotApi, Fault
from gateway.demo.bot_api.bots import Hook
from gateway.demo.bot_api.sending import Chats
from gateway.demo.bot_api.webhooks import Deliveries, Delivery
from gateway.store.failpoints import NAMES
from tests.chaos.test_kill import ENOUGH, LONGEST, Server, query, settled
from tests.telegram.standin import SECRET, TOKEN, said, standin

PER_ROUND = 1.5
"""Seconds that a round lasts at most before the gateway is killed."""


async def write(bot: Bot, chance: random.Random, done: asyncio.Event, most: int) -> dict[str, int]:
    """People write until `done`, or so often. Returns SHA-256 of each update -> its number."""
    sent: dict[str, int] = {}
    for number in range(1, most + 1):
        if done.is_set() and number > ENOUGH + 1:
            break
        size = 300_000 if chance.random() < 0.01 else chance.randrange(20, 2000)
        text = f"{number} " + "Сервер не отвечает. " * (size // 20)
        # The server numbers what the bot says from 500 on; in a chat no number is used twice.
        message = said(text, message_id=1_000_000 + number, user=5_000_000_000 + chance.randrange(100))
        # An old message would get no answer.
        message["message"]["date"] = int(time.time())
        update = json.dumps({"update_id": 1000 + number, **message}, ensure_ascii=chance.random() < 0.5)
        sent[hashlib.sha256(update.encode()).hexdigest()] = 1000 + number
        if bot.hook is not None and chance.random() < 0.05:
            bot.part(Deliveries).plan.append(Fault(kind="lost"))
        bot.push_text(1000 + number, update)
        await asyncio.sleep(chance.uniform(0, 0.1))
    return sent


def environment(api: BotApi, mode: str) -> dict[str, str]:
    """An account that is polled, or called."""
    account = "GATEWAY__CHANNELS__TELEGRAM__MAIN__"
    told = {
        "TOKEN": "env:STANDIN_TOKEN", "SECRET": "env:STANDIN_SECRET", "MODE": mode,
        "API_URL": api.api_url, "POLL": "5s",
    }  # fmt: skip
    return {"STANDIN_TOKEN": TOKEN, "STANDIN_SECRET": SECRET} | {account + key: said for key, said in told.items()}


def point_at(bot: Bot, server: Server) -> None:
    """The webhook stays the same; what stands before the gateway finds it at its new port."""
    url = f"{server.site}/channels/telegram/main"
    if bot.hook is None:
        bot.hook = Hook(url, SECRET, 40)
    bot.hook.url = url
    bot.wake()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", ["polling", "webhook"])
async def test_no_update_is_lost_or_doubled_by_kills(mode: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    kills: int = request.config.getoption("--kills")
    chance, done = random.Random(20261122), asyncio.Event()
    points = list(NAMES)
    chance.shuffle(points)
    async with standin({**RECEIVING, **SENDING}) as api:
        server, bot = Server(tmp_path, environment(api, mode)), api.bot()
        if mode == "webhook":
            bot.hook = Hook("http://127.0.0.1:9", SECRET, 40)  # nobody listens there yet
        writing = asyncio.create_task(write(bot, chance, done, 20_000))
        try:
            for kill in range(kills):
                failpoint = (points[kill // 2 % len(points)], str(chance.randrange(1, 30))) if kill % 2 else ()
                await server.start(*failpoint)
                if mode == "webhook":
                    point_at(bot, server)
                assert server.process is not None
                try:
                    await asyncio.wait_for(server.process.wait(), chance.uniform(0.1, PER_ROUND))
                except TimeoutError:
                    await (server.stop() if kill % 4 == 2 else server.kill())
            await server.start()
            if mode == "webhook":
                point_at(bot, server)
            done.set()
            sent = await writing
            await api.until(lambda: not bot.waiting, within=LONGEST)
            await settled(tmp_path)
            await server.stop()
        finally:
            done.set()
            await asyncio.gather(writing, return_exceptions=True)
            if server.process is not None and server.process.returncode is None:
                await server.kill()
        again = sum(count - 1 for count in (bot.given or Counter(one.update for one in tries(bot))).values())
    verify(tmp_path, sent)
    if mode == "webhook":
        assert {one.status for one in tries(bot)} >= {200, None}, "nothing was delivered, or never while it was down"
    else:
        value = str(query(tmp_path, "SELECT value FROM cursor WHERE channel = 'telegram'")[0][0])
        assert json.loads(value)["offset"] == max(sent.values()) + 1
    said_twice = [
        key for key, count in Counter((one.chat, one.text) for one in bot.part(Chats).sent).items() if count > 1
    ]
    assert not said_twice, f"acknowledged twice: {said_twice}"
    print(
        f"\n{mode}, {kills} kills: {len(sent)} updates, {again} given out again, {len(bot.part(Chats).sent)} answers, "
        "0 lost, 0 doubled"
    )


def tries(bot: Bot) -> list[Delivery]:
    """Every delivery to the webhook that was tried."""
    return bot.part(Deliveries).tries


def verify(var: Path, sent: dict[str, int]) -> None:
    assert len(sent) > ENOUGH, "the test sent too little to mean anything"
    journal = Counter(str(row[0]) for row in query(var, "SELECT sha256 FROM entry WHERE channel = 'telegram'"))
    lost = [number for sha, number in sent.items() if sha not in journal]
    assert not lost, f"{len(lost)} of {len(sent)} are lost: {lost[:5]}"
    doubled = [sent.get(sha, sha) for sha, count in journal.items() if count > 1]
    assert not doubled, f"kept twice: {doubled[:5]}"
    assert set(journal) == set(sent)
    filed = Counter(row[0] for row in query(var, "SELECT sha256 FROM message WHERE direction = 'in' AND current"))
    wrong = [sent[sha] for sha in sent if filed[sha] != 1]
    assert not wrong, f"{len(wrong)} stand in no ticket, or twice: {wrong[:5]}"
