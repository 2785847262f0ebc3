"""A store that answers late, twice, half, never, or nonsense: one ticket, one message, and nobody else waits."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import urllib.error
import urllib.request
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from normalizer.message import INLINE_LIMIT
from tests.feeds import shelf_feed
from tests.feeds.desk import TALK, Ahead, Desk, desk
from tests.feeds.shelf import Mishap
from tests.feeds.shelf_feed import SECRET

pytestmark = pytest.mark.timeout(600)

QUICK = {"timeout": "1s", "doubt": "0s"}
"""Where a try has to run out of time; only there, as a pause of the machine has others run out of it, too."""


@pytest.mark.parametrize("mishap", ["down", "busy", "never", "done never", "half", "html", "secret"])
@pytest.mark.parametrize("write", ["open", "say"])
async def test_one_ticket_and_one_message_whatever_a_try_comes_to(write: str, mishap: Mishap, tmp_path: Path) -> None:
    async with desk(tmp_path, feed=QUICK) as it:
        it.store.mishaps = [(write, mishap)]
        first = await it.mail("First")
        await it.until(it.letters, "the acknowledgement")
        await it.mail("Second", answers=first)
        await it.until(lambda: it.writes() == [("open", "done"), ("say", "done")], "both written")
        assert it.store.mishaps == []
        assert [(row["subject"]) for row in it.store.tickets()] == ["Printer"]
        assert it.store.texts(1) == ["First", "Second"]


async def test_a_try_that_is_done_late_is_found_and_not_repeated(tmp_path: Path) -> None:
    clock = Ahead()
    async with desk(tmp_path, feed={"doubt": "10m"}, clock=clock) as it:
        it.store.mishaps = [("open", "late")]
        await it.mail()
        await it.until(lambda: it.rows("SELECT id FROM feed_write WHERE uncertain AND state = 'waiting'"), "doubt")
        assert "find" not in it.store.seen
        it.store.late.set()
        clock.passes(minutes=16)
        await it.mail(subject="Other", sender="boris@client.example")  # so that it is looked what is due
        await it.opened(2)
        assert sorted(row["subject"] for row in it.store.tickets()) == ["Other", "Printer"]
        assert it.store.seen.count("open") == 2
        assert "find" in it.store.seen


async def test_while_the_store_cannot_tell_nothing_is_repeated(tmp_path: Path) -> None:
    async with desk(tmp_path, feed=QUICK) as it:
        it.store.mishaps = [("open", "done never"), ("find", "busy"), ("find", "half")]
        await it.mail()
        await it.opened()
        assert it.store.mishaps == []
        assert it.store.seen.count("open") == 1
        assert it.store.seen.count("find") >= 3  # once more for each answer that was too slow


async def test_a_store_that_is_down_holds_up_no_acknowledgement_and_gets_everything_in_order_later(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path, feed={**QUICK, "wait": "1s"}) as it:
        it.store.down = True
        first = await it.mail("First")
        await it.until(it.letters, "the acknowledgement")
        assert f"[#{it.ticket()['number']}]" in str(it.letters()[0]["Subject"])
        await it.mail("Second", answers=first)
        await it.mail("Other", sender="boris@client.example", subject="Other")
        await it.until(lambda: len(it.writes()) == 3, "three writes")
        it.store.down = False
        await it.until(lambda: Counter(it.writes()) == {("open", "done"): 2, ("say", "done"): 1}, "all written")
        by_subject = {row["subject"]: row["id"] for row in it.store.tickets()}
        assert set(by_subject) == {"Printer", "Other"}
        assert it.store.texts(by_subject["Printer"]) == ["First", "Second"]


async def test_a_refused_ticket_blocks_nobody_else_and_is_run_again_by_hand(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        it.store.mishaps = [("open", "refuse")]
        first = await it.mail("First")
        await it.until(lambda: it.writes() == [("open", "refused")], "refused")
        await it.mail("More", answers=first)
        await it.until(lambda: len(it.writes()) == 2, "what waits behind it")
        await it.mail("Other", sender="boris@client.example", subject="Other")
        await it.until(lambda: ("open", "done") in it.writes(), "the other")
        assert [row["subject"] for row in it.store.tickets()] == ["Other"]
        shown = (await it.api("GET", "/feed-writes"))["items"]
        assert [(row["kind"], row["state"]) for row in shown] == [("say", "waiting"), ("open", "refused")]
        assert "no such queue" in shown[1]["detail"]
        assert it.events()[0]["what"] == "refused"
        await it.api("POST", f"/feed-writes/{shown[1]['id']}/retry", {})
        await it.until(lambda: it.writes().count(("say", "done")) == 1, "the rest")
        ticket = next(row["id"] for row in it.store.tickets() if row["subject"] == "Printer")
        assert it.store.texts(ticket) == ["First", "More"]


async def test_a_locked_ticket_holds_up_itself_alone(tmp_path: Path) -> None:
    async with desk(tmp_path, "outbox.backoff=3s") as it:
        first = await it.mail("First")
        await it.opened()
        it.store.mishaps = [("say", "locked")] * 2
        await it.mail("Second", answers=first)
        await it.until(lambda: not it.store.mishaps or len(it.store.mishaps) == 1, "the first try")
        await it.mail("Other", sender="boris@client.example", subject="Other")
        await it.opened(2)
        await it.until(it.is_quiet, "quiet")
        assert it.store.texts(1) == ["First", "Second"]


async def test_news_that_comes_twice_is_applied_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        await it.mail()
        await it.opened()
        it.store.repeat = True
        it.store.reply(1, "We are on it.")
        it.store.set(1, status="waiting")
        await it.heard(1, "status")
        it.store.reply(1, "Any news?")
        await it.until(lambda: len(it.rows("SELECT id FROM event WHERE kind = 'reply'")) == 2, "both replies")
        it.store.set(1, line="L3")
        await it.heard(1, "line")
        kinds = Counter(row[0] for row in it.rows("SELECT kind FROM event"))
        assert (kinds["reply"], kinds["status"], kinds["line"]) == (2, 1, 1)


def post(it: Desk, body: bytes, signature: str) -> int:
    """A call of the store's. Returns the status."""
    url = f"http://{it.running.listening['http']}/feeds/store"
    request = urllib.request.Request(url, body, {"X-Signature": signature}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=TALK) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


