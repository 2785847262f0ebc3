"""Writes to a real Request Tracker."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.feeds.contract import Open, Outcome, Person
from tests.feeds.rt_desk import feed_of, field, fresh
from tests.feeds.servers_rt import LACKING, Rt
from tests.feeds.writes import alter, file, opened, said, say, ticket

pytestmark = [pytest.mark.services("rt-setup-database-5"), pytest.mark.xdist_group("rt"), pytest.mark.timeout(600)]


def messages(rt: Rt, ref: str) -> list[dict[str, Any]]:
    """Parts of all messages of a ticket with their contents."""
    fields = "ContentType,Filename,Headers,ContentLength,TransactionId"
    listed = rt.ask("GET", f"/ticket/{ref}/attachments?fields={fields}&per_page=100")["items"]
    return [{**rt.ask("GET", f"/attachment/{each['id']}"), **each} for each in listed if each["ContentLength"] != "0"]


def text(part: dict[str, Any]) -> str:
    return base64.b64decode(part["Content"]).decode()


async def test_a_ticket_with_people_fields_and_files(rt: Rt) -> None:
    one = fresh(requester=Person(address="ivan@пошта.укр", name='Іван "Франко"'))
    first = said(files=[file("звіт за тиждень 📎.txt", b"\x00\xffbytes"), file("їжак.txt", "їжак\r\n\n".encode())])
    async with feed_of(rt) as feed:
        pushed = await feed.push(opened(one, first))
        assert pushed.outcome is Outcome.DONE and pushed.ref is not None and not pushed.left_out
        shown = rt.ask("GET", f"/ticket/{pushed.ref.id}")
        assert shown["Subject"] == one.subject
        assert rt.ask("GET", f"/queue/{shown['Queue']['id']}")["Name"] == "Engineers"
        assert [each["id"] for each in shown["Requestor"]] == ["ivan@xn--80a1acn3a.xn--j1amh"]
        assert [each["id"] for each in shown["Cc"]] == ["boss@client.example"]
        fields = {
            name: field(shown, name) for name in ("GatewayKey", "SupportClass", "SupportLine", "Contract", "OnSite")
        }
        wanted = {"GatewayKey": one.key, "SupportClass": "server", "SupportLine": "L2", "Contract": "A", "OnSite": "no"}
        assert fields == {name: [value] for name, value in wanted.items()}
        parts = messages(rt, pushed.ref.id)
        assert "From: Олена Коваль <olena@client.example>\n\nНе відкривається з 9:00 📎" in text(parts[0])
        assert [each["Filename"] for each in parts[1:]] == ["звіт за тиждень 📎.txt", "їжак.txt"]
        assert base64.b64decode(parts[1]["Content"]) == b"\x00\xffbytes"
        assert base64.b64decode(parts[2]["Content"]) == "їжак\r\n\n".encode()
        assert pushed.ref.url.endswith(f"?id={pushed.ref.id}")


async def test_what_was_pushed_is_found_again_and_nothing_else(rt: Rt) -> None:
    one = fresh()
    opening = opened(one)
    async with feed_of(rt) as feed:
        assert await feed.find(opening) is None
        ref = (await feed.push(opening)).ref
        assert ref is not None
        assert await feed.find(opening) == ref
        assert await feed.find(opened(fresh())) is None
        other = replace(one, key=one.key.upper())
        assert await feed.find(Open(key="x", ticket=other, first=said())) is None
        again = say(ref, said("m2", "ще раз"), one)
        assert await feed.find(again) is None
        await feed.push(again)
        assert await feed.find(again) == ref
        private = say(ref, said("m3", "нотатка", public=False), one)
        assert await feed.find(private) is None
        await feed.push(private)
        assert await feed.find(private) == ref


async def test_what_was_merged_or_deleted_is_found_too(rt: Rt) -> None:
    one, other, gone = opened(fresh()), opened(fresh()), opened(fresh())
    async with feed_of(rt) as feed:
        refs = [(await feed.push(each)).ref for each in (one, other, gone)]
        assert refs[0] and refs[1] and refs[2]
        rt.ask("PUT", f"/ticket/{refs[0].id}", {"MergeInto": refs[1].id})
        rt.ask("PUT", f"/ticket/{refs[2].id}", {"Status": "deleted"})
        assert await feed.find(one) == refs[1]
        assert await feed.find(gone) is None  # RT finds no deleted tickets: the request comes again
        moved = await feed.push(say(refs[0], said("m2"), one.ticket))
        assert moved.outcome is Outcome.DONE and moved.ref == refs[1]
        vanished = await feed.push(say(refs[2], said("m2"), gone.ticket))
        assert vanished.outcome is Outcome.VANISHED
        absent = replace(refs[2], id="999999", number="999999")
        assert (await feed.push(alter(absent, ["status"], gone.ticket))).outcome is Outcome.VANISHED


async def test_a_note_is_a_comment_and_an_answer_correspondence(rt: Rt) -> None:
    one = fresh()
    async with feed_of(rt) as feed:
        ref = (await feed.push(opened(one))).ref
        assert ref is not None
        await feed.push(say(ref, said("m2", "відкрито", files=[file("фото.jpg")]), one))
        await feed.push(say(ref, said("m3", "таємно", public=False), one))
        history = rt.ask("GET", f"/ticket/{ref.id}/history?fields=Type,Creator&per_page=100")["items"]
        kinds = {each["id"]: each["Type"] for each in history}
        where = {text(each).strip().splitlines()[-1]: kinds[each["TransactionId"]] for each in messages(rt, ref.id)}
        assert where["відкрито"] == "Correspond"
        assert where["таємно"] == "Comment"


async def test_nobody_outside_is_mailed_by_rt(rt: Rt) -> None:
    """RT's own scrips are on here: without the squelch the requester hears from RT, too (the second ticket)."""
    quiet = fresh(requester=Person(address="quiet@client.example"), copies=[Person(address="quiet2@client.example")])
    loud = fresh(requester=Person(address="loud@client.example"), copies=[])
    async with feed_of(rt) as feed, feed_of(rt, squelch=False) as other:
        for one, by in ((quiet, feed), (loud, other)):
            ref = (await by.push(opened(one))).ref
            assert ref is not None
            await by.push(say(ref, said("m2", "відповідь"), one))
        assert any("loud@client.example" in mail for mail in rt.mailed())
        assert not any("quiet" in mail for mail in rt.mailed())
        warned = [each for each in await feed.check() if each.warning]
        assert any("RT itself mails requesters" in each.what for each in warned), warned


