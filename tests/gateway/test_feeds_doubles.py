"""Once a day each store is searched for tickets that bear one key of ours: operators hear of it, and nothing waits."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from gateway.feeds import troubles
from gateway.feeds.contract import FeedError, Ref
from gateway.feeds.reading import Reading
from gateway.metrics import Metrics
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from tests.contract.adapters.feed_sql import LITE_MAPPING, LITE_SCHEMA
from tests.feeds import sql_desk
from tests.feeds.desk import Desk, beside, settings
from tests.feeds.shelf import Shelf, shelf
from tests.feeds.shelf_feed import registered
from tests.gateway.conftest import FrozenClock
from tests.gateway.feeds_desk import MemoryFeed, MemoryStore, feeds_context
from tests.mailboxes.desk import Running, running

KEY = "0badcafe-1000005"


def reading(db: Database, feed: object, clock: FrozenClock, folder: Path, **said: str) -> tuple[Reading, Metrics]:
    metrics = Metrics()
    made = Reading(
        db, feeds_context(**said), feeds={"store": feed}, blobs=Blobs(folder), clock=clock, metrics=metrics,  # type: ignore[dict-item]
        after=lambda: None,
    )  # fmt: skip
    return made, metrics


async def test_doubles_in_a_table_are_told_until_they_are_gone(db: Database, tmp_path: Path) -> None:
    clock, path = FrozenClock(), tmp_path / "desk.db"

    def run(statement: str) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as conn:
            conn.executescript(statement)

    run(LITE_SCHEMA)
    for title, key in (("one", KEY), ("two", KEY), ("three", "0badcafe-1000013")):
        run(f"INSERT INTO job (title, state, foreign_key) VALUES ('{title}', 'N', '{key}')")
    async with sql_desk.desk(sql_desk.settings(LITE_MAPPING, url=f"sqlite:///{path}")) as there:
        made, metrics = reading(db, there.feed, clock, tmp_path / "blobs")

        async def told() -> str | None:
            return (await db.read(lambda conn: troubles.found(conn, made.ctx, clock()))).get("feed doubles store")

        await made.sweep("store")
        assert await told() == f"tickets of ours are in the store store more than once: {KEY} (#2, #3)"
        assert 'gateway_feed_doubles{feed="store"} 1.0' in metrics.show({}).decode()
        run("DELETE FROM job WHERE id = 3")
        await made.sweep("store")
        assert await told() is not None  # once a day is enough
        clock.forward(timedelta(days=1))
        await made.sweep("store")
        assert await told() is None
        assert 'gateway_feed_doubles{feed="store"} 0.0' in metrics.show({}).decode()


async def test_operators_get_a_letter_and_a_figure(tmp_path: Path) -> None:
    var = tmp_path / "var"
    async with shelf(tmp_path) as store, beside(store, var) as it:
        await it.mail()
        await it.opened()
    store = Shelf(tmp_path / "shelf.db")
    store.db.execute("INSERT INTO ticket (key, fields) SELECT key, fields FROM ticket")
    key = store.ticket()["key"]
    store.db.close()

    def tomorrow() -> datetime:
        return datetime.now(UTC) + timedelta(days=1, minutes=1)

    async with shelf(tmp_path) as again:
        more = ('operators=["op@desk.example"]', "alerts.interval=1s")
        with registered():
            async with running(var, settings(again, *more), clock=tomorrow) as gateway:
                it = Desk(var=var, store=again, running=gateway)
                words = f"more than once: {key} (#S0001, #S0002)"
                await it.until(
                    lambda: any(words in " ".join(text.split()) for text in it.said_to("op@desk.example")), "the letter"
                )
                assert 'gateway_feed_doubles{feed="store"} 1.0' in await metrics_of(var, gateway)
                assert again.seen.count("doubles") == 1


async def metrics_of(var: Path, gateway: Running) -> str:
    url = f"http://{gateway.listening['http']}/metrics"
    token = (var / "token").read_text().strip()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http, http.get(url) as answer:
        return await answer.text()


class SlowStore(MemoryFeed):
    """It takes as long over its doubles as it likes."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.asked, self.cancelled = asyncio.Event(), False

    async def doubles(self) -> Mapping[str, Sequence[Ref]]:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return {}


async def test_a_search_that_never_ends_holds_up_no_poll_and_has_a_limit(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed, stop = SlowStore(), asyncio.Event()
    made, _ = reading(db, feed, FrozenClock(), tmp_path, poll="1s")
    looks = 0
    changes = feed.changes

    async def counted(cursor: str | None) -> object:
        nonlocal looks
        looks += 1
        if looks >= 3:
            stop.set()
        return await changes(cursor)

    feed.changes = counted  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(made.run(stop))
    async with asyncio.timeout(90):
        await feed.asked.wait()
        await stop.wait()
    assert looks >= 3 and not feed.cancelled
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    monkeypatch.setattr("gateway.feeds.reading.SWEEP_CALLS", 1)
    short, _ = reading(db, feed, FrozenClock(), tmp_path, timeout="1s")
    with pytest.raises(FeedError, match="within the time limit"):
        await short.sweep("store")
