"""The tests' own store under the contract suite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from gateway.feeds.contract import Changes, Feed, Ref
from tests.contract.feed_adapter import FeedAdapter, Shown, built
from tests.feeds.shelf import Shelf, shelf
from tests.feeds.shelf_feed import ShelfSettings, registered
from tests.services.ports import free_port


class ShelfStore:
    """It has no credentials, and staff in this process."""

    def __init__(self, there: Shelf) -> None:
        self._there = there

    def feed(self, **over: Any) -> AbstractAsyncContextManager[Feed]:
        return built("shelf", ShelfSettings.model_validate({"kind": "shelf", "url": self._there.url, **over}))

    def away(self) -> AbstractAsyncContextManager[Feed]:
        return self.feed(url=f"http://127.0.0.1:{free_port()}")

    def odd(self, url: str) -> AbstractAsyncContextManager[Feed]:
        return self.feed(url=url)

    def stranger(self) -> tuple[AbstractAsyncContextManager[Feed], str]:
        raise NotImplementedError

    def lose(self, what: Literal["open", "say"]) -> None:
        self._there.mishaps.append((what, "half"))

    def hang(self, what: Literal["open", "say"]) -> None:
        self._there.mishaps.append((what, "never"))

    async def keys(self, key: str) -> int:
        return sum(one["key"] == key for one in self._there.tickets())

    async def shown(self, ref: Ref) -> Shown:
        [one] = [one for one in self._there.tickets() if one["id"] == int(ref.id)]
        messages = self._there.messages(int(ref.id))
        names = [each["name"] for said in messages for each in said["files"]]
        return Shown(one["status"], [(said["text"], said["public"]) for said in messages], names)

    async def write(self, ref: Ref, text: str, *, public: bool) -> None:
        self._there.reply(int(ref.id), text, public=public)

    async def resolve(self, ref: Ref) -> None:
        self._there.set(int(ref.id), status="resolved")

    async def changes(self, feed: Feed, cursor: str | None) -> Changes:
        return await feed.changes(cursor)


@asynccontextmanager
async def store(_request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[ShelfStore]:
    with registered():
        async with shelf(folder / "shelf") as there:
            yield ShelfStore(there)


SHELF = FeedAdapter(
    kind="shelf", has=frozenset({"asks", "finds", "lost", "late", "files", "check", "wire"}), store=store
)
