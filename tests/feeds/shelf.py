"""A small ticket store of the tests' own, over HTTP and with its own SQLite file: real, and as ill-behaved as told.

It keeps what it gets, calls nothing twice by itself, and makes a second ticket for a second POST: whoever repeats
without asking has a double. `mishaps` are taken one for each write that fits.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from aiohttp import web

Mishap: TypeAlias = Literal[
    "down",
    "busy",
    "never",
    "done never",
    "half",
    "html",
    "refuse",
    "locked",
    "gone",
    "secret",
    "late",
    "slow",
]
"""down: the connection is cut before anything; never, done never: no answer, without or with the thing done; half:
done, and half an answer; late: the connection is cut, and it is done when `late` is set; slow: done and answered when
`late` is set."""
ANSWERS = {
    "busy": (503, "busy"), "refuse": (422, "no such queue"), "secret": (401, "who are you"),
    "locked": (409, "locked by another"), "gone": (410, "deleted"),
}  # fmt: skip
SCHEMA = """
CREATE TABLE IF NOT EXISTS ticket (id INTEGER PRIMARY KEY, key TEXT, fields TEXT, merged INTEGER, gone INTEGER);
CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY, ticket INTEGER, key TEXT, said TEXT);
CREATE TABLE IF NOT EXISTS change (id INTEGER PRIMARY KEY, ticket INTEGER, at TEXT, actor TEXT, kind TEXT, data TEXT);
"""
GATEWAY = "gateway"


@dataclass
class Shelf:
    """The store: what staff do in it are its methods."""

    path: Path
    mishaps: list[tuple[str, Mishap]] = field(default_factory=list)
    """(which call: open, say, alter, find, changes, doubles; what befalls it)."""
    down: bool = False
    unreadable: bool = False
    """Whoever asks what happened there may not know."""
    url: str = ""
    port: int = 0
    seen: list[str] = field(default_factory=list)
    """Every call that came in: open, say, alter, find, changes."""
    repeat: bool = False
    """Tell every change twice, and those of the last page again."""
    late: asyncio.Event = field(default_factory=asyncio.Event)
    """When set, what is late is done."""

    def __post_init__(self) -> None:
        self._unheard: list[asyncio.Future[None]] = []
        self.db = sqlite3.connect(self.path, isolation_level=None)
        self.db.executescript(SCHEMA)

    # -- what staff and tests do -----------------------------------------------------------

    def tickets(self) -> list[dict[str, Any]]:
        rows = self.db.execute("SELECT id, key, fields FROM ticket WHERE gone IS NULL ORDER BY id")
        return [{"id": row[0], "key": row[1], **json.loads(row[2])} for row in rows]

    def ticket(self, number: int = 0) -> dict[str, Any]:
        return self.tickets()[number]

    def messages(self, ticket: int) -> list[dict[str, Any]]:
        rows = self.db.execute("SELECT key, said FROM message WHERE ticket = ? ORDER BY id", (ticket,))
        return [{"key": row[0], **json.loads(row[1])} for row in rows]

    def texts(self, ticket: int) -> list[str]:
        return [said["text"] for said in self.messages(ticket)]

    def set(self, ticket: int, actor: str = "olga", at: datetime | None = None, **fields: str) -> None:
        """Staff, or we, change fields."""
        row = self.db.execute("SELECT fields FROM ticket WHERE id = ?", (ticket,)).fetchone()
        present = json.loads(row[0])
        for name, value in fields.items():
            if present.get(name) != value:
                self._changed(ticket, actor, "set", {"field": name, "value": value}, at)
        self.db.execute("UPDATE ticket SET fields = ? WHERE id = ?", (json.dumps({**present, **fields}), ticket))

    def reply(
        self, ticket: int, text: str, *, actor: str = "olga", public: bool = True, files: dict[str, bytes] | None = None
    ) -> None:
        """Staff write."""
        sent = [{"name": name, "body": base64.b64encode(body).decode()} for name, body in (files or {}).items()]
        said = {"text": text, "public": public, "files": sent, "author": actor}
        self.db.execute("INSERT INTO message (ticket, key, said) VALUES (?, '', ?)", (ticket, json.dumps(said)))
        self._changed(ticket, actor, "reply", {"text": text, "public": public, "files": sent})

    def merge(self, ticket: int, into: int) -> None:
        self.db.execute("UPDATE ticket SET merged = ? WHERE id = ?", (into, ticket))
        self._changed(ticket, "olga", "merge", {"into": into})

    def delete(self, ticket: int, *, told: bool = True) -> None:
        self.db.execute("UPDATE ticket SET gone = 1 WHERE id = ?", (ticket,))
        if told:
            self._changed(ticket, "olga", "vanish", {})

    def existing(self, **fields: str) -> int:
        """A ticket that was there before us."""
        made = self.db.execute("INSERT INTO ticket (key, fields) VALUES ('', ?)", (json.dumps(fields),))
        return int(made.lastrowid or 0)

    def _changed(self, ticket: int, actor: str, kind: str, data: dict[str, Any], at: datetime | None = None) -> None:
        when = (at or datetime.now(UTC)).isoformat()
        self.db.execute(
            "INSERT INTO change (ticket, at, actor, kind, data) VALUES (?, ?, ?, ?, ?)",
            (ticket, when, actor, kind, json.dumps(data)),
        )

    # -- the wire --------------------------------------------------------------------------

    def _mishap(self, what: str) -> Mishap | None:
        found = next((one for one in self.mishaps if one[0] == what), None)
        if found is None:
            return None
        self.mishaps.remove(found)
        return found[1]

    async def _befallen(self, what: str, request: web.Request, do: Any) -> web.StreamResponse:
        self.seen.append(what)
        mishap = "down" if self.down else self._mishap(what)
        match mishap:
            case None:
                return web.json_response(do())
            case "down":
                _cut(request)
            case "busy" | "refuse" | "secret" | "locked" | "gone":
                status, text = ANSWERS[mishap]
                return web.Response(status=status, text=text)
            case "html":
                do()
                return web.Response(text="<html>proxy</html>", content_type="text/html")
            case "never":
                await asyncio.sleep(3600)
            case "done never":
                do()
                await asyncio.sleep(3600)
            case "late":
                self._unheard.append(asyncio.ensure_future(self._late(do)))
                _cut(request)
            case "slow":
                await self.late.wait()
                return web.json_response(do())
            case "half":
                return await _half(request, json.dumps(do()))
        return web.Response(status=500)

    async def _late(self, do: Any) -> None:
        await self.late.wait()
        do()

    async def open(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()

        def do() -> dict[str, Any]:
            made = self.db.execute(
                "INSERT INTO ticket (key, fields) VALUES (?, ?)", (asked["key"], json.dumps(asked["fields"]))
            )
            ticket = int(made.lastrowid or 0)
            self._changed(ticket, GATEWAY, "create", {})
            self._say(ticket, asked["first"])
            return {"id": ticket}

        return await self._befallen("open", request, do)

    def _say(self, ticket: int, said: dict[str, Any]) -> None:
        self.db.execute(
            "INSERT INTO message (ticket, key, said) VALUES (?, ?, ?)", (ticket, said["key"], json.dumps(said))
        )
        self._changed(ticket, GATEWAY, "reply", {"text": said["text"], "public": said["public"], "files": []})

    def _gone(self, request: web.Request) -> bool:
        ticket = int(request.match_info["ticket"])
        row = self.db.execute("SELECT gone FROM ticket WHERE id = ?", (ticket,)).fetchone()
        return row is None or bool(row[0])

    async def say(self, request: web.Request) -> web.StreamResponse:
        asked, ticket = await request.json(), int(request.match_info["ticket"])
        if self._gone(request):
            return web.Response(status=404, text="no such ticket")

        def do() -> dict[str, Any]:
            self._say(ticket, asked)
            return {}

        return await self._befallen("say", request, do)

    async def alter(self, request: web.Request) -> web.StreamResponse:
        asked, ticket = await request.json(), int(request.match_info["ticket"])
        if self._gone(request):
            return web.Response(status=404, text="no such ticket")

        def do() -> dict[str, Any]:
            self.set(ticket, GATEWAY, **asked)
            return {}

        return await self._befallen("alter", request, do)

    async def find(self, request: web.Request) -> web.StreamResponse:
        key, kind = request.query["key"], request.query["kind"]
        column = "id" if kind == "ticket" else "ticket"

        def do() -> list[int]:
            rows = self.db.execute(f"SELECT {column} FROM {kind} WHERE key = ? ORDER BY id", (key,))
            return [row[0] for row in rows]

        return await self._befallen("find", request, do)

    async def changes(self, request: web.Request) -> web.StreamResponse:
        after = int(request.query["after"])

        def do() -> list[dict[str, Any]]:
            names = ("id", "ticket", "at", "actor", "kind", "data")
            wanted = f"SELECT {', '.join(names)} FROM change WHERE id > ? ORDER BY id LIMIT 100"
            start = max(after - 20, 0) if self.repeat else after
            rows = [dict(zip(names, row, strict=True)) for row in self.db.execute(wanted, (start,))]
            return [row for row in rows for _ in range(2 if self.repeat else 1)]

        return await self._befallen("changes", request, do)

    async def last(self, _request: web.Request) -> web.StreamResponse:
        if self.unreadable:
            self.seen.append("last")
            return web.Response(status=403, text="you may not see what happened")
        return web.json_response(self.db.execute("SELECT coalesce(max(id), 0) FROM change").fetchone()[0])

    async def doubles(self, request: web.Request) -> web.StreamResponse:
        def do() -> dict[str, list[int]]:
            found: dict[str, list[int]] = {}
            for one in self.tickets():
                found.setdefault(one["key"], []).append(one["id"])
            return {key: ids for key, ids in found.items() if key and len(ids) > 1}

        return await self._befallen("doubles", request, do)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/tickets", self.open), web.post("/tickets/{ticket}/messages", self.say),
            web.patch("/tickets/{ticket}", self.alter), web.get("/find", self.find),
            web.get("/changes", self.changes), web.get("/last", self.last),
            web.get("/doubles", self.doubles),
        ]  # fmt: skip


def _cut(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()
    raise ConnectionResetError


async def _half(request: web.Request, text: str) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": str(len(text) + 10)})
    await answer.prepare(request)
    await answer.write(text.encode()[: len(text) // 2])
    _cut(request)
    return answer


@asynccontextmanager
async def shelf(folder: Path) -> AsyncIterator[Shelf]:
    """The store on a free port."""
    folder.mkdir(exist_ok=True)
    store = Shelf(folder / "shelf.db")
    app = web.Application(client_max_size=2**26)
    app.add_routes(store.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    store.port = runner.addresses[0][1]
    store.url = f"http://127.0.0.1:{store.port}"
    try:
        yield store
    finally:
        store.late.set()
        await runner.cleanup()
        store.db.close()
