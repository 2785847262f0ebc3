"""Writes to a real Redmine, and what staff does there."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.feeds.contract import CannotTell, FeedError, Outcome, Replied, Set
from tests.feeds.opened import news
from tests.feeds.redmine_desk import feed_of, fresh
from tests.feeds.servers_redmine import LACKING, Redmine
from tests.feeds.writes import alter, file, opened, said, say

pytestmark = [pytest.mark.services("puma", "bundle"), pytest.mark.xdist_group("redmine"), pytest.mark.timeout(600)]


def shown(redmine: Redmine, ref: str) -> Any:
    return redmine.ask("GET", f"/issues/{ref}.json?include=journals,attachments", user="admin")["issue"]


def value(issue: Any, number: int) -> Any:
    return next(each["value"] for each in issue["custom_fields"] if each["id"] == number)


async def test_an_issue_with_fields_and_files(redmine: Redmine) -> None:
    one = fresh(status="open", assignee="o.koval")
    first = said(files=[file("звіт за тиждень 📎.txt", b"\x00\xffbytes"), file("empty.txt", b"")])
    async with feed_of(redmine) as feed:
        pushed = await feed.push(opened(one, first))
        assert pushed.outcome is Outcome.DONE and pushed.ref is not None
        assert len(pushed.left_out) == 1 and "empty.txt" in pushed.left_out[0]
        issue = shown(redmine, pushed.ref.id)
        assert (issue["subject"], issue["tracker"]["name"], issue["project"]["name"]) == (
            one.subject,
            "Support",
            "Engineers",
        )
        assert (issue["status"]["name"], issue["assigned_to"]["name"]) == ("In Progress", "Olena Koval")
        assert value(issue, redmine.field("GatewayKey")) == one.key
        assert value(issue, redmine.field("Class")) == "server"
        assert value(issue, redmine.field("OnSite")) == "0"
        assert "Requester: Олена Коваль <olena@client.example>" in issue["description"]
        assert "Не відкривається з 9:00 📎" in issue["description"]
        [attached] = issue["attachments"]
        assert attached["filename"] == "звіт за тиждень 📎.txt"
        assert attached["filesize"] == 7
        assert pushed.ref.url.endswith(f"/issues/{pushed.ref.id}")


async def test_what_was_pushed_is_found_again_and_nothing_else(redmine: Redmine) -> None:
    opening = opened(fresh())
    async with feed_of(redmine) as feed:
        assert await feed.find(opening) is None
        ref = (await feed.push(opening)).ref
        assert ref is not None and await feed.find(opening) == ref
        assert await feed.find(opened(fresh())) is None
        for message in (said("m2", "ще раз"), said("m3", "нотатка", public=False)):
            write = say(ref, message, opening.ticket)
            assert await feed.find(write) is None
            assert (await feed.push(write)).outcome is Outcome.DONE
            assert await feed.find(write) == ref
        redmine.ask("PUT", f"/issues/{ref.id}.json", {"issue": {"project_id": "support"}})
        assert await feed.find(opening) == ref


async def test_a_field_that_cannot_be_searched_finds_nothing_else(redmine: Redmine) -> None:
    """Redmine passes over a filter that it does not know, and gives every issue."""
    fields = {"key": 99, "message": redmine.field("GatewayMessage")}
    async with feed_of(redmine) as good, feed_of(redmine, fields=fields) as feed:
        assert (await good.push(opened(fresh()))).outcome is Outcome.DONE
        assert await feed.find(opened(fresh())) is None
        assert any("can be searched for: no" in each.what for each in await feed.check() if not each.good)


async def test_a_private_note_is_private_with_its_files(redmine: Redmine) -> None:
    one = fresh(url="https://desk.example/console/1")
    async with feed_of(redmine) as feed:
        ref = (await feed.push(opened(one))).ref
        assert ref is not None
        done = await feed.push(say(ref, said("m2", "таємно", public=False, files=[file("secret.txt")]), one))
        assert done.outcome is Outcome.DONE and "secret.txt" in done.left_out[0]
        await feed.push(say(ref, said("m3", "відкрито", files=[file("open.txt")]), one))
        issue = shown(redmine, ref.id)
        notes = {each["private_notes"]: each["notes"] for each in issue["journals"] if each["notes"]}
        assert "таємно" in notes[True] and "https://desk.example/console/1" in notes[True]
        assert "відкрито" in notes[False] and "таємно" not in notes[False]
        assert [each["filename"] for each in issue["attachments"]] == ["open.txt"]


async def test_private_text_is_never_written_where_it_would_be_public(redmine: Redmine) -> None:
    one = fresh()
    async with feed_of(redmine) as good, feed_of(redmine, "no-private") as feed:
        ref = (await good.push(opened(one))).ref
        assert ref is not None
        refused = await feed.push(say(ref, said("m2", "таємно", public=False), one))
        assert refused.outcome is Outcome.RETRY and refused.of_ticket
        assert "set_notes_private" in refused.detail and "Engineers" in refused.detail
        assert not any(each["notes"] for each in shown(redmine, ref.id)["journals"])


@pytest.mark.parametrize("user", sorted(LACKING))
async def test_the_check_names_each_right(redmine: Redmine, user: str) -> None:
    async with feed_of(redmine) as good:
        await good.push(opened(fresh()))
        await good.push(opened(fresh(line="L1")))
        assert [each.what for each in await good.check() if not each.good] == []
    async with feed_of(redmine, user) as feed:
        bad = [each.what for each in await feed.check() if not each.good]
        assert f"project support: right {LACKING[user]} is missing" in bad
        if user == "no-add":
            refused = await feed.push(opened(fresh()))
            assert refused.outcome is not Outcome.DONE and not refused.uncertain


async def test_the_check_names_what_is_not_there(redmine: Redmine) -> None:
    over = {"line": {"L1": "support", "L2": "nowhere"}, "status": {"new": "Newest"}, "assignee": {"x": "Ghost"}}
    async with feed_of(redmine, map=over, tracker="Defect") as feed:
        bad = " ".join(each.what for each in await feed.check() if not each.good)
        for word in ("project nowhere", "status Newest", "member Ghost", "tracker Defect"):
            assert word in bad
    async with feed_of(redmine, api_key="0" * 40) as feed:
        [only] = await feed.check()
        assert not only.good and "credentials" in only.what
        assert (await feed.push(opened(fresh()))).outcome is Outcome.RETRY
        with pytest.raises(FeedError) as caught:
            await feed.changes(None)
        assert not caught.value.again


async def test_an_issue_that_has_no_key_stops_the_next(redmine: Redmine) -> None:
    """The project "bare" has none of the fields: Redmine takes the issue, and drops the key without a word."""
    async with feed_of(redmine, project="bare", map={}, fields={"key": 1, "message": 2}) as feed:
        first = await feed.push(opened(fresh()))
        assert first.outcome is Outcome.DONE and any("has no custom field 1" in each for each in first.left_out)
        second = await feed.push(opened(fresh()))
        assert second.outcome is Outcome.RETRY and "has no custom field 1" in second.detail


async def test_fields_are_brought_in_step_and_what_is_not_taken_is_named(redmine: Redmine) -> None:
    one = fresh()
    async with feed_of(redmine) as feed:
        ref = (await feed.push(opened(one))).ref
        assert ref is not None
        now = replace(one, status="waiting", line="L1", class_=6, assignee="o.koval", subject="Інше", onsite=True)
        write = alter(ref, ["status", "line", "class", "assignee", "subject", "onsite"], now)
        done = await feed.push(write)
        assert done.outcome is Outcome.DONE and not done.left_out
        issue = shown(redmine, ref.id)
        assert (issue["status"]["name"], issue["project"]["name"], issue["subject"]) == ("Feedback", "Support", "Інше")
        assert (issue["assigned_to"]["name"], value(issue, redmine.field("Class"))) == ("Olena Koval", "question")
        assert value(issue, redmine.field("OnSite")) == "1"
        count = len(issue["journals"])
        await feed.push(write)
        assert len(shown(redmine, ref.id)["journals"]) == count
        odd = await feed.push(alter(ref, ["class", "assignee"], replace(now, class_=3, assignee="nobody")))
        assert odd.outcome is Outcome.DONE and len(odd.left_out) == 2
    async with feed_of(redmine, "no-private") as feed:  # whose role has no way from status to status
        stays = await feed.push(alter(ref, ["status"], replace(now, status="resolved")))
        assert any("status stays Feedback, not Resolved" in each for each in stays.left_out)


async def test_an_issue_that_is_gone(redmine: Redmine) -> None:
    one = fresh()
    async with feed_of(redmine) as feed:
        ref = (await feed.push(opened(one))).ref
        assert ref is not None
        redmine.ask("DELETE", f"/issues/{ref.id}.json", user="admin")
        assert (await feed.push(say(ref, said("m2"), one))).outcome is Outcome.VANISHED
        assert (await feed.push(alter(ref, ["status"], one))).outcome is Outcome.VANISHED
        assert await feed.find(say(ref, said("m2"), one)) is None


async def test_what_staff_does_is_heard_once(redmine: Redmine) -> None:
    one = fresh()
    async with feed_of(redmine) as feed:
        ref = (await feed.push(opened(one))).ref
        assert ref is not None
        cursor = (await feed.changes(None)).cursor
        here = f"/issues/{ref.id}.json"
        content = b"\x00\x01photo"
        token = redmine.ask("POST", "/uploads.json?filename=photo.bin", content)["upload"]["token"]
        upload = {"token": token, "filename": "фото.bin", "content_type": "application/octet-stream"}
        redmine.ask("PUT", here, {"issue": {"notes": "Вже їдемо", "uploads": [upload]}})
        redmine.ask("PUT", here, {"issue": {"notes": "клієнт скандальний", "private_notes": True}})
        mine = redmine.ask("GET", "/users/current.json")["user"]["id"]
        field = {"id": redmine.field("Class"), "value": "question"}
        redmine.ask("PUT", here, {"issue": {"assigned_to_id": mine, "custom_fields": [field]}})
        redmine.ask("PUT", here, {"issue": {"project_id": "support"}})
        redmine.ask("PUT", here, {"issue": {"status_id": 3}})
        await feed.push(say(ref, said("m2", "своє"), one))
        heard, after = await news(feed, cursor, ref)
        assert all(each.actor == "Olena Koval" for each in heard if not each.ours)
        replies = [each.change for each in heard if isinstance(each.change, Replied)]
        assert [(each.text, each.public) for each in replies] == [("Вже їдемо", True), ("клієнт скандальний", False)]
        [brought] = replies[0].files
        assert (brought.filename, brought.read()) == ("фото.bin", content)
        assert brought.sha256 == hashlib.sha256(content).hexdigest()
        sets = {
            each.change.field: each.change.value for each in heard if isinstance(each.change, Set) and not each.ours
        }
        assert sets == {"assignee": "o.koval", "class": "6", "line": "L1", "status": "resolved"}
        assert len({each.id for each in heard}) == len(heard)
        assert (await news(feed, after, ref))[0] == []


async def test_changes_of_one_second_are_all_heard(redmine: Redmine) -> None:
    """Between two of them the cursor is taken: whatever bears the same time is told after it, and only that."""
    async with feed_of(redmine) as feed:
        refs = [(await feed.push(opened(fresh()))).ref for _ in range(3)]
        cursor = (await feed.changes(None)).cursor
        told = list[str]()
        for number in range(9):
            ref = refs[number % 3]
            assert ref is not None
            redmine.ask("PUT", f"/issues/{ref.id}.json", {"issue": {"notes": f"№ {number}"}})
            page = await feed.changes(cursor)
            told += [each.change.text for each in page.heard if isinstance(each.change, Replied)]
            cursor = page.cursor
            assert len(cursor) < 4000
        assert told == [f"№ {number}" for number in range(9)]


async def test_a_change_that_is_committed_late_is_heard(redmine: Redmine) -> None:
    """A line of history with an earlier time than the last one heard, of an issue that was not heard of."""
    async with feed_of(redmine) as feed:
        early, later = [(await feed.push(opened(fresh()))).ref for _ in range(2)]
        assert early and later
        cursor = (await feed.changes(None)).cursor
        redmine.ask("PUT", f"/issues/{early.id}.json", {"issue": {"notes": "рано"}})
        redmine.ask("PUT", f"/issues/{later.id}.json", {"issue": {"notes": "пізно"}})
        _, after = await news(feed, cursor, later)
        blind = json.loads(after)
        del blind["heard"][early.id]  # as if its line had not been there when we looked
        heard, _ = await news(feed, json.dumps(blind), early)
        assert [each.change.text for each in heard if isinstance(each.change, Replied)] == ["рано"]


async def test_notes_may_be_kept_inside(redmine: Redmine) -> None:
    async with feed_of(redmine, public_notes=False) as feed:
        ref = (await feed.push(opened(fresh()))).ref
        assert ref is not None
        cursor = (await feed.changes(None)).cursor
        redmine.ask("PUT", f"/issues/{ref.id}.json", {"issue": {"notes": "між нами"}})
        [heard], _ = await news(feed, cursor, ref)
        assert isinstance(heard.change, Replied) and not heard.change.public


async def test_while_redmine_is_down_writes_wait(redmine: Redmine) -> None:
    write = opened(fresh())
    async with feed_of(redmine) as feed:
        redmine.stop()
        try:
            down = await feed.push(write)
            assert down.outcome is Outcome.RETRY and not down.uncertain
            assert isinstance(await feed.find(write), CannotTell)
            with pytest.raises(FeedError):
                await feed.changes(None)
        finally:
            redmine.start()
        assert (await feed.push(write)).outcome is Outcome.DONE


async def test_fifty_issues_in_a_row_are_fifty(redmine: Redmine) -> None:
    made = [opened(fresh()) for _ in range(50)]
    async with feed_of(redmine) as feed:
        refs = [(await feed.push(each)).ref for each in made]
        assert len({ref.id for ref in refs if ref is not None}) == 50
        assert made[7].ticket.key not in await feed.doubles()
        fields = [{"id": redmine.field("GatewayKey"), "value": made[7].ticket.key}]
        double = {"project_id": "engineers", "subject": "double", "custom_fields": fields}
        redmine.ask("POST", "/issues.json", {"issue": double})
        found = (await feed.doubles())[made[7].ticket.key]
        assert len(found) == 2 and found[0] == refs[7]
        last = refs[-1]
        assert last is not None and (await feed.undo(last)).outcome is Outcome.DONE
        assert shown(redmine, last.id)["status"]["name"] == "Closed"


async def test_open_issues_are_listed(redmine: Redmine) -> None:
    async with feed_of(redmine) as feed:
        ref = (await feed.push(opened(fresh(line="L1", status="waiting", assignee="o.koval")))).ref
        assert ref is not None
        found, cursor = {}, None
        while True:
            page = await feed.existing(cursor)
            found |= {each.ref.id: each for each in page.tickets}
            cursor = page.cursor
            if cursor is None:
                break
        one = found[ref.id]
        assert (one.status, one.class_, one.assignee, one.ref) == ("waiting", 2, "o.koval", ref)