async def test_fields_are_brought_in_step_and_stay_so(rt: Rt) -> None:
    one = fresh()
    async with feed_of(
        rt, map={"line": {"L1": "General", "L2": "Engineers"}, "assignee": {"o.koval": "olena"}}
    ) as feed:
        ref = (await feed.push(opened(one))).ref
        assert ref is not None
        now = replace(one, status="waiting", line="L1", class_=6, assignee="o.koval", subject="Інше", onsite=True,
                      requester=Person(address="new@client.example"))  # fmt: skip
        write = alter(ref, ["status", "line", "class", "assignee", "subject", "onsite", "requester"], now)
        done = await feed.push(write)
        assert done.outcome is Outcome.DONE and not done.left_out
        shown = rt.ask("GET", f"/ticket/{ref.id}")
        assert (shown["Status"], shown["Owner"]["id"], shown["Subject"]) == ("stalled", "olena", "Інше")
        assert rt.ask("GET", f"/queue/{shown['Queue']['id']}")["Name"] == "General"
        assert field(shown, "SupportClass") == ["6"] and field(shown, "OnSite") == ["yes"]
        assert {each["id"] for each in shown["Requestor"]} == {"new@client.example", "olena@client.example"}
        count = len(rt.ask("GET", f"/ticket/{ref.id}/history?per_page=100")["items"])
        assert (await feed.push(write)).outcome is Outcome.DONE
        assert len(rt.ask("GET", f"/ticket/{ref.id}/history?per_page=100")["items"]) == count


async def test_a_value_without_a_word_is_left_out_and_named(rt: Rt) -> None:
    one = fresh(line="L4", class_=3)
    async with feed_of(rt) as feed:
        pushed = await feed.push(opened(one))
        assert pushed.outcome is Outcome.DONE and pushed.ref is not None
        assert any("line L4" in each for each in pushed.left_out)
        assert any("class 3" in each for each in pushed.left_out)
        refused = await feed.push(alter(pushed.ref, ["assignee"], replace(one, assignee="nobody-has-this")))
        assert refused.outcome is Outcome.DONE
        assert any("Owner" in each and "does not exist" in each for each in refused.left_out)


