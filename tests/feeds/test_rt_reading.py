"""What staff does in a real Request Tracker, as it comes to us."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from gateway.feeds.contract import FeedError, Merged, Outcome, Replied, Set, Vanished
from tests.feeds.opened import news
from tests.feeds.rt_desk import feed_of, fresh
from tests.feeds.servers_rt import Rt
from tests.feeds.writes import alter, opened, said, say

pytestmark = [pytest.mark.services("rt-setup-database-5"), pytest.mark.xdist_group("rt"), pytest.mark.timeout(600)]


async def test_what_staff_does_is_heard_once_and_in_order(rt: Rt) -> None:
    one = fresh()
    async with feed_of(rt) as feed:
        ref = (await feed.push(opened(one))).ref
        assert ref is not None
        cursor = (await feed.changes(None)).cursor
        file = {"FileName": "photo.bin", "FileType": "application/octet-stream"}
        file["FileContent"] = base64.b64encode(b"\x00\x01photo").decode()
        reply = {"Content": "<p>Вже <b>їдемо</b></p><p>Олена</p>", "ContentType": "text/html", "Attachments": [file]}
        rt.ask("POST", f"/ticket/{ref.id}/correspond", reply, "olena")
        note = {"Content": "клієнт скандальний", "ContentType": "text/plain"}
        rt.ask("POST", f"/ticket/{ref.id}/comment", note, "olena")
        rt.ask("PUT", f"/ticket/{ref.id}", {"Owner": "olena"}, "olena")
        rt.ask("PUT", f"/ticket/{ref.id}", {"Queue": "General"}, "olena")
        rt.ask("PUT", f"/ticket/{ref.id}", {"CustomFields": {"SupportClass": "question"}}, "olena")
        rt.ask("PUT", f"/ticket/{ref.id}", {"Status": "resolved"}, "olena")
        heard, after = await news(feed, cursor, ref)
        ours = [each for each in heard if each.actor == "olena"]
        assert [type(each.change) for each in ours] == [Replied, Replied, Set, Set, Set, Set]
        public, private = ours[0].change, ours[1].change
        assert isinstance(public, Replied) and isinstance(private, Replied)
        assert public.public and public.text == "Вже їдемо\n\nОлена"
        assert [(each.filename, each.read()) for each in public.files] == [("photo.bin", b"\x00\x01photo")]
        assert not private.public and private.text.strip() == "клієнт скандальний"
        said_ = [
            (each.change.field, each.change.value, each.change.raw) for each in ours if isinstance(each.change, Set)
        ]
        assert said_ == [
            ("assignee", "olena", "olena"), ("line", "L1", "General"), ("class", "6", "question"),
            ("status", "resolved", "resolved"),
        ]  # fmt: skip
        assert [int(each.id) for each in heard] == sorted(int(each.id) for each in heard)
        assert (await news(feed, after, ref))[0] == []


async def test_what_we_do_is_no_news(rt: Rt) -> None:
    one = fresh()
    async with feed_of(rt) as feed:
        ref = (await feed.push(opened(one))).ref
        assert ref is not None
        cursor = (await feed.changes(None)).cursor
        await feed.push(say(ref, said("m2", "ще"), one))
        await feed.push(say(ref, said("m3", "нотатка", public=False), one))
        await feed.push(alter(ref, ["status", "class"], replace(one, status="waiting", class_=6)))
        heard, _ = await news(feed, cursor, ref)
        assert heard and all(each.ours or each.actor == "RT_System" for each in heard)
        assert not any(isinstance(each.change, Replied) for each in heard)


async def test_merges_deletions_and_words_that_nobody_mapped(rt: Rt) -> None:
    async with feed_of(rt, map={"status": {"new": "new", "open": "open"}}) as feed:
        one, other, gone = [(await feed.push(opened(fresh()))).ref for _ in range(3)]
        assert one and other and gone
        cursor = (await feed.changes(None)).cursor
        rt.ask("PUT", f"/ticket/{one.id}", {"Status": "stalled"})
        rt.ask("PUT", f"/ticket/{one.id}", {"MergeInto": other.id})
        rt.ask("PUT", f"/ticket/{gone.id}", {"Status": "deleted"})
        heard, _ = await news(feed, cursor, one)
        assert heard[0].change == Set(field="status", value="", raw="stalled", known=False)
        assert [each.change for each in heard if isinstance(each.change, Merged)] == [Merged(into=other)]
        kept, _ = await news(feed, cursor, other)
        assert not any(isinstance(each.change, Merged) for each in kept)
        assert [each.change for each in (await news(feed, cursor, gone))[0]] == [Vanished()]


async def test_a_number_that_is_committed_late_is_heard(rt: Rt) -> None:
    """A transaction below the last one seen: as if it had been committed after it."""
    async with feed_of(rt) as feed:
        ref = (await feed.push(opened(fresh()))).ref
        assert ref is not None
        before = (await feed.changes(None)).cursor
        rt.ask("PUT", f"/ticket/{ref.id}", {"Subject": "пізно"}, "olena")
        heard, after = await news(feed, before, ref)
        [late] = heard
        now = json.loads(after)
        now["gaps"] = {**now["gaps"], late.id: int(late.at.timestamp())}
        again, cursor = await news(feed, json.dumps(now), ref)
        assert again == [late]
        assert (await news(feed, cursor, ref))[0] == []
        assert late.id not in json.loads(cursor)["gaps"]


async def test_numbers_that_never_come_are_given_up(rt: Rt) -> None:
    async with feed_of(rt) as feed:
        start = json.loads((await feed.changes(None)).cursor)
        cursor = json.dumps({"last": start["last"], "gaps": {str(start["last"] + 1000): 1000}})
        ref = (await feed.push(opened(fresh()))).ref
        assert ref is not None
        _heard, after = await news(feed, cursor, ref)
        assert str(start["last"] + 1000) not in json.loads(after)["gaps"]
        assert len(after) < 4000


async def test_many_messages_come_page_by_page(rt: Rt) -> None:
    async with feed_of(rt) as feed:
        ref = (await feed.push(opened(fresh()))).ref
        assert ref is not None
        cursor = (await feed.changes(None)).cursor
        for number in range(11):
            note = {"Content": f"№ {number}", "ContentType": "text/plain"}
            rt.ask("POST", f"/ticket/{ref.id}/comment", note, "olena")
        first = await feed.changes(cursor)
        assert first.more and len([each for each in first.heard if isinstance(each.change, Replied)]) == 8
        heard, _ = await news(feed, cursor, ref)
        texts = [each.change.text.strip() for each in heard if isinstance(each.change, Replied)]
        assert texts == [f"№ {number}" for number in range(11)]


async def test_a_file_over_the_limit_is_passed_and_named(rt: Rt) -> None:
    async with feed_of(rt, largest_file=1000) as feed:
        ref = (await feed.push(opened(fresh()))).ref
        assert ref is not None
        cursor = (await feed.changes(None)).cursor
        file = {"FileName": "great.bin", "FileType": "application/octet-stream"}
        file["FileContent"] = base64.b64encode(b"x" * 2000).decode()
        reply = {"Content": "дивіться", "ContentType": "text/plain", "Attachments": [file]}
        rt.ask("POST", f"/ticket/{ref.id}/correspond", reply, "olena")
        page = await feed.changes(cursor)
        [change] = [each.change for each in page.heard if isinstance(each.change, Replied)]
        assert change.text.strip() == "дивіться" and not change.files
        assert any("great.bin" in each for each in page.odd)


async def test_while_rt_is_down_writes_wait_and_go_on_after(rt: Rt) -> None:
    write = opened(fresh())
    async with feed_of(rt) as feed:
        cursor = (await feed.changes(None)).cursor
        rt.stop()
        try:
            down = await feed.push(write)
            assert down.outcome is Outcome.RETRY and not down.uncertain
            with pytest.raises(FeedError) as caught:
                await feed.changes(cursor)
            assert caught.value.again
            assert [each.good for each in await feed.check()] == [False]
        finally:
            rt.start()
        assert (await feed.push(write)).outcome is Outcome.DONE
        await feed.changes(cursor)
