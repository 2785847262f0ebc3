"""The Bot API server of the tests: `gateway.demo.bot_api`, running, and strict about what clients may say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from gateway.demo.bot_api import RECEIVING, BotApi, Method

TOKEN = "100200300:standin-token-of-no-worth"
SECRET = "a-secret_of-the-webhook"
PATIENCE = 60.0
"""Seconds for what comes soon unless the machine stands still."""
DATE = 1_777_885_200
"""2026-05-04 09:00:00 UTC."""


@asynccontextmanager
async def standin(methods: Mapping[str, Method] = RECEIVING, **timing: float) -> AsyncIterator[BotApi]:
    """A running server. At the end it fails when a call had a method or parameter that is not documented."""
    api = BotApi(methods, **timing)
    api.bot(TOKEN)
    async with api.running():
        yield api
    assert api.complaints == []


def said(
    text: str, *, message_id: int = 1, user: int = 5_000_000_001, chat: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A text message as an update without its id; in private unless `chat` says where."""
    person = {"id": user, "is_bot": False, "first_name": "Анна", "language_code": "ru"}
    where = chat or {"id": user, "type": "private", "first_name": "Анна"}
    return {"message": {"message_id": message_id, "from": person, "chat": where, "date": DATE, "text": text, **more}}