async def test_a_status_that_rt_does_not_know_costs_the_status_alone(rt: Rt) -> None:
    async with feed_of(rt, map={"status": {"new": "nowhere"}}) as feed:
        pushed = await feed.push(opened(fresh()))
        assert pushed.outcome is Outcome.DONE
        assert any("nowhere" in each for each in pushed.left_out)


async def test_files_that_are_empty_or_too_great_are_named(rt: Rt) -> None:
    one = fresh()
    first = said(files=[file("empty.txt", b""), file("great.bin", b"x" * 200), file("good.txt")])
    async with feed_of(rt, largest_file=100) as feed:
        pushed = await feed.push(opened(one, first))
        assert pushed.outcome is Outcome.DONE and pushed.ref is not None
        assert len(pushed.left_out) == 2
        parts = messages(rt, pushed.ref.id)
        assert "great.bin: 200 bytes" in text(parts[0])
        assert [each["Filename"] for each in parts if each["Filename"]] == ["good.txt"]


async def test_people_without_a_mail_address(rt: Rt) -> None:
    caller = Person(address="+380501112233", name="Марія", channel="sms")
    async with feed_of(rt) as feed, feed_of(rt, stand_in="") as without:
        pushed = await feed.push(opened(fresh(requester=caller, copies=[])))
        assert pushed.ref is not None
        shown = rt.ask("GET", f"/ticket/{pushed.ref.id}")
        assert [each["id"] for each in shown["Requestor"]] == ["sms.+380501112233@gateway.invalid"]
        left = await without.push(opened(fresh(requester=caller, copies=[Person(address="пошта@client.example")])))
        assert left.ref is not None and len(left.left_out) == 2
        assert "Requester: Марія +380501112233 (sms)" in text(messages(rt, left.ref.id)[0])


@pytest.mark.parametrize("user", ["no-create", "no-queue", "blind"])
async def test_nothing_is_made_without_the_rights(rt: Rt, user: str) -> None:
    write = opened(fresh())
    async with feed_of(rt, user) as feed, feed_of(rt) as good:
        refused = await feed.push(write)
        assert refused.outcome is Outcome.RETRY and not refused.uncertain
        assert LACKING[user] in refused.detail and "Engineers" in refused.detail
        assert await good.find(write) is None


async def test_a_key_that_rt_drops_is_noticed_at_the_first_ticket(rt: Rt) -> None:
    async with feed_of(rt, "no-field") as feed:
        first = await feed.push(opened(fresh()))
        assert first.outcome is Outcome.DONE
        assert any("ModifyCustomField on queue Engineers" in each for each in first.left_out)
        second = await feed.push(opened(fresh()))
        assert second.outcome is Outcome.RETRY and "ModifyCustomField" in second.detail


@pytest.mark.parametrize(("user", "public"), [("no-reply", True), ("no-comment", False), ("no-show", True)])
async def test_a_right_that_is_missing_is_named_for_messages(rt: Rt, user: str, public: bool) -> None:
    one = fresh()
    async with feed_of(rt) as good, feed_of(rt, user) as feed:
        ref = (await good.push(opened(one))).ref
        assert ref is not None
        refused = await feed.push(say(ref, said("m2", public=public), one))
        # Who may change a ticket may also write into it: RT asks for one right or the other.
        if refused.outcome is Outcome.DONE:
            assert user != "no-show"
            return
        assert refused.outcome is Outcome.RETRY and refused.of_ticket
        assert LACKING[user] in refused.detail


async def test_without_the_right_to_modify_the_ticket_waits(rt: Rt) -> None:
    one = fresh()
    async with feed_of(rt) as good, feed_of(rt, "no-modify") as feed:
        ref = (await good.push(opened(one))).ref
        assert ref is not None
        refused = await feed.push(alter(ref, ["status"], replace(one, status="waiting")))
        assert refused.outcome is Outcome.RETRY and refused.of_ticket
        assert "ModifyTicket" in refused.detail and "Engineers" in refused.detail


