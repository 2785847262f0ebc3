"""A store with an HTTP service as 1C:Enterprise publishes them: names in Russian, a BOM before the JSON, refusals that
come with 200, times without a zone. It keeps everything in SQLite, and can be told to fail."""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from aiohttp import web

USER, PASSWORD = "Шлюз", "пароль-1"
Fault: TypeAlias = Literal["500", "429", "html", "refuse", "done and cut", "cut", "half", "hang"]
SCHEMA = """
CREATE TABLE request (id TEXT PRIMARY KEY, number TEXT, key TEXT, data TEXT, state TEXT);
CREATE TABLE said (request TEXT, key TEXT, data TEXT);
CREATE TABLE change (id INTEGER PRIMARY KEY AUTOINCREMENT, request TEXT, data TEXT);
"""


@dataclass(slots=True)
class Store:
    """One information base."""

    url: str = ""
    base: sqlite3.Connection = field(default_factory=lambda: sqlite3.connect(":memory:"))
    faults: list[Fault] = field(default_factory=list)
    """Used up one by one, by calls that write."""

    def requests(self) -> list[tuple[str, str, Mapping[str, Any], str]]:
        """(key, number, what was sent, state)."""
        rows = self.base.execute("SELECT key, number, data, state FROM request ORDER BY rowid")
        return [(key, number, json.loads(data), state) for key, number, data, state in rows]

    def said(self) -> list[tuple[str, Mapping[str, Any]]]:
        """(key, what was sent)."""
        rows = self.base.execute("SELECT key, data FROM said ORDER BY rowid")
        return [(key, json.loads(data)) for key, data in rows]

    def change(self, request: str, **data: Any) -> None:
        """Staff do something."""
        if "Состояние" in data:
            self.base.execute("UPDATE request SET state = ? WHERE id = ?", (data["Состояние"], request))
        self._changed(request, {"Автор": "Иванова", **data})

    def _changed(self, request: str, data: Mapping[str, Any]) -> None:
        text = json.dumps({"Момент": "2026-11-20T12:00:00", **data}, ensure_ascii=False)
        self.base.execute("INSERT INTO change (request, data) VALUES (?, ?)", (request, text))

    # -- the service ------------------------------------------------------------------------

    async def make(self, request: web.Request) -> web.StreamResponse:
        """POST /requests."""
        body = json.loads(await request.read())
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None and fault not in ("done and cut", "half"):
            return await _failing(request, fault)
        if not body.get("Тема"):
            return _answer({"Ошибка": "Не заполнена тема"})
        count = self.base.execute("SELECT coalesce(max(rowid), 0) FROM request").fetchone()[0] + 1
        name, number = f"c0ffee00-0000-4000-8000-{count:012d}", f"{count:09d}"
        row = (name, number, body["Ключ"], json.dumps(body, ensure_ascii=False), "Новая")
        self.base.execute("INSERT INTO request VALUES (?, ?, ?, ?, ?)", row)
        self._changed(name, {"Автор": USER, "Состояние": "Новая"})
        return await _failing(request, fault) if fault else _answer({"Ссылка": name, "Номер": number})

    async def append(self, request: web.Request) -> web.StreamResponse:
        """POST /requests/{id}/messages."""
        name, body = request.match_info["id"], json.loads(await request.read())
        if not self.base.execute("SELECT 1 FROM request WHERE id = ?", (name,)).fetchone():
            return web.Response(status=404)
        self.base.execute("INSERT INTO said VALUES (?, ?, ?)", (name, body["Ключ"], json.dumps(body)))
        if self.faults:
            return await _failing(request, self.faults.pop(0))
        return web.Response(status=204)

    async def alter(self, request: web.Request) -> web.StreamResponse:
        """PATCH /requests/{id}."""
        body, name = json.loads(await request.read()), request.match_info["id"]
        self.base.execute("UPDATE request SET state = ? WHERE id = ?", (body["Состояние"], name))
        self._changed(name, {"Автор": USER, "Состояние": body["Состояние"]})
        return web.Response(status=204)

    async def find(self, request: web.Request) -> web.StreamResponse:
        """GET /requests?key=."""
        key = request.query["key"]
        row = self.base.execute("SELECT id, number FROM request WHERE key = ?", (key,)).fetchone()
        return _answer({"Ссылка": row[0], "Номер": row[1]} if row else {})

    async def find_message(self, request: web.Request) -> web.StreamResponse:
        """GET /requests/{id}/messages?key=."""
        found = self.base.execute(
            "SELECT 1 FROM said WHERE request = ? AND key = ?", (request.match_info["id"], request.query["key"])
        ).fetchone()
        return _answer({"Есть": True} if found else {})

    async def changes(self, request: web.Request) -> web.StreamResponse:
        """GET /changes?after=: at most two at a time."""
        rows = self.base.execute(
            "SELECT id, request, data FROM change WHERE id > ? ORDER BY id LIMIT 2", (int(request.query["after"]),)
        ).fetchall()
        last = self.base.execute("SELECT coalesce(max(id), 0) FROM change").fetchone()[0]
        listed = [{"Номер": n, "Ссылка": name, **json.loads(data)} for n, name, data in rows]
        return _answer({"Изменения": listed, "Ещё": bool(rows) and rows[-1][0] < last})


@asynccontextmanager
async def onec() -> AsyncIterator[Store]:
    """A running one."""
    store = Store()
    store.base.executescript(SCHEMA)
    site = web.Application(middlewares=[_login])
    site.add_routes([
        web.post("/hs/desk/requests", store.make), web.get("/hs/desk/requests", store.find),
        web.patch("/hs/desk/requests/{id}", store.alter),
        web.post("/hs/desk/requests/{id}/messages", store.append),
        web.get("/hs/desk/requests/{id}/messages", store.find_message),
        web.get("/hs/desk/changes", store.changes),
    ])  # fmt: skip
    runner = web.AppRunner(site, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        one = web.TCPSite(runner, "127.0.0.1", 0)
        await one.start()
        store.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hs/desk"
        yield store
    finally:
        await runner.cleanup()
        store.base.close()


@web.middleware
async def _login(request: web.Request, handler: Any) -> web.StreamResponse:
    wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    if request.headers.get("Authorization") != wanted:
        return web.Response(status=401, text="<html>Идентификация пользователя не выполнена</html>")
    answer: web.StreamResponse = await handler(request)
    return answer


def _answer(data: Any) -> web.Response:
    # 1C writes JSON with a BOM unless its code says otherwise.
    return web.Response(
        body=b"\xef\xbb\xbf" + json.dumps(data, ensure_ascii=False).encode(), content_type="application/json"
    )


async def _failing(request: web.Request, fault: Fault) -> web.StreamResponse:
    match fault:
        case "500":
            return web.Response(status=500, text="Ошибка времени исполнения")
        case "429":
            return web.Response(status=429, headers={"Retry-After": "7"})
        case "html":
            return web.Response(text="<html>it works</html>", content_type="text/html")
        case "refuse":
            return _answer({"Ошибка": "Период закрыт"})
        case "hang":
            await asyncio.sleep(3600)
            return web.Response()
        case "half":
            answer = web.StreamResponse(headers={"Content-Length": "100"})
            await answer.prepare(request)
            await answer.write(b'{"')
            _cut(request)
            return answer
        case "cut" | "done and cut":
            _cut(request)
            return web.Response()


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
