"""Request Tracker and Redmine under the contract suite, behind a network that can be broken."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from gateway.feeds.contract import Changes, Feed, Ref
from tests.contract.feed_adapter import FeedAdapter, Shown, built
from tests.feeds import redmine_desk, rt_desk
from tests.feeds.faulty import Fault, Faulty, Way, faulty
from tests.feeds.servers_redmine import Redmine
from tests.feeds.servers_rt import Rt
from tests.feeds.writes import said
from tests.services.ports import free_port

FIRST = said().text


class RtStore:
    """A running Request Tracker; `olena` works there."""

    STATES = {"new": "new", "open": "open", "stalled": "waiting", "resolved": "resolved"}  # noqa: RUF012  read alone
    CALLS = {"open": ("POST", r"/ticket$"), "say": ("POST", r"/correspond$")}  # noqa: RUF012  read alone

    def __init__(self, there: Rt, proxy: Faulty, folder: Path) -> None:
        self._there, self._proxy, self._folder = there, proxy, folder

    def feed(self, **over: Any) -> AbstractAsyncContextManager[Feed]:
        return built("rt", rt_desk.settings(self._there, **{"url": self._proxy.url, **over}))

    def away(self) -> AbstractAsyncContextManager[Feed]:
        return self.feed(url=f"http://127.0.0.1:{free_port()}")

    def odd(self, url: str) -> AbstractAsyncContextManager[Feed]:
        return self.feed(url=url)

    def stranger(self) -> tuple[AbstractAsyncContextManager[Feed], str]:
        token = self._folder / "token"
        token.write_text("1-14-0123456789abcdef0123456789abcdef")
        return self.feed(token=f"file:{token}"), token.read_text()

    def lose(self, what: Literal["open", "say"]) -> None:
        self._proxy.faults.append(Fault(Way.CUT_AFTER, *self.CALLS[what]))

    def hang(self, what: Literal["open", "say"]) -> None:
        self._proxy.faults.append(Fault(Way.HANG, *self.CALLS[what]))

    async def _ask(self, *said: Any) -> Any:
        return await asyncio.to_thread(self._there.ask, *said)

    async def keys(self, key: str) -> int:
        found = await self._ask("GET", f"/tickets?query=CF.{{GatewayKey}}='{key}'")
        return int(found["count"])

    async def shown(self, ref: Ref) -> Shown:
        status = (await self._ask("GET", f"/ticket/{ref.id}"))["Status"]
        fields = "/history?fields=Type&per_page=100"
        done = (await self._ask("GET", f"/ticket/{ref.id}{fields}"))["items"]
        wanted = [(one["id"], one["Type"]) for one in done if one["Type"] in ("Create", "Correspond", "Comment")]
        said, names = list[tuple[str, bool]](), list[str]()
        for number, kind in wanted:
            listed = await self._ask(
                "GET", f"/transaction/{number}/attachments?fields=Filename,ContentType&per_page=50"
            )
            for part in listed["items"]:
                if part["Filename"]:
                    names.append(part["Filename"])
                elif part["ContentType"] == "text/plain":
                    content = (await self._ask("GET", f"/attachment/{part['id']}")).get("Content", "")
                    said.append((base64.b64decode(content).decode(), kind != "Comment"))
        return Shown(self.STATES[status], said, names)

    async def write(self, ref: Ref, text: str, *, public: bool) -> None:
        said = {"Content": text, "ContentType": "text/plain"}
        await self._ask("POST", f"/ticket/{ref.id}/{'correspond' if public else 'comment'}", said, "olena")

    async def resolve(self, ref: Ref) -> None:
        await self._ask("PUT", f"/ticket/{ref.id}", {"Status": "resolved"}, "olena")

    async def changes(self, feed: Feed, cursor: str | None) -> Changes:
        return await feed.changes(cursor)


class RedmineStore:
    """A running Redmine; `olena` works there."""

    STATES = {  # noqa: RUF012  read alone
        "New": "new", "In Progress": "open", "Feedback": "waiting", "Resolved": "resolved", "Closed": "closed",
    }  # fmt: skip
    CALLS = {"open": ("POST", r"/issues\.json$"), "say": ("PUT", r"/issues/\d+\.json$")}  # noqa: RUF012  read alone

    def __init__(self, there: Redmine, proxy: Faulty) -> None:
        self._there, self._proxy = there, proxy

    def feed(self, **over: Any) -> AbstractAsyncContextManager[Feed]:
        return built("redmine", redmine_desk.settings(self._there, **{"url": self._proxy.url, **over}))

    def away(self) -> AbstractAsyncContextManager[Feed]:
        return self.feed(url=f"http://127.0.0.1:{free_port()}")

    def odd(self, url: str) -> AbstractAsyncContextManager[Feed]:
        return self.feed(url=url)

    def stranger(self) -> tuple[AbstractAsyncContextManager[Feed], str]:
        return self.feed(api_key="0123456789abcdef0123"), "0123456789abcdef0123"

    def lose(self, what: Literal["open", "say"]) -> None:
        self._proxy.faults.append(Fault(Way.CUT_AFTER, *self.CALLS[what]))

    def hang(self, what: Literal["open", "say"]) -> None:
        self._proxy.faults.append(Fault(Way.HANG, *self.CALLS[what]))

    async def _issue(self, ref: Ref) -> Any:
        path = f"/issues/{ref.id}.json?include=journals,attachments"
        return (await asyncio.to_thread(self._there.ask, "GET", path, None, "admin"))["issue"]

    async def keys(self, key: str) -> int:
        path = f"/issues.json?status_id=*&cf_{self._there.field('GatewayKey')}={key}"
        found = await asyncio.to_thread(self._there.ask, "GET", path, None, "admin")
        return int(found["total_count"])

    async def shown(self, ref: Ref) -> Shown:
        issue = await self._issue(ref)
        notes = [(each["notes"], not each["private_notes"]) for each in issue["journals"] if each["notes"]]
        names = [each["filename"] for each in issue["attachments"]]
        return Shown(self.STATES[issue["status"]["name"]], [(issue["description"], True), *notes], names)

    async def _change(self, ref: Ref, **issue: Any) -> None:
        await asyncio.to_thread(self._there.ask, "PUT", f"/issues/{ref.id}.json", {"issue": issue})

    async def write(self, ref: Ref, text: str, *, public: bool) -> None:
        await self._change(ref, notes=text, private_notes=not public)

    async def resolve(self, ref: Ref) -> None:
        await self._change(ref, status_id=3)

    async def changes(self, feed: Feed, cursor: str | None) -> Changes:
        return await feed.changes(cursor)


@asynccontextmanager
async def rt_store(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[RtStore]:
    there: Rt = request.getfixturevalue("rt")
    async with faulty(there.url) as proxy:
        yield RtStore(there, proxy, folder)


@asynccontextmanager
async def redmine_store(request: pytest.FixtureRequest, _folder: Path) -> AsyncIterator[RedmineStore]:
    there: Redmine = request.getfixturevalue("redmine")
    async with faulty(there.url) as proxy:
        yield RedmineStore(there, proxy)


ALL = frozenset({"asks", "finds", "lost", "late", "secret", "files", "check", "wire"})
RT = FeedAdapter(
    kind="rt", has=frozenset(ALL), store=rt_store,
    marks=[pytest.mark.services("rt-setup-database-5"), pytest.mark.xdist_group("rt")],
)  # fmt: skip
REDMINE = FeedAdapter(
    kind="redmine", has=frozenset(ALL), store=redmine_store,
    marks=[pytest.mark.services("puma", "bundle"), pytest.mark.xdist_group("redmine")],
)  # fmt: skip