async def test_the_check_names_what_is_missing(rt: Rt) -> None:
    async with feed_of(rt) as good:
        await good.push(opened(fresh()))
        await good.push(opened(fresh(line="L1")))
        found = await good.check()
        assert [each.what for each in found if not each.good and not each.warning] == []
    told = {"no-create", "no-queue", "no-reply", "no-comment", "no-modify", "blind"}
    for user in sorted(told):  # no-show sees no ticket to tell by; ModifyCustomField is told by the first ticket alone
        right = LACKING[user]
        async with feed_of(rt, user) as feed:
            bad = [each.what for each in await feed.check() if not each.good and not each.warning]
            wanted = "custom field GatewayKey" if right == "SeeCustomField" else right
            assert any(wanted in each for each in bad), (user, bad)


async def test_the_check_names_wrong_names(rt: Rt) -> None:
    over = {"map": {"line": {"L1": "General", "L2": "Nowhere"}, "assignee": {"a": "ghost"}}, "queue": "Bare"}
    async with feed_of(rt, **over) as feed:
        bad = [each.what for each in await feed.check() if not each.good]
        assert any("queue Nowhere" in each for each in bad)
        assert any("ghost" in each for each in bad)
        assert any("queue Bare: custom field GatewayKey" in each for each in bad)
    async with feed_of(rt, "olena", token=rt.token()) as feed:
        assert any("the token is not olena's" in each.what for each in await feed.check())


async def test_fifty_tickets_in_a_row_are_fifty(rt: Rt) -> None:
    made = [opened(fresh()) for _ in range(50)]
    made = [replace(each, ticket=replace(each.ticket, key=f"0a1b2c3d-fifty-{at}")) for at, each in enumerate(made)]
    async with feed_of(rt) as feed:
        refs = [(await feed.push(each)).ref for each in made]
        assert len({ref.id for ref in refs if ref is not None}) == 50
        assert not any(key.startswith("0a1b2c3d-fifty-") for key in await feed.doubles())
        ask = {"Queue": "General", "Subject": "double", "CustomFields": {"GatewayKey": "0a1b2c3d-fifty-7"}}
        double = rt.ask("POST", "/ticket", ask)
        assert [ref.id for ref in (await feed.doubles())["0a1b2c3d-fifty-7"]] == [
            refs[7].id if refs[7] else "",
            double["id"],
        ]


async def test_a_trial_ticket_is_closed(rt: Rt) -> None:
    async with feed_of(rt) as feed:
        ref = (await feed.push(opened(fresh()))).ref
        assert ref is not None
        assert (await feed.undo(ref)).outcome is Outcome.DONE
        assert rt.ask("GET", f"/ticket/{ref.id}")["Status"] == "resolved"


async def test_open_tickets_come_with_their_message_ids(rt: Rt) -> None:
    body = {
        "Queue": "General", "Subject": "Стара заявка", "Requestor": "Анна <hanna@client.example>", "Content": "давно",
        "Cc": "chief@client.example", "Owner": "olena", "Status": "open", "CustomFields": {"SupportClass": "server"},
    }  # fmt: skip
    old = rt.ask("POST", "/ticket", body)["id"]
    closed = rt.ask("POST", "/ticket", {**body, "Status": "resolved"})["id"]
    async with feed_of(rt) as feed:
        found, cursor = {}, None
        while True:
            page = await feed.existing(cursor)
            found |= {each.ref.id: each for each in page.tickets}
            cursor = page.cursor
            if cursor is None:
                break
    assert closed not in found
    one = found[old]
    assert (one.subject, one.status, one.line, one.class_, one.assignee) == ("Стара заявка", "open", "L1", 2, "olena")
    assert (one.requester.address, one.requester.name) == ("hanna@client.example", "Анна")
    assert [each.address for each in one.copies] == ["chief@client.example"]
    assert one.message_ids and all(each.endswith("@rt.desk.example") for each in one.message_ids)
    assert abs((datetime.now(UTC) - one.opened_at).total_seconds()) < 600


def test_the_tickets_of_this_file_have_keys_of_their_own() -> None:
    assert fresh().key != fresh().key != ticket().key
