"""What staff do in the store, applied here: once, in its order, and never written back."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from gateway import desk
from gateway.feeds import remarks, troubles
from gateway.feeds.contract import FeedError, Heard, Merged, Name, Ref, Replied, Set, Vanished
from gateway.store import cursors, tickets
from gateway.store.database import Database
from tests.gateway.conftest import FrozenClock
from tests.gateway.feeds_desk import Rig, feeds_context
from tests.gateway.staffed import rows

MINUTE = timedelta(minutes=1)


@pytest.fixture
def rig(db: Database, clock: FrozenClock, tmp_path: Path) -> Rig:
    return Rig(db=db, clock=clock, folder=tmp_path / "blobs", ctx=feeds_context())


def status(value: str, *, known: bool = True) -> Set:
    return Set(field="status", value=value if known else "", raw=value, known=known)


async def opened(rig: Rig, **columns: Any) -> int:
    """A ticket that is in the store, a while ago."""
    ticket = await rig.open(**columns)
    await rig.push(rig.pushing())
    rig.clock.forward(MINUTE)
    return ticket


async def quiet(rig: Rig) -> None:
    """Nothing of what was heard is written back."""
    before = list(rig.store.calls)
    await rig.push(rig.pushing())
    assert rig.store.calls == before


@pytest.mark.parametrize(
    ("change", "column", "value"),
    [
        (status("open"), "status", "open"),
        (status("waiting"), "status", "waiting"),
        (status("resolved"), "status", "resolved"),
        (status("closed"), "status", "closed"),
        (status("held"), "status", "held"),
        (Set(field="class", value="4", raw="App"), "class_", 4),
        (Set(field="line", value="L2", raw="Second"), "line", "L2"),
        (Set(field="assignee", value="pavlo", raw="p.pavlov"), "assignee", "pavlo"),
        (Set(field="onsite", value="true", raw="yes"), "onsite", True),
        (Set(field="subject", value="Two printers", raw="Two printers"), "subject", "Two printers"),
        (Set(field="contract", value="acme", raw="ACME"), "contract", "acme"),
        (Set(field="requester", value="bob@client.example", raw=""), "requester", "bob@client.example"),
    ],
    ids=lambda value: value.field if isinstance(value, Set) else "",
)
async def test_each_field_is_taken_over_and_not_written_back(rig: Rig, change: Set, column: str, value: object) -> None:
    ticket = await opened(rig)
    await rig.hear(change)
    assert getattr(await rig.ticket(ticket), column) == value
    await quiet(rig)
    assert (await rig.hear()).done == 0


async def test_a_resolution_there_is_one_here_with_its_question_to_the_requester(rig: Rig) -> None:
    ticket = await opened(rig)
    await rig.hear(status("closed"))
    kinds = [event["status"] for kind in ("resolved", "closed") for event in await rig.events(ticket, kind)]
    assert kinds == [["new", "resolved"], ["resolved", "closed"]]
    notices = [row["template"] for row in await rig.db.read(lambda conn: rows(conn, "outbox"))]
    assert notices.count("resolved") == 1


async def test_a_public_reply_goes_out_and_a_note_does_not(rig: Rig) -> None:
    ticket = await opened(rig)
    await rig.hear(Replied(text="Only for us", public=False), Replied(text="Hello Ann", public=True))
    sent = [row for row in await rig.db.read(lambda conn: rows(conn, "outbox")) if row["kind"] == "reply"]
    assert [row["variables"]["text"] for row in sent] == ["Hello Ann"]
    assert (await rig.ticket(ticket)).reaction_met_at == rig.clock()
    assert (await rig.ticket(ticket)).status == "open"
    await quiet(rig)


async def test_a_robot_of_the_stores_is_no_reaction(rig: Rig) -> None:
    ticket = await opened(rig)
    await rig.hear(Replied(text="We got it", public=True), actor="")
    assert (await rig.ticket(ticket)).reaction_met_at is None


async def test_what_we_did_ourselves_is_no_news(rig: Rig) -> None:
    ticket = await opened(rig)
    await rig.hear(status("resolved"), Replied(text="It is broken", public=True), actor="gateway")
    assert (await rig.ticket(ticket)).status == "new"
    assert await rig.events(ticket, "reply") == []


async def test_a_requesters_answer_reopens_whatever_was_done_in_the_store_meanwhile(rig: Rig) -> None:
    ticket = await opened(rig)
    await rig.act(desk.resolve, ticket, result="Done")
    await rig.push(rig.pushing())
    rig.clock.forward(MINUTE)
    await rig.reopen(ticket)
    await rig.hear(status("closed"), at=rig.clock() + MINUTE)
    assert (await rig.ticket(ticket)).status == "open"
    await rig.push(rig.pushing())
    assert rig.store.tickets[0]["status"] == "open"
    assert (await rig.events(ticket))[-1]["what"] == "kept ours"


async def test_of_two_people_who_changed_one_field_the_later_one_has_it(rig: Rig) -> None:
    ticket = await opened(rig, contract="acme")
    await rig.act(desk.set_line, ticket, line="L2", reason="engineer")
    await rig.hear(Set(field="line", value="L3", raw="Third"), at=rig.clock() - MINUTE / 2)
    assert (await rig.ticket(ticket)).line == "L2"
    await rig.push(rig.pushing())
    assert rig.store.tickets[0]["line"] == "L2"

    rig.clock.forward(MINUTE)
    await rig.act(desk.set_line, ticket, line="L1", reason="back")
    await rig.hear(Set(field="line", value="L3", raw="Third"), at=rig.clock() + MINUTE / 2)
    assert (await rig.ticket(ticket)).line == "L3"
    await quiet(rig)


async def test_a_robots_change_here_gives_way(rig: Rig) -> None:
    ticket = await opened(rig)
    await rig.act(desk.set_class, ticket, class_=4, actor="rule:transcript")
    await rig.hear(Set(field="class", value="6", raw="Question"), at=rig.clock() - MINUTE / 2)
    assert (await rig.ticket(ticket)).class_ == 6
    await quiet(rig)


async def test_what_was_overtaken_by_a_change_of_ours_is_not_applied(rig: Rig) -> None:
    ticket = await opened(rig)
    rig.store.page.append(rig.heard(status("resolved")))
    rig.store.page.append(rig.heard(status("open"), actor="gateway"))
    await rig.hear()
    assert (await rig.ticket(ticket)).status == "new"
    assert (await rig.events(ticket))[-1]["what"] == "overtaken"


async def test_news_of_a_ticket_that_is_being_opened_waits_for_the_end_of_that(rig: Rig) -> None:
    rig.store.fates = ["done lost"]
    ticket = await rig.open()
    await rig.push(rig.pushing())
    applied = await rig.hear(status("waiting"))
    assert applied.held == {"0"}
    rig.clock.forward(timedelta(minutes=3))
    await rig.push(rig.pushing())
    assert (await rig.hear()).done == 1
    assert (await rig.ticket(ticket)).status == "waiting"


async def test_somebody_elses_ticket_in_the_store_is_passed(rig: Rig) -> None:
    await opened(rig)
    applied = await rig.hear(status("resolved"), ref="99")
    assert (applied.done, applied.held) == (0, set())


async def test_a_word_without_a_mapping_is_recorded_and_operators_hear_of_it(rig: Rig) -> None:
    rig.ctx = feeds_context(map={"status": {"new": "Neu", "open": "Offen"}})
    ticket = await opened(rig)
    await rig.hear(status("Geparkt", known=False))
    assert (await rig.ticket(ticket)).status == "new"
    assert (await rig.events(ticket))[-1]["raw"] == "Geparkt"
    told = await rig.db.read(lambda conn: troubles.found(conn, rig.ctx, rig.clock()))
    assert "status: Geparkt" in told["feed unknown store"]
    rig.ctx = feeds_context(map={"status": {"new": "Neu", "held": "Geparkt"}})
    assert "feed unknown store" not in await rig.db.read(lambda conn: troubles.found(conn, rig.ctx, rig.clock()))


async def test_a_ticket_that_is_merged_is_followed(rig: Rig) -> None:
    ticket = await opened(rig)
    await rig.hear(Merged(into=Ref(id="7", number="M7")))
    link = await rig.link(ticket)
    assert (link.ref, link.number, link.state) == ("7", "M7", "linked")
    await rig.hear(status("resolved"), ref="7")
    assert (await rig.ticket(ticket)).status == "resolved"
    notes = [row for row in await rig.db.read(lambda conn: rows(conn, "message")) if row["direction"] == "note"]
    assert [row["text"] for row in notes] == ["Merged into #M7 in store."]
    await quiet(rig)


async def test_two_of_ours_that_are_merged_are_told_of_each_other_and_both_requesters_hear(rig: Rig) -> None:
    first, second = await opened(rig), await opened(rig)
    await rig.hear(Merged(into=Ref(id="0", number="M0")), ref="1")
    assert (await rig.ticket(second)).related == [(await rig.ticket(first)).number]
    await rig.hear(Replied(text="For both", public=True), Replied(text="A note", public=False))
    assert len(await rig.events(first, "reply")) == len(await rig.events(second, "reply")) == 1
    assert (len(await rig.events(first, "note")), len(await rig.events(second, "note"))) == (1, 1)
    await rig.say(second, "More of the second")
    await rig.push(rig.pushing())
    assert rig.store.texts(0)[-1] == "More of the second"
    await rig.hear(status("resolved"))
    assert [(await rig.ticket(one)).status for one in (first, second)] == ["resolved", "resolved"]


async def test_a_ticket_that_was_deleted_there_goes_on_here(rig: Rig) -> None:
    ticket = await opened(rig)
    await rig.hear(Vanished())
    assert (await rig.ticket(ticket)).status == "new"
    await rig.say(ticket, "Hello?")
    await quiet(rig)
    told = await rig.db.read(lambda conn: troubles.found(conn, rig.ctx, rig.clock()))
    assert "M0" in told["feed vanished store"]
    later = rig.clock() + timedelta(days=2)
    assert await rig.db.read(lambda conn: remarks.everything(conn, later)) == {"store": {"vanished": {}}}


async def test_an_agent_whom_the_map_names_is_the_agent(rig: Rig) -> None:
    rig.ctx = feeds_context(map={"assignee": {"olena": "o.petrova"}})
    ticket = await opened(rig)
    await rig.hear(Replied(text="Hello", public=True), actor="o.petrova")
    message = (await rig.db.read(lambda conn: rows(conn, "message")))[-1]
    assert (message["author"], message["author_name"]) == ("agent:olena", "Olena")
    assert (await rig.ticket(ticket)).reaction_met_at is not None


async def test_one_that_cannot_be_applied_stops_nothing(rig: Rig) -> None:
    ticket = await opened(rig, contract="acme")
    await rig.hear(Set(field="line", value="L4", raw="Vendors"), status("open"))
    assert (await rig.ticket(ticket)).status == "open"
    assert [event["what"] for event in await rig.events(ticket)] == ["opened", "not applied"]
    await quiet(rig)


async def test_what_staff_write_there_goes_out_where_the_request_came_from(rig: Rig) -> None:
    ticket = await opened(rig)
    place = {"channel": "telegram", "account": "bot", "requester": "5001002003"}
    await rig.write(lambda conn: tickets.update(conn, ticket, **place))
    await rig.hear(Replied(text="Hello", public=True))
    sent = [row for row in await rig.db.read(lambda conn: rows(conn, "outbox")) if row["kind"] == "reply"]
    assert [(row["channel"], row["recipient"]) for row in sent] == [("telegram", "5001002003")]


@pytest.mark.parametrize("agreed_again", ["L1", "L3"])
async def test_news_of_what_was_agreed_before_is_no_change_of_theirs(rig: Rig, agreed_again: str) -> None:
    """A robot of ours moved it, and that still waits: only what is new there may overrule it."""
    ticket = await opened(rig, contract="acme")
    await rig.act(desk.set_line, ticket, line="L2", reason="engineer", actor="rule:line")
    await rig.hear(Set(field="line", value=agreed_again, raw="word"), at=rig.clock() + MINUTE)
    wanted = "L2" if agreed_again == "L1" else "L3"
    assert (await rig.ticket(ticket)).line == wanted
    await rig.push(rig.pushing())
    assert rig.store.tickets[0]["line"] == ("L2" if agreed_again == "L1" else "L1")
    assert (await rig.events(ticket))[-1]["what"] == ("same" if agreed_again == "L1" else "opened")


async def test_news_that_breaks_is_passed_and_told(rig: Rig) -> None:
    ticket = await opened(rig)
    before = await rig.db.read(lambda conn: cursors.get(conn, "feed", "store", "changes"))
    # A field that there is not: a fault of the feed's, and the page as a whole cannot be applied.
    broken = Set(field=cast("Name", "colour"), value="red", raw="red")
    applied = await rig.hear(status("waiting"), broken, Set(field="class", value="4", raw="App"))
    found = await rig.ticket(ticket)
    assert (found.status, found.class_) == ("waiting", 4)
    assert applied.done == 2 and [odd.partition(": ")[0] for odd in applied.odd] == ["t1"]
    told = await rig.db.read(lambda conn: troubles.found(conn, rig.ctx, rig.clock()))
    assert "t1: KeyError" in told["feed failed store"]
    after = await rig.db.read(lambda conn: cursors.get(conn, "feed", "store", "changes"))
    assert (before, after) == ("0", "3")
    assert (await rig.hear()).done == 0


async def test_names_that_no_database_takes_stop_nothing(rig: Rig) -> None:
    ticket = await opened(rig)
    odd = Heard(id="\ud800\0", ref="0", at=rig.clock(), actor="ol\0ga", ours=False, change=status("waiting"))
    rig.store.page.append(odd)
    await rig.hear(Replied(text="Half a \ud83d", public=True))
    assert [event["what"] for event in await rig.events(ticket)] == ["opened"]
    assert (await rig.ticket(ticket)).status == "waiting"


async def test_doubles_are_looked_for_once_a_day_and_operators_hear_of_them(rig: Rig) -> None:
    reading = rig.reading()
    rig.store.doubled = {"k-1": [Ref(id="1", number="M1"), Ref(id="2", number="M2")]}
    await reading.sweep("store")
    await reading.sweep("store")
    assert rig.store.sweeps == 1
    said = await rig.db.read(lambda conn: troubles.found(conn, rig.ctx, rig.clock()))
    assert said["feed doubles store"] == "tickets of ours are in the store store more than once: k-1 (#M1, #M2)"
    rig.clock.forward(timedelta(days=1))
    rig.store.doubled = {"k-1": [Ref(id="1", number="M1")]}
    await reading.sweep("store")
    assert await rig.db.read(lambda conn: troubles.found(conn, rig.ctx, rig.clock())) == {}


async def test_a_look_for_doubles_that_fails_or_hangs_holds_up_no_news(rig: Rig) -> None:
    ticket = await opened(rig)
    for trouble in (FeedError("no right to search"), None):
        rig.store.doubled, rig.store.sweeps, rig.store.swept = trouble, 0, asyncio.Event()
        reading, stop = rig.reading(), asyncio.Event()
        loop = asyncio.create_task(reading.run(stop))
        try:
            await asyncio.wait_for(rig.store.swept.wait(), 90)
            rig.store.page.append(rig.heard(status("waiting" if trouble else "open")))
            async with asyncio.timeout(90):
                while (await rig.ticket(ticket)).status != ("waiting" if trouble else "open"):
                    reading.wake()
                    await asyncio.sleep(0.01)
            assert reading.troubles == {} and rig.store.sweeps == 1
        finally:
            stop.set()
            await asyncio.wait_for(loop, 90)
    said = await rig.db.read(lambda conn: troubles.found(conn, rig.ctx, rig.clock()))
    assert "looking for doubles: no right to search" in said["feed failed store"]
