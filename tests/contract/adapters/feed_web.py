"""Signed webhooks, and a described HTTP interface, under the contract suite."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from gateway.feeds.contract import Changes, Feed, Hears, Ref
from gateway.feeds.signing import key_of, signed
from gateway.feeds.webhook import WebhookFeed
from tests.contract.feed_adapter import FeedAdapter, Shown, built
from tests.feeds.onec import Store, onec
from tests.feeds.receiver import BACK, OUT, Receiver, receiver
from tests.feeds.test_described_rest import described
from tests.services.ports import free_port

WRONG = "whsec_" + "d3Jv" * 8


class WebhookStore:
    """Who receives signed webhooks, and sends some back."""

    def __init__(self, there: Receiver) -> None:
        self._there = there
        self._news: list[dict[str, Any]] = []
        self._ids = count(1)

    def feed(self, **over: Any) -> AbstractAsyncContextManager[Feed]:
        said = {"kind": "webhook", "url": self._there.url, "secret": OUT, "answer_secrets": [BACK], **over}
        return built("webhook", WebhookFeed.model_validate(said))

    def away(self) -> AbstractAsyncContextManager[Feed]:
        return self.feed(url=f"http://127.0.0.1:{free_port()}/hook")

    def odd(self, url: str) -> AbstractAsyncContextManager[Feed]:
        return self.feed(url=f"{url}/hook")

    def stranger(self) -> tuple[AbstractAsyncContextManager[Feed], str]:
        return self.feed(secret=WRONG), WRONG

    def lose(self, what: Literal["open", "say"]) -> None:
        self._there.faults.append("done and cut")

    def hang(self, what: Literal["open", "say"]) -> None:
        self._there.faults.append("hang")

    def _events(self, kind: str) -> list[Mapping[str, Any]]:
        return [body["data"] for body in self._there.taken.values() if body["type"] == kind]

    async def keys(self, key: str) -> int:
        return sum(event["ticket"]["key"] == key for event in self._events("ticket.opened"))

    async def shown(self, ref: Ref) -> Shown:
        first = self._events("ticket.opened")[int(ref.id.removeprefix("id-")) - 1]
        events = [first, *(event for event in self._events("ticket.message") if event["ref"]["id"] == ref.id)]
        said = [(event["message"]["text"], event["message"]["public"]) for event in events]
        names = [each["filename"] for event in events for each in event["message"]["files"]]
        states = [event["ticket"]["status"] for event in self._events("ticket.changed")]
        over = any(event["ref"]["id"] == ref.id for event in self._events("ticket.test_over"))
        return Shown("closed" if over else [first["ticket"]["status"], *states][-1], said, names)

    async def write(self, ref: Ref, text: str, *, public: bool) -> None:
        self._news.append({"id": str(next(self._ids)), "ref": ref.id, "reply": {"text": text, "public": public}})

    async def resolve(self, ref: Ref) -> None:
        self._news.append({"id": str(next(self._ids)), "ref": ref.id, "set": {"status": "resolved"}})

    async def changes(self, feed: Feed, cursor: str | None) -> Changes:
        if cursor is None or not self._news:
            return await feed.changes(cursor)
        now, told, self._news = datetime.now(UTC), self._news, []
        body = json.dumps({"changes": told}).encode()
        headers = dict(signed(key_of(BACK), name=f"in-{told[0]['id']}", at=now, body=body))
        return await cast(Hears, feed).heard(headers, {}, body, now)


@asynccontextmanager
async def webhook_store(_request: pytest.FixtureRequest, _folder: Path) -> AsyncIterator[WebhookStore]:
    async with receiver(datetime.now(UTC)) as there:
        there.now = None  # by the wall clock
        yield WebhookStore(there)


STATES = {"Новая": "new", "В работе": "open", "Выполнена": "resolved", "Закрыта": "closed"}


class OnecStore:
    """An HTTP service as 1C:Enterprise publishes them."""

    def __init__(self, there: Store) -> None:
        self._there = there

    def feed(self, **over: Any) -> AbstractAsyncContextManager[Feed]:
        return built("rest", described(**{"url": self._there.url, **over}))

    def away(self) -> AbstractAsyncContextManager[Feed]:
        return self.feed(url=f"http://127.0.0.1:{free_port()}/hs/desk")

    def odd(self, url: str) -> AbstractAsyncContextManager[Feed]:
        return self.feed(url=url)

    def stranger(self) -> tuple[AbstractAsyncContextManager[Feed], str]:
        return self.feed(basic={"user": "Шлюз", "password": "не-то"}), "не-то"

    def lose(self, what: Literal["open", "say"]) -> None:
        self._there.faults.append("done and cut")

    def hang(self, what: Literal["open", "say"]) -> None:
        self._there.faults.append("hang")

    async def keys(self, key: str) -> int:
        return sum(one[0] == key for one in self._there.requests())

    async def shown(self, ref: Ref) -> Shown:
        [(_, _, first, state)] = [one for one in self._there.requests() if one[1] == ref.number]
        more = [body for _, body in self._there.said()]
        names = [each["filename"] for body in (first, *more) for each in body["Файлы"]]
        said = [(first["Описание"], True), *((body["Текст"], not body["Внутреннее"]) for body in more)]
        return Shown(STATES[state], said, names)

    async def write(self, ref: Ref, text: str, *, public: bool) -> None:
        self._there.change(ref.id, Ответ=text, Открыто=public)

    async def resolve(self, ref: Ref) -> None:
        self._there.change(ref.id, Состояние="Выполнена")

    async def changes(self, feed: Feed, cursor: str | None) -> Changes:
        return await feed.changes(cursor)


@asynccontextmanager
async def onec_store(_request: pytest.FixtureRequest, _folder: Path) -> AsyncIterator[OnecStore]:
    async with onec() as there:
        yield OnecStore(there)


WEBHOOK = FeedAdapter(
    kind="webhook", has=frozenset({"lost", "late", "secret", "files", "check", "wire"}), store=webhook_store
)
REST = FeedAdapter(
    kind="rest", has=frozenset({"asks", "finds", "lost", "late", "secret", "files", "check", "wire"}), store=onec_store
)
