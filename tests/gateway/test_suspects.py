"""Requests that a webhook does not believe: kept, counted, told of, and looked at again after a fix."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import select

from channels.contract import Accepted, Cursor, Intake, Suspects, Unverified
from gateway import cli, suspects
from gateway.alerts import Alerts
from gateway.metrics import Metrics
from gateway.store import journal, outbox, retention, schema
from gateway.store import suspects as store
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from normalizer.message import InlineBody, RawMessage
from tests.gateway.conftest import FrozenClock
from tests.gateway.outgoing import context
from tests.gateway.staffed import Site, served

MINUTE = timedelta(minutes=1)


@dataclass
class Door:
    """A small channel whose only secret is a header; `secret` is its configuration."""

    clock: FrozenClock
    suspects: Suspects
    secret: str = "right"
    seen: list[str] = field(default_factory=list)

    def routes(self, intake: Intake) -> Sequence[web.RouteDef]:
        async def post(request: web.Request) -> web.Response:
            asked = Unverified(
                method=request.method, path=request.raw_path, headers={"x-secret": request.headers.get("X-Secret", "")},
                body=await request.read(), reason="wrong secret",
            )  # fmt: skip
            try:
                raws = self.recheck(asked)
            except PermissionError:
                await self.suspects("door", "front", asked)
                return web.Response(status=403)
            await intake(raws)
            return web.Response()

        return [web.post("", post)]

    def recheck(self, request: Unverified) -> Sequence[RawMessage]:
        if request.headers["x-secret"] != self.secret:
            raise PermissionError("wrong secret")
        if request.body == b"poison":
            raise ValueError("nobody can read this")
        digest = hashlib.sha256(request.body).hexdigest()
        return [
            RawMessage(
                channel="door",
                account="front",
                format="door/1",
                external_id=digest,
                fingerprint=digest,
                peer="ann",
                received_at=self.clock(),
                body=InlineBody(content=request.body),
            )
        ]


class House:
    """A site with the door, and a journal behind it."""

    def __init__(self, site: Site, door: Door, clock: FrozenClock) -> None:
        self.site, self.door, self.clock = site, door, clock
        ctx = context(operators=["op@desk.example"])
        self.alerts = Alerts(site.db, ctx, clock, checks=(), metrics=Metrics(), after=lambda: None)

    async def knock(self, body: bytes, secret: str) -> int:
        """Send a request; its status."""
        url = f"{self.site.url}/channels/door/front"
        async with self.site.session.post(url, data=body, headers={"X-Secret": secret}) as response:
            return response.status

    async def bodies(self) -> list[bytes]:
        """What is in the journal."""
        return list(await self.site.db.read(lambda conn: conn.scalars(select(schema.raw.c.content)).all()))

    async def told(self) -> list[tuple[str, str]]:
        """(alert, state) that operators were told."""
        await self.alerts.look()
        found = await self.site.db.read(lambda conn: outbox.listing(conn))
        return [(row.variables["alert"], row.variables["state"]) for row in found if row.kind == "alert"]


@pytest.fixture
async def house(db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path) -> AsyncIterator[House]:
    door = Door(clock, suspects.StoreSuspects(db, clock, Metrics()))

    async def intake(raws: Sequence[RawMessage], cursor: Cursor | None = None, /) -> Sequence[Accepted]:
        return await db.write(lambda conn: journal.record(conn, raws, cursor, now=clock(), blobs=blobs))

    async with served(db, blobs, clock, tmp_path, intake=intake, webhooks={("door", "front"): door}) as site:
        yield House(site, door, clock)


async def test_what_is_not_believed_is_refused_and_kept_and_nothing_is_done(house: House) -> None:
    assert await house.knock(b"hello", "wrong") == 403
    assert await house.bodies() == []
    token = await house.site.token()
    status, page = await house.site.get("/unverified", token)
    assert status == 200
    [item] = page["items"]
    assert (item["channel"], item["account"], item["size"], item["reason"]) == ("door", "front", 5, "wrong secret")
    assert "body" not in item and "headers" not in item and "path" not in item
    assert (await house.site.get("/unverified", await house.site.token(["read"])))[0] == 403


async def test_after_the_fix_it_comes_in_once_and_the_others_stay(house: House) -> None:
    for body, secret in ((b"one", "new"), (b"two", "wrong"), (b"three", "new"), (b"one", "new"), (b"poison", "new")):
        assert await house.knock(body, secret) == 403
    token = await house.site.token()
    status, before = await house.site.post("/unverified/replay", token)
    assert (status, before["believed"], len(before["still"])) == (200, 0, 5)
    house.door.secret = "new"
    _, other = await house.site.post("/unverified/replay", token, {"account": "back"})
    assert (other["believed"], other["still"]) == (0, [])
    _, done = await house.site.post("/unverified/replay", token, {"account": "front"})
    assert (done["believed"], done["messages"]) == (3, 2)
    assert [one["why"] for one in done["still"]] == ["wrong secret", "could not be looked at: ValueError"]
    assert await house.bodies() == [b"one", b"three"]
    _, page = await house.site.get("/unverified", token)
    assert [item["id"] for item in reversed(page["items"])] == [one["id"] for one in done["still"]]
    assert "journal" in house.site.woken, "what came in is filed at once"


async def test_operators_use_a_command(house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for body in (b"one", b"two"):
        await house.knock(body, "new" if body == b"one" else "wrong")
    house.door.secret = "new"
    (tmp_path / "listening.json").write_text(json.dumps({"http": house.site.url.removeprefix("http://")}))
    (tmp_path / "token").write_text(await house.site.token() + "\n")

    def run(*words: str) -> int:
        with pytest.raises(SystemExit) as ended:
            cli.main(["replay", *words, "--var", str(tmp_path)])
        return int(ended.value.code or 0)

    assert await asyncio.to_thread(run, "--unverified", "--account", "front") == 0
    said = capsys.readouterr().out
    assert "door/front: wrong secret" in said and "1 believed, with 1 new messages; 1 still not." in said
    assert await house.bodies() == [b"one"]
    assert await asyncio.to_thread(run, "--unverified", "--reroute") == 2
    assert await asyncio.to_thread(run, "--quarantined", "--account", "front") == 2


async def test_the_list_is_bounded_for_each_account(db: Database, clock: FrozenClock) -> None:
    def request(number: int, body: bytes = b"x") -> Unverified:
        return Unverified(method="POST", path=f"/{number}", headers={}, body=body, reason="wrong secret")

    def fill(conn: Any) -> None:
        store.keep(conn, "door", "back", request(0), clock())
        for number in range(store.MOST + 5):
            store.keep(conn, "door", "front", request(number), clock())

    await db.write(fill)
    front = await db.read(lambda conn: store.listing(conn, account="front", limit=5000))
    assert len(front) == store.MOST
    assert {row.path for row in front} == {f"/{number}" for number in range(5, store.MOST + 5)}
    assert len(await db.read(lambda conn: store.listing(conn, account="back"))) == 1


async def test_a_flood_is_counted_and_not_written_down(db: Database, clock: FrozenClock) -> None:
    metrics = Metrics()
    brake = suspects.StoreSuspects(db, clock, metrics, per_minute=2)
    asked = Unverified(method="POST", path="/", headers={}, body=b"x", reason="wrong secret")
    for _ in range(5):
        await brake("door", "front", asked)
    await brake("door", "back", asked)
    assert [row.account for row in await db.read(store.listing)] == ["back", "front", "front"]
    assert b'gateway_unverified_total{account="front",channel="door"} 5.0' in metrics.show({})
    clock.forward(MINUTE)
    await brake("door", "front", asked)
    assert len(await db.read(store.listing)) == 4


async def test_they_are_forgotten_with_time(db: Database, clock: FrozenClock) -> None:
    asked = Unverified(method="POST", path="/", headers={}, body=b"x", reason="wrong secret")
    await db.write(lambda conn: store.keep(conn, "door", "front", asked, clock()))
    assert await db.write(lambda conn: retention.drop_records(conn, before=clock())) == 0
    assert await db.write(lambda conn: retention.drop_records(conn, before=clock() + MINUTE)) == 1
    assert await db.read(store.listing) == []


async def test_a_body_without_end_is_cut_and_named(house: House) -> None:
    assert await house.knock(b"x" * (store.LONGEST + 1), "new") == 403
    house.door.secret = "new"
    token = await house.site.token()
    _, done = await house.site.post("/unverified/replay", token)
    [still] = done["still"]
    assert still["why"].endswith(store.CUT) and await house.bodies() == []
    [item] = (await house.site.get("/unverified", token))[1]["items"]
    assert item["size"] == store.LONGEST


async def test_operators_hear_of_three_within_ten_minutes_and_when_it_is_over(house: House) -> None:
    for number in range(2):
        await house.knock(b"%d" % number, "wrong")
    assert await house.told() == []
    house.clock.forward(11 * MINUTE)
    for number in range(3):
        assert await house.told() == []
        await house.knock(b"%d" % number, "wrong")
    assert await house.told() == [("unverified door/front", "raised")]
    house.clock.forward(9 * MINUTE)
    assert len(await house.told()) == 1
    house.clock.forward(2 * MINUTE)
    assert await house.told() == [("unverified door/front", "raised"), ("unverified door/front", "cleared")]
