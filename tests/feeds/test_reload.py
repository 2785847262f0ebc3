"""A reload brings, changes and takes away ticket stores beside a gateway that works, and nothing is lost or doubled."""

from __future__ import annotations

import json
import shutil
import urllib.error
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from tests.feeds.desk import AGENT, QUICKLY, Desk, feed_of
from tests.feeds.shelf import Shelf, shelf
from tests.feeds.shelf_feed import registered
from tests.mailboxes.desk import ROOT, running

QUICK = (*QUICKLY, f"agents={AGENT}")


class Reloading(Desk):
    """A desk whose stores stand in a file."""

    config: Path

    async def stores(self, **feeds: Any) -> None:
        """These from now on."""
        write(self.config, feeds)
        await self.api("POST", "/reload", {})
        await self.listened(feeds)


def write(config: Path, feeds: dict[str, Any]) -> None:
    """The file with these stores."""
    path = config / "gateway.yaml"
    shutil.copyfile(ROOT / "config" / "gateway.yaml", path)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\nfeeds: {json.dumps(feeds)}\n")


@asynccontextmanager
async def desk(folder: Path, **feeds: Any) -> AsyncIterator[Reloading]:
    config = folder / "config"
    shutil.copytree(ROOT / "config", config)
    write(config, feeds)
    with registered():
        async with running(folder / "var", QUICK, config=config) as gateway:
            it = Reloading(var=folder / "var", store=cast("Any", None), running=gateway)
            it.config = config
            yield it


async def both(stack: AsyncExitStack, folder: Path) -> tuple[Shelf, Shelf]:
    """Two stores."""
    made = []
    for name in ("one", "two"):
        (folder / name).mkdir()
        made.append(await stack.enter_async_context(shelf(folder / name)))
    return made[0], made[1]


@pytest.mark.timeout(600)
async def test_a_store_comes_changes_and_goes_beside_a_working_gateway(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        one, two = await both(stack, tmp_path)
        it = await stack.enter_async_context(desk(tmp_path))
        await it.mail("Before there was a store")
        await it.until(it.letters, "the acknowledgement")

        await it.stores(store=feed_of(one))
        await it.mail("First", subject="First", sender="boris@client.example")
        await it.until(lambda: len(one.tickets()) == 1, "it is written")
        one.reply(1, "Is it plugged in?")
        await it.until(lambda: "plugged" in "".join(it.said_to("boris@client.example")), "the reply is heard")

        # The desk moves to another server, which has another name here: what is new goes there.
        await it.stores(other=feed_of(two))
        await it.mail("Second", subject="Second", sender="chloe@client.example")
        await it.until(lambda: len(two.tickets()) == 1, "it is written there")
        two.reply(1, "Is it switched on?")
        await it.until(lambda: "switched on" in "".join(it.said_to("chloe@client.example")), "that reply is heard")
        assert len(one.tickets()) == 1
        asked = one.seen.count("changes")

        # Gone: rows stay, nothing is written, and nobody waits for a number.
        await it.stores()
        await it.mail("Third", subject="Third", sender="dmytro@client.example")
        await it.until(lambda: it.letters("dmytro@client.example"), "the acknowledgement without a store")
        assert len(two.tickets()) == 1 and one.seen.count("changes") == asked
        assert it.rows("SELECT count(*) FROM feed_link WHERE state = 'linked'") == [(2,)]

        # And back: it goes on where it was.
        two.reply(1, "And the lamp?")
        await it.stores(other=feed_of(two))
        await it.until(lambda: "And the lamp?" in "".join(it.said_to("chloe@client.example")), "what came meanwhile")
        told = [text for text in it.said_to("chloe@client.example") if "switched on" in text]
        assert len(told) == 1, "nothing is heard twice"


@pytest.mark.timeout(600)
async def test_a_push_under_way_is_finished_by_the_feed_that_began_it(tmp_path: Path) -> None:
    async with shelf(tmp_path) as store, desk(tmp_path, store=feed_of(store, timeout="20m")) as it:
        store.mishaps = [("open", "slow")]
        first = await it.mail("First")
        await it.until(lambda: "open" in store.seen, "the push")
        await it.stores(store=feed_of(store, timeout="21m", poll="2s"))
        # What the old one is at is not begun again, and the new one writes beside it.
        await it.mail("Other", subject="Other", sender="boris@client.example")
        await it.until(lambda: len(store.tickets()) == 1, "the other ticket")
        await it.until(lambda: it.writes() == [("open", "sending"), ("open", "done")], "it is settled")
        store.late.set()
        await it.until(lambda: [state for _, state in it.writes()] == ["done", "done"], "both written")
        await it.mail("More", answers=first)
        await it.until(lambda: [state for _, state in it.writes()] == ["done"] * 3, "its next message")
        assert sorted(row["subject"] for row in store.tickets()) == ["Other", "Printer"]
        assert store.seen.count("open") == 2 and store.seen.count("find") == 0


@pytest.mark.timeout(600)
async def test_a_store_that_is_taken_away_while_it_is_written_to_keeps_its_rows(tmp_path: Path) -> None:
    async with shelf(tmp_path) as store, desk(tmp_path, store=feed_of(store, timeout="20m")) as it:
        store.mishaps = [("open", "slow")]
        first = await it.mail("First")
        await it.until(lambda: "open" in store.seen, "the push")
        await it.mail("Second", answers=first)
        await it.until(lambda: len(it.writes()) == 2, "two writes")
        await it.stores()
        store.late.set()
        await it.until(lambda: it.writes() == [("open", "done"), ("say", "waiting")], "the first is settled")
        await it.stores(store=feed_of(store))
        await it.until(lambda: it.writes() == [("open", "done"), ("say", "done")], "both are there")
        assert store.seen.count("open") == 1
        assert store.texts(1) == ["First", "Second"]


@pytest.mark.timeout(240)
async def test_a_store_whose_secret_is_absent_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    rt = {"kind": "rt", "url": "http://127.0.0.1:1", "token": "env:NO_SUCH_TOKEN", "user": "gateway"}
    async with shelf(tmp_path) as store, desk(tmp_path, store=feed_of(store)) as it:
        with pytest.raises(urllib.error.HTTPError, match="422"):
            await it.stores(store=feed_of(store, poll="3s"), rt=rt)
        await it.mail("First")
        await it.opened()
        assert len(store.tickets()) == 1
