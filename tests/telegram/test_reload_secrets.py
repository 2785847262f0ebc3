"""A bot's token or webhook secret that changed in its file is taken by a reload, beside a gateway that works."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.bot_api import RECEIVING, SENDING
from gateway.demo.bot_api.bots import Hook
from tests.mailboxes.desk import Running, running, until
from tests.services.answers import status_of
from tests.telegram.standin import SECRET, TOKEN, said, standin

NEWER = "100200300:another-token-of-no-worth"
QUIET = ("smtp.port=0", "http.port=0", "workers.count=1", "outbox.debounce=0s")


async def post(desk: Running, path: str, body: Any, **headers: str) -> int:
    """The status of the answer."""
    url = f"http://{desk.listening['http']}{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), {**headers, "Content-Type": "application/json"})
    return await status_of(request)


async def reload(desk: Running, var: Path) -> None:
    token = (var / "token").read_text().strip()
    assert await post(desk, "/api/v1/reload", {}, Authorization=f"Bearer {token}") == 200


@pytest.mark.timeout(240)
async def test_a_secret_of_a_webhook(tmp_path: Path) -> None:
    token, secret, var = tmp_path / "token", tmp_path / "secret", tmp_path / "var"
    token.write_text(TOKEN)
    secret.write_text(SECRET)
    async with standin({**RECEIVING, **SENDING}) as api:
        account = {
            "token": f"file:{token}", "secret": f"file:{secret}", "mode": "webhook", "api_url": api.api_url,
            "outbound": "off",
        }  # fmt: skip
        api.bot().hook = Hook("https://help.desk.example/channels/telegram/main", "", 1)
        async with running(var, (*QUIET, f"channels.telegram.main={json.dumps(account)}")) as desk:

            async def update(number: int, shown: str) -> int:
                body = {"update_id": number, **said(f"{number}", message_id=number)}
                return await post(desk, "/channels/telegram/main", body, **{"X-Telegram-Bot-Api-Secret-Token": shown})

            def asked() -> int:
                return sum(call.method == "getMe" for call in api.calls)

            await until(lambda: asked() == 1, "the bot's name", 60)
            assert (await update(1, SECRET), await update(2, "another")) == (200, 403)
            secret.write_text("another")
            await reload(desk, var)
            assert (await update(3, SECRET), await update(4, "another")) == (403, 200)
            # Its name is asked for anew, or commands that name the bot would not be known for its own.
            await until(lambda: asked() > 1, "the name once more", 60)


@pytest.mark.timeout(240)
async def test_a_token_of_a_bot_that_is_polled(tmp_path: Path) -> None:
    token, var = tmp_path / "token", tmp_path / "var"
    token.write_text(TOKEN)
    async with standin({**RECEIVING, **SENDING}) as api:
        account = {"token": f"file:{token}", "api_url": api.api_url, "poll": "1s", "outbound": "off"}
        async with running(var, (*QUIET, f"channels.telegram.main={json.dumps(account)}")) as desk:
            entries = "SELECT external_id FROM entry WHERE channel = 'telegram'"
            api.bot().push_text(1000, json.dumps({"update_id": 1000, **said("First")}))
            await until(lambda: len(desk.store.rows(entries)) == 1, "the first update", 60)
            token.write_text(NEWER)
            api.bot(NEWER).push_text(2000, json.dumps({"update_id": 2000, **said("Second", message_id=2)}))
            await reload(desk, var)
            await until(lambda: len(desk.store.rows(entries)) == 2, "an update by the new token", 60)