async def test_a_webhook_is_believed_by_its_signature_and_once(tmp_path: Path) -> None:
    async with desk(tmp_path, feed={"poll": "10m"}) as it:
        await it.mail()
        await it.opened()
        said = {"id": "w-1", "ticket": 1, "at": datetime.now(UTC).isoformat(), "actor": "olga", "kind": "reply",
                "data": {"text": "From the webhook", "public": True, "files": []}}  # fmt: skip
        body = json.dumps([said]).encode()
        signed = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        assert await asyncio.to_thread(post, it, body, "wrong") == 403
        assert await asyncio.to_thread(post, it, b"{}x", hmac.new(SECRET, b"{}x", hashlib.sha256).hexdigest()) == 422
        assert it.events("reply") == []
        assert await asyncio.to_thread(post, it, body, signed) == 200
        assert await asyncio.to_thread(post, it, body, signed) == 200
        assert len(it.events("reply")) == 1


async def test_news_that_was_not_believed_is_kept_and_looked_at_again(tmp_path: Path, monkeypatch: Any) -> None:
    async with desk(tmp_path, feed={"poll": "10m"}) as it:
        await it.mail()
        await it.opened()
        said = {"id": "w-1", "ticket": 1, "at": datetime.now(UTC).isoformat(), "actor": "olga", "kind": "reply",
                "data": {"text": "Signed by the new key", "public": True, "files": []}}  # fmt: skip
        body = json.dumps([said]).encode()
        signed = hmac.new(b"new", body, hashlib.sha256).hexdigest()
        for _ in range(3):
            assert await asyncio.to_thread(post, it, body, signed) == 403
        [kept, *_] = (await it.api("GET", "/unverified"))["items"]
        assert (kept["channel"], kept["account"]) == ("feed", "store")
        # Anybody may send what nobody believes: the disk must not fill with it.
        assert await asyncio.to_thread(post, it, b" " * (INLINE_LIMIT + 1), signed) == 403
        assert len((await it.api("GET", "/unverified"))["items"]) == 3
        assert (await it.api("POST", "/unverified/replay", {}))["believed"] == 0
        monkeypatch.setattr(shelf_feed, "SECRET", b"new")  # somebody mends the configuration
        found = await it.api("POST", "/unverified/replay", {})
        assert (found["believed"], found["still"]) == (3, [])
        assert len(it.events("reply")) == 1
        await it.until(lambda: any("Signed by the new key" in text for text in it.said_to()), "the reply")
