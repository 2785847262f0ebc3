"""A reload takes a secret that changed in its file, and leaves a feed that somebody asks to those who ask it."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from channels.credentials import fingerprint
from gateway.feeds.contract import Existing, FeedError, Page, Person, Ref
from gateway.feeds.kind import Kind
from gateway.feeds.registry import FEEDS
from gateway.feeds.settings import FeedSettings
from gateway.feeds.signing import key_of, signed
from gateway.feeds.webhook import WebhookFeed
from tests.feeds.receiver import BACK, OUT, receiver
from tests.feeds.shelf import Shelf, shelf
from tests.feeds.shelf_feed import ShelfFeed, ShelfSettings
from tests.feeds.test_reload import Reloading, desk
from tests.services.answers import status_of

NEWER = "whsec_" + "bmV3" * 8
NEWS = {"changes": [{"id": "1", "ref": "id-1", "actor": "olga", "set": {"status": "resolved"}}]}


async def heard(it: Reloading, key: str) -> int:
    """The store tells us something, signed with this: the status of our answer."""
    body = json.dumps(NEWS).encode()
    headers = signed(key_of(key), name="msg_1", at=datetime.now(UTC), body=body)
    url = f"http://{it.running.listening['http']}/feeds/store"
    request = urllib.request.Request(url, body, {**headers, "Content-Type": "application/json"})
    return await status_of(request)


@pytest.mark.timeout(240)
async def test_a_secret_that_changed_in_its_file_is_taken_by_a_reload(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, back = tmp_path / "out", tmp_path / "back"
    out.write_text(f"{OUT}\n")
    back.write_text(f"{BACK}\n")
    async with receiver(None) as hook:
        store = {
            "kind": "webhook", "url": hook.url, "secret": f"file:{out}", "answer_secrets": [f"file:{back}"],
        }  # fmt: skip
        async with desk(tmp_path, store=store) as it:
            await it.mail("First")
            await it.opened()
            hook.key = NEWER
            out.write_text(f"{NEWER}\n")
            back.write_text(f"{NEWER}\n")
            assert await heard(it, NEWER) == 403, "nobody has told us yet"
            await it.api("POST", "/reload", {})
            await it.mail("Second", subject="Second", sender="boris@client.example")
            await it.opened(2)
            assert (await heard(it, BACK), await heard(it, NEWER)) == (403, 200)
            await it.until(lambda: it.rows("SELECT status FROM ticket WHERE id = 1") == [("resolved",)], "the news")
            # And the way back: what was there at the start is another one now.
            out.write_text(f"{OUT}\n")
            back.write_text(f"{BACK}\n")
            await it.api("POST", "/reload", {})
            assert (await heard(it, NEWER), await heard(it, BACK)) == (403, 200)
    said = capsys.readouterr()
    assert NEWER not in said.out + said.err


def test_a_fingerprint_is_of_what_the_files_hold_and_holds_none_of_it(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text(OUT)
    two.write_text(BACK)

    def of(*answers: Path) -> str:
        return fingerprint(
            WebhookFeed.model_validate(
                {"kind": "webhook", "url": "http://127.0.0.1:9/", "secret": f"file:{one}",
                 "answer_secrets": [f"file:{path}" for path in answers]}
            )
        )  # fmt: skip

    before = of(two)
    assert before == of(two) and OUT not in before and before not in (of(), of(one), of(two, two))
    two.write_text(NEWER)
    assert of(two) != before
    two.unlink()
    with pytest.raises(FileNotFoundError):
        of(two)


class Listing(ShelfFeed):
    """A shelf that tells its open tickets, in its own time."""

    asked: asyncio.Event
    goes_on: asyncio.Event
    closed = False

    async def close(self) -> None:
        self.closed = True
        await super().close()

    async def existing(self, cursor: str | None) -> Page:
        self.asked.set()
        await self.goes_on.wait()
        if self.closed:
            raise FeedError("the connection was closed")
        number = (await self._wire.ask("GET", "/last")).json()
        one = Existing(
            ref=Ref(id="old-1", number="7"), subject=f"Before, at change {number}",
            requester=Person(address="chloe@client.example"), opened_at=datetime(2026, 11, 20, tzinfo=UTC),
        )  # fmt: skip
        return Page(tickets=[one], cursor=None)


@contextmanager
def listing() -> Iterator[list[Listing]]:
    """Its kind is known; those that were made."""
    made: list[Listing] = []

    def build(_name: str, settings: FeedSettings, _wiring: object) -> Listing:
        made.append(Listing(cast("ShelfSettings", settings)))
        return made[-1]

    kinds = cast("dict[str, Kind]", FEEDS)
    kinds["listing"] = Kind(settings=ShelfSettings, build=build)
    Listing.asked, Listing.goes_on = asyncio.Event(), asyncio.Event()
    try:
        yield made
    finally:
        Listing.goes_on.set()
        del kinds["listing"]


def told(store: Shelf, **over: Any) -> dict[str, Any]:
    """A feed of this store. A machine that stands still ends no import."""
    return {"kind": "listing", "url": store.url, "poll": "1s", "timeout": "10m", **over}


async def imported(it: Reloading) -> Any:
    """What comes of the first page, whenever the store tells it."""
    url = f"http://{it.running.listening['http']}/api/v1/feeds/store/import"
    token = (it.var / "token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask() -> Any:
        with urllib.request.urlopen(urllib.request.Request(url, b"{}", headers), timeout=200) as answer:
            return json.loads(answer.read())

    return await asyncio.to_thread(ask)


def subjects(it: Reloading) -> Sequence[Any]:
    return it.rows("SELECT subject FROM ticket")


@pytest.mark.timeout(240)
async def test_an_import_goes_on_through_a_reload(tmp_path: Path) -> None:
    async with shelf(tmp_path) as store:
        with listing() as made:
            async with desk(tmp_path, store=told(store)) as it:
                page = asyncio.create_task(imported(it))
                try:
                    await asyncio.wait_for(Listing.asked.wait(), 60)
                    await it.stores(store=told(store, poll="2s"))
                    # The new one reads: the old one has been let go of by the loops.
                    before = store.seen.count("changes")
                    await it.until(lambda: store.seen.count("changes") > before, "the new one reads")
                finally:
                    Listing.goes_on.set()
                    done = await page
                assert (done["taken"], done["passed"]) == (1, [])
                assert subjects(it) == [("Before, at change 0",)]
                await it.until(lambda: [one.closed for one in made] == [True, False], "the old one is closed then")
