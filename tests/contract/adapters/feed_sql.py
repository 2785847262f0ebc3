"""Tables in SQLite, PostgreSQL and MariaDB under the contract suite."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest

from gateway.feeds.contract import Changes, Feed, Ref
from tests.contract.feed_adapter import FeedAdapter, Shown, built
from tests.feeds.cutting import Cutter, cutter
from tests.feeds.sql_desk import settings
from tests.feeds.test_sql_composite import MAPPING as PG_MAPPING
from tests.feeds.test_sql_composite import Pg
from tests.feeds.test_sql_osticket import MAPPING as MARIA_MAPPING
from tests.feeds.test_sql_osticket import Maria
from tests.services.ports import free_port

LITE_SCHEMA = """
CREATE TABLE job (
    id INTEGER PRIMARY KEY, title TEXT NOT NULL, state TEXT NOT NULL, squad TEXT, caller TEXT, born TEXT,
    foreign_key TEXT
);
CREATE TABLE remark (
    id INTEGER PRIMARY KEY, job INTEGER NOT NULL, body TEXT, who TEXT, shown INTEGER NOT NULL, born TEXT,
    foreign_key TEXT UNIQUE
);
CREATE TABLE paper (id INTEGER PRIMARY KEY, remark INTEGER NOT NULL, name TEXT, bytes BLOB);
INSERT INTO job (title, state) VALUES ('An old one', 'W');
"""
LITE_MAPPING = """
kind: sql
tickets:
  table: job
  id: id
  columns: {foreign_key: key, title: subject, state: status, squad: line, caller: requester, born: opened_at}
messages:
  table: remark
  id: id
  ticket: {job: id}
  columns: {foreign_key: key, body: text, who: author_name, shown: public, born: at}
attachments:
  table: paper
  message: {remark: id}
  columns: {name: filename, bytes: data}
map:
  status: {new: N, open: W, waiting: P, resolved: R, closed: C, held: H}
