"""Two real nodes and one bot: one polls at a time, and when it dies the other goes on."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest

from gateway.demo.bot_api import RECEIVING, SENDING, BotApi
from tests.nodes.nodes import Node, run_out
from tests.postgres import Server
from tests.telegram.standin import TOKEN, said, standin


def settings(api: BotApi) -> tuple[str, ...]:
    account = {"token": "env:BOT_TOKEN", "api_url": api.api_url, "poll": "1s", "outbound": "off"}
    return (f"channels.telegram.main={json.dumps(account)}",)


@pytest.mark.xdist_group("nodes")
async def test_one_node_polls_and_the_other_goes_on_when_it_dies(
    server: Server, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOT_TOKEN", TOKEN)
    sent: dict[str, int] = {}
    async with standin({**RECEIVING, **SENDING}) as api:
        bot = api.bot()

        async def write(first: int, count: int) -> None:
            for number in range(first, first + count):
                text = json.dumps({"update_id": number, **said(f"{number}", message_id=number)})
                sent[hashlib.sha256(text.encode()).hexdigest()] = number
                bot.push_text(number, text)
                await asyncio.sleep(0.01)
            await api.until(lambda: not bot.waiting, within=90)

        nodes = [Node(tmp_path / name, server.url(database), settings(api)) for name in ("a", "b")]
        try:
            # The first one that is up has the lease.
            await nodes[0].start()
            await write(1000, 50)
            await nodes[1].start()
            await write(1050, 50)
            assert not [call for call in api.calls if call.error == 409]
            await nodes[0].kill()
            run_out(server, database, nodes[0])
            await write(1100, 50)
            await nodes[1].stop()
        finally:
            for node in nodes:
                await node.kill()
    kept = server.run("SELECT sha256, count(*) FROM entry WHERE channel = 'telegram' GROUP BY sha256", database)
    assert dict(kept) == dict.fromkeys(sent, 1)