"""
SPEC: dict[str, dict[str, str]] = {
    "sqlite": {"N": "new", "W": "open", "P": "waiting", "R": "resolved", "C": "closed"},
    "postgresql": {"NEW": "new", "WORK": "open", "WAIT": "waiting", "DONE": "resolved", "SHUT": "closed"},
    "mariadb": {"Open": "new", "Waiting": "waiting", "Resolved": "resolved", "Closed": "closed"},
}


class TableStore:
    """What the three have in common; staff are statements."""

    name = ""
    mapping = ""

    def __init__(self, folder: Path, way: Cutter | None, url: str) -> None:
        self._folder, self._way, self._url = folder, way, url
        self._urls = 0

    def _hidden(self, url: str) -> str:
        self._urls += 1
        path = self._folder / f"url-{self._urls}"
        path.write_text(url)
        return f"file:{path}"

    def feed(self, **over: Any) -> AbstractAsyncContextManager[Feed]:
        return built("sql", settings(self.mapping, **{"url": self._hidden(self._url), **over}))

    def _at(self, port: int) -> AbstractAsyncContextManager[Feed]:
        return self.feed(timeout="1s", url=self._hidden(f"{self._url.partition(':')[0]}://gw:x@127.0.0.1:{port}/desk"))

    def away(self) -> AbstractAsyncContextManager[Feed]:
        return self._at(free_port())

    def odd(self, url: str) -> AbstractAsyncContextManager[Feed]:
        return self._at(urlsplit(url).port or 0)

    def stranger(self) -> tuple[AbstractAsyncContextManager[Feed], str]:
        wrong = self._url.replace("gw:gw-pass@", "gw:wrong-secret@")
        return self.feed(url=self._hidden(wrong)), "wrong-secret"

    def lose(self, what: Literal["open", "say"]) -> None:
        assert self._way is not None
        self._way.cut = "after"

    def hang(self, what: Literal["open", "say"]) -> None:
        raise NotImplementedError

    async def run(self, statement: str) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    async def changes(self, feed: Feed, cursor: str | None) -> Changes:
        return await feed.changes(cursor)


class Lite(TableStore):
    """SQLite: no network, so no answer is lost."""

    name, mapping = "sqlite", LITE_MAPPING

    def away(self) -> AbstractAsyncContextManager[Feed]:
        return self.feed(url=f"sqlite:///{self._folder}/none.db")

    def odd(self, url: str) -> AbstractAsyncContextManager[Feed]:
        path = self._folder / "odd.db"
        path.write_bytes(url.encode() * 500)
        return self.feed(url=f"sqlite:///{path}")

    async def run(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._folder / "desk.db", isolation_level=None, timeout=20)) as conn:
            return conn.execute(statement).fetchall()

    async def keys(self, key: str) -> int:
        return len(await self.run(f"SELECT id FROM job WHERE foreign_key = '{key}'"))

    async def shown(self, ref: Ref) -> Shown:
        [(state,)] = await self.run(f"SELECT state FROM job WHERE id = {ref.id}")
        said = await self.run(f"SELECT body, shown FROM remark WHERE job = {ref.id} ORDER BY id")
        names = await self.run(f"SELECT name FROM paper JOIN remark r ON remark = r.id WHERE job = {ref.id}")
        return Shown(SPEC["sqlite"][state], [(text, bool(shown)) for text, shown in said], [name for (name,) in names])

    async def write(self, ref: Ref, text: str, *, public: bool) -> None:
        row = f"{ref.id}, '{text}', 'Olha', {int(public)}, '{datetime.now(UTC):%Y-%m-%d %H:%M:%S}'"
        await self.run(f"INSERT INTO remark (job, body, who, shown, born) VALUES ({row})")

    async def resolve(self, ref: Ref) -> None:
        await self.run(f"UPDATE job SET state = 'R' WHERE id = {ref.id}")


class Postgres(TableStore):
    """Keys of several columns; `wrong-user` has no account."""

    name, mapping = "postgresql", PG_MAPPING

    def __init__(self, folder: Path, way: Cutter, url: str, there: Pg) -> None:
        super().__init__(folder, way, url)
        self._there = there

    def stranger(self) -> tuple[AbstractAsyncContextManager[Feed], str]:
        wrong = self._url.replace(f"{self._there.user}@", "wrong_user:wrong-secret@")
        return self.feed(url=self._hidden(wrong)), "wrong-secret"

    async def run(self, statement: str) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(self._there.run, statement)

    def _row(self, ref: Ref) -> str:
        branch, _, number = ref.number.partition("-")
        return f"branch = '{branch}' AND request_no = {number}"

    async def keys(self, key: str) -> int:
        return len(await self.run(f"SELECT 1 FROM sd.request WHERE gateway_key = '{key}'"))

    async def shown(self, ref: Ref) -> Shown:
        [(state,)] = await self.run(f"SELECT state::text FROM sd.request WHERE {self._row(ref)}")
        said = await self.run(f"SELECT body, visible FROM sd.request_line WHERE {self._row(ref)} ORDER BY line_no")
        return Shown(SPEC["postgresql"][state], [(text, shown) for text, shown in said])

    async def write(self, ref: Ref, text: str, *, public: bool) -> None:
        branch, _, number = ref.number.partition("-")
        last = f"(SELECT max(line_no) + 1 FROM sd.request_line WHERE {self._row(ref)})"
        row = f"'{branch}', {number}, {last}, '{text}', 'Olha', {public}, now()"
        await self.run(f"INSERT INTO sd.request_line VALUES ({row})")

    async def resolve(self, ref: Ref) -> None:
        await self.run(f"UPDATE sd.request SET state = 'DONE', changed = now() WHERE {self._row(ref)}")


class MariaDb(TableStore):
    """Tables shaped like osTicket's, with times of Kyiv."""

    name, mapping = "mariadb", MARIA_MAPPING

    def __init__(self, folder: Path, way: Cutter, url: str, there: Maria) -> None:
        super().__init__(folder, way, url)
        self._there = there

    async def run(self, statement: str) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(self._there.run, statement)

    async def keys(self, key: str) -> int:
        return len(await self.run(f"SELECT 1 FROM ost_ticket WHERE source_extra = '{key}'"))

    def _entries(self, ref: Ref) -> str:
        thread = f"SELECT id FROM ost_thread WHERE object_id = {ref.id} AND object_type = 'T'"
        return f"ost_thread_entry e WHERE thread_id = ({thread})"

    async def shown(self, ref: Ref) -> Shown:
        states = "SELECT s.name FROM ost_ticket t JOIN ost_ticket_status s ON s.id = status_id"
        [(state,)] = await self.run(f"{states} WHERE ticket_id = {ref.id}")
        said = await self.run(f"SELECT body, type FROM {self._entries(ref)} ORDER BY id")
        names = await self.run(f"SELECT name FROM ost_file WHERE entry_id IN (SELECT id FROM {self._entries(ref)})")
        return Shown(SPEC["mariadb"][state], [(text, kind != "N") for text, kind in said], [name for (name,) in names])

    @staticmethod
    def _now() -> str:
        return f"{datetime.now(ZoneInfo('Europe/Kyiv')):%Y-%m-%d %H:%M:%S}"

    async def write(self, ref: Ref, text: str, *, public: bool) -> None:
        columns = "INSERT INTO ost_thread_entry (thread_id, type, body, format, poster, created, updated)"
        row = f"id, '{'R' if public else 'N'}', '{text}', 'text', 'Olha', '{self._now()}', '{self._now()}'"
        await self.run(f"{columns} SELECT {row} FROM ost_thread WHERE object_id = {ref.id} AND object_type = 'T'")
        await self.run(f"UPDATE ost_ticket SET updated = '{self._now()}' WHERE ticket_id = {ref.id}")

    async def resolve(self, ref: Ref) -> None:
        done = f"status_id = 3, updated = '{self._now()}'"
        await self.run(f"UPDATE ost_ticket SET {done} WHERE ticket_id = {ref.id}")


@asynccontextmanager
async def lite(_request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Lite]:
    with closing(sqlite3.connect(folder / "desk.db")) as conn:
        conn.executescript(LITE_SCHEMA)
    yield Lite(folder, None, f"sqlite:///{folder}/desk.db")


@asynccontextmanager
async def postgres(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Postgres]:
    there: Pg = request.getfixturevalue("pg")
    async with cutter(there.settings().url.get_secret_value()) as (way, url):
        yield Postgres(folder, way, url, there)


@asynccontextmanager
async def maria(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[MariaDb]:
    there: Maria = request.getfixturevalue("maria")
    async with cutter(there.server.url(there.name, "gw", "gw-pass")) as (way, url):
        yield MariaDb(folder, way, url, there)


SQLITE = FeedAdapter(kind="sql", has=frozenset({"asks", "finds", "files", "check"}), store=lite)
POSTGRESQL = FeedAdapter(
    kind="sql", has=frozenset({"asks", "finds", "lost", "secret", "check", "wire"}), store=postgres,
    marks=[pytest.mark.postgresql],
)  # fmt: skip
MARIADB = FeedAdapter(
    kind="sql", has=frozenset({"asks", "finds", "lost", "secret", "files", "check", "wire"}), store=maria,
    marks=[pytest.mark.services("mariadbd"), pytest.mark.xdist_group("mariadb")],
)  # fmt: skip
