"""Calls that the provider lists and of which no request reached us are taken in, once, in order, and no others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from channels.contract import Unavailable
from channels.twilio import lists, reconcile
from gateway.context import Context
from gateway.demo.twilio_api import Fault
from gateway.demo.twilio_api.rest import Kind
from gateway.listening import troubles
from gateway.store.database import migrate
from normalizer.call import Ended
from normalizer.message import CallEvent, InlineBody, RawMessage
from normalizer.normalize import normalize
from tests.twilio.lists_desk import START, context
from tests.twilio.missed_desk import Desk, missed_desk
from tests.twilio.provider import ANNA, OURS, TOKEN

MISSED = "reconciliation voice/main"
OTHER = "+380440000002"

pytestmark = pytest.mark.timeout(360)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Context]:
    """An empty database and a configuration, made once."""
    folder = tmp_path_factory.mktemp("ground")
    migrate(f"sqlite:///{folder / 'gateway.db'}", backup_to=folder / "backups")
    return folder / "gateway.db", context(folder)


@pytest.fixture
async def desk(tmp_path: Path, ground: tuple[Path, Context]) -> AsyncIterator[Desk]:
    async with missed_desk(tmp_path, *ground) as made:
        yield made


async def test_a_first_start_takes_no_call_from_before_it_of_ten_thousand(desk: Desk) -> None:
    for number in range(10_000):
        desk.called(ago=10 + 4 * number)
    assert await desk.compared() == {}
    assert desk.kept() == [] and desk.api.count("calls") == 0
    desk.clock.forward(hours=5)
    sid = desk.called(ago=30)
    assert list(await desk.compared()) == [MISSED]
    assert desk.kept() == [sid]
    assert desk.api.count("calls") == 1, "pages behind what is wanted are not asked for"


async def test_the_setting_says_how_far_a_first_start_goes_back(desk: Desk) -> None:
    desk.called(ago=61)
    young = desk.called(ago=59)
    assert await desk.compared(reconcile_back="1h") == {}, "what came before us is nobody's loss"
    assert desk.kept() == [young]
    assert await desk.compared(reconcile_back="2d") == {}, "the beginning stands"
    assert desk.kept() == [young]


async def test_a_number_whose_calls_are_led_elsewhere_is_left_alone_until_one_reaches_us(desk: Desk) -> None:
    numbers = [OURS, OTHER]
    for _ in range(3):
        desk.called(ago=5, to=OTHER)
        desk.clock.forward(minutes=15)
        assert await desk.compared(numbers=numbers) == {}
    assert desk.kept() == []
    desk.clock.forward(hours=1)
    before = desk.called(ago=30, to=OTHER)
    await desk.compared(numbers=numbers)
    desk.leads_here(OTHER)
    desk.clock.forward(hours=1)
    missed = desk.called(ago=30, to=OTHER)
    assert list(await desk.compared(numbers=numbers)) == [MISSED]
    assert desk.kept() == [missed] and before not in desk.kept()


async def test_calls_while_we_were_away_are_taken_in_once_in_their_order(desk: Desk) -> None:
    await desk.compared()
    desk.clock.forward(hours=5)
    sids = [desk.called(ago=200 - number, seconds=20) for number in range(120)]
    found = await desk.compared()
    assert list(found) == [MISSED]
    assert "listed 120 calls of which no request had reached us" in found[MISSED]
    assert desk.kept() == sids
    received = [row[0] for row in desk.store.rows("SELECT received_at FROM entry ORDER BY id")]
    assert received[0] == int((START + timedelta(minutes=100, seconds=20)).timestamp() * 1_000_000)
    assert received == sorted(received)
    for _ in range(2):
        desk.clock.forward(minutes=15)
        assert await desk.compared() == {}, "it is over when a comparison finds nothing"
    assert desk.kept() == sids and desk.routes() == ["status"] * 120


async def test_it_means_what_the_request_that_did_not_come_would_have_meant(desk: Desk) -> None:
    await desk.compared()
    desk.clock.forward(hours=1)
    sid = desk.called(ago=30, seconds=45, CallerName="Anna", ForwardedFrom=OTHER)
    await desk.compared()
    ((name, format_, content, facts),) = desk.store.rows(
        "SELECT e.external_id, e.format, r.content, e.facts FROM entry e JOIN raw r ON r.entry_id = e.id"
    )
    assert (name, format_) == (f"{sid}:status:completed:{ANNA}", "twilio_call/1")
    assert name == desk.request(sid, "status", CallStatus="completed").external_id
    raw = RawMessage(
        channel="voice", account="main", format=format_, external_id=name, fingerprint="", peer=sid,
        received_at=START, body=InlineBody(content=content), facts={"route": "status"}, deliveries=(),
    )  # fmt: skip
    event = normalize(raw)
    assert isinstance(event, CallEvent) and event.aside and not event.ours
    assert event.happening == Ended(state="completed", seconds=45)
    assert (event.call, event.caller.address, event.called) == (sid, ANNA, OURS)
    assert (event.caller.name, event.forwarded_from) == ("Anna", OTHER)
    assert '"list"' in facts


@pytest.mark.parametrize("route", ["main", "status", "recorded"])
async def test_a_call_of_which_a_request_came_is_left_to_it(desk: Desk, route: str) -> None:
    await desk.compared()
    desk.clock.forward(hours=1)
    sid = desk.called(ago=10)
    await desk.pipeline.accept([desk.request(sid, route, CallStatus="completed", RecordingSid="RE1")])
    assert await desk.compared() == {}
    assert desk.routes() == [route]


async def test_a_call_whose_request_could_not_be_read_is_known(desk: Desk) -> None:
    await desk.compared()
    desk.clock.forward(hours=1)
    sid = desk.called(ago=10)
    await desk.pipeline.accept([desk.request(sid, "main")])
    # It has a ticket of its own, which says that something could not be read.
    desk.store.change("UPDATE entry SET state = 'quarantined'")
    assert await desk.compared() == {}
    assert desk.routes() == ["main"]


async def test_a_request_that_comes_while_the_list_is_read_or_after_it_is_the_same_entry(desk: Desk) -> None:
    await desk.compared()
    desk.clock.forward(hours=1)
    during, after = desk.called(ago=20), desk.called(ago=10)

    async def comes() -> None:
        await desk.pipeline.accept([desk.request(during, "status", CallStatus="completed")])

    desk.before.append(comes)
    found = await desk.compared()
    assert "listed 1 calls" in found[MISSED], "the other one came by itself"
    (accepted,) = await desk.pipeline.accept([desk.request(after, "status", CallStatus="completed")])
    assert accepted.duplicate
    assert sorted(desk.kept()) == sorted([during, after]) and desk.routes() == ["status", "status"]


@pytest.mark.parametrize("size", [1, 7, 200])
async def test_every_page_of_calls_is_read(desk: Desk, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "PAGE", size)
    await desk.compared()
    desk.clock.forward(hours=2)
    sids = [desk.called(ago=60 - number) for number in range(15)]
    await desk.compared()
    assert desk.kept() == sids
    assert desk.api.count("calls") >= 15 // size


async def test_a_long_outage_is_read_day_by_day_and_many_calls_in_parts(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "PAGE", 5)
    monkeypatch.setattr(reconcile, "UNSEEN", 10)
    monkeypatch.setattr(reconcile, "TOGETHER", 4)
    await desk.compared()
    desk.clock.forward(days=9)
    sids = [desk.called(ago=9 * 24 * 60 - number * 300) for number in range(36)]
    burst = [desk.called(ago=30) for _ in range(33)]
    await desk.compared()
    assert sorted(desk.kept()) == sorted(sids + burst)
    assert desk.kept()[:36] == sids
    assert max(count for count, _ in desk.commits) <= 4


@pytest.mark.parametrize("kind", ["too_many", "server", "html", "empty", "reset", "half"])
async def test_a_list_of_calls_that_fails_at_its_second_page_is_read_again(
    desk: Desk, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "PAGE", 4)
    await desk.compared()
    before = desk.cursors()
    desk.clock.forward(hours=2)
    sids = [desk.called(ago=60 - number) for number in range(10)]
    desk.api.plan(Fault(kind="late", on="calls"), Fault(kind=kind, on="calls"), Fault(kind=kind, on="calls"))
    async with desk.comparing():
        await desk.until(lambda: desk.api.count("calls") >= 1, "the first page")
        assert desk.cursors() == before and desk.kept() == []
        desk.api.go_on()
        await desk.until(lambda: desk.cursors() != before, "the cursor")
    assert desk.kept() == sids


async def test_operators_hear_of_a_token_that_is_refused_and_the_next_one_is_tried(desk: Desk) -> None:
    await desk.compared()
    desk.clock.forward(hours=1)
    sid = desk.called(ago=30)
    desk.telephony.network.token = "changed"
    async with desk.comparing() as one:
        await desk.until(lambda: one._rounds.trouble(), "the refusal")
        said = (await troubles([one]))["twilio voice/main"]
        assert "answers 401 (error 20003)" in said and TOKEN not in said
    assert desk.kept() == []
    desk.telephony.network.token = TOKEN
    await desk.compared(auth_token="old")
    assert desk.kept() == [sid]


async def test_no_call_is_passed_that_is_not_committed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "TOGETHER", 3)
    await desk.compared()
    before = desk.cursors()
    desk.clock.forward(hours=2)
    sids = [desk.called(ago=60 - number) for number in range(8)]

    async def refuses() -> None:
        raise Unavailable("locked")

    desk.before += [refuses, refuses]
    async with desk.comparing():
        await desk.until(lambda: desk.cursors() != before, "the cursor")
    assert desk.kept() == sids
    assert [count for count, _ in desk.commits[-3:]] == [3, 3, 2]
    assert [bool(cursor) for _, cursor in desk.commits[-3:]] == [False, False, True]


async def test_what_is_no_call_to_us_or_not_over_is_left_alone(desk: Desk) -> None:
    await desk.compared()
    desk.clock.forward(hours=2)
    desk.called(ago=30, Direction="outbound-api", sender=OURS, to=ANNA)
    desk.called(ago=30, Direction="outbound-dial")
    desk.called(ago=30, to=OTHER)
    desk.called(ago=30, status="in-progress")
    desk.called(ago=1, seconds=30)
    over = [desk.called(ago=30, status=one) for one in ("completed", "busy", "no-answer", "failed", "canceled")]
    await desk.compared()
    assert sorted(desk.kept()) == sorted(over)


async def test_a_call_that_has_just_ended_has_time_to_be_told_of(desk: Desk) -> None:
    await desk.compared()
    desk.clock.forward(hours=2)
    sid = desk.called(ago=30, seconds=29 * 60)
    await desk.compared()
    assert desk.kept() == [], "the request about its end may be under way"
    desk.clock.forward(minutes=15)
    await desk.compared()
    assert desk.kept() == [sid]


async def test_a_list_that_has_more_than_was_asked_for_brings_no_calls_of_others(desk: Desk) -> None:
    item = {"sid": "CA1", "status": "completed", "direction": "inbound", "to": OURS, "from": ANNA, "end_time": None}
    reader = desk.reader()
    assert reader._read(item) is not None
    odd = ({"to": OTHER}, {"to": None}, {"direction": None}, {"sid": ""}, {"sid": 7 * "x" * 10}, {"sid": "CA\u20ac"},
           {"status": "queued"}, {"status": ["completed"]})  # fmt: skip
    assert [reader._read({**item, **one}) for one in odd] == [None] * len(odd)


async def test_a_call_that_goes_on_for_hours_is_taken_in_when_it_is_over(desk: Desk) -> None:
    await desk.compared()
    desk.clock.forward(hours=1)
    sid = desk.called(ago=20, seconds=4 * 3600, status="in-progress")
    for _ in range(4):
        desk.clock.forward(hours=1)
        await desk.compared()
        assert desk.kept() == []
    (past,) = desk.telephony.remembered.past
    ended = past.begun + timedelta(hours=4)
    desk.telephony.remembered.past = [replace(past, ended=ended, status="completed")]
    desk.clock.forward(minutes=15)
    await desk.compared()
    assert desk.kept() == [sid]


async def test_what_another_document_recorded_comes_behind_the_end_and_is_waited_for(desk: Desk) -> None:
    await desk.compared()
    desk.clock.forward(hours=1)
    sid = desk.called(ago=20, seconds=60, heard=(12, 30))
    silent = desk.called(ago=10)
    first, second = desk.telephony.recordings.kept.values()
    second.status = "processing"
    await desk.compared()
    assert desk.kept() == [silent], "its recording is not ready yet"
    second.status = "completed"
    desk.clock.forward(minutes=15)
    await desk.compared()
    assert desk.kept() == [silent, sid] and desk.routes() == ["status", "status", "recorded", "recorded"]
    named = [row[0] for row in desk.store.rows("SELECT external_id FROM entry ORDER BY id")][2:]
    assert {name.split(":")[2] for name in named} == {first.sid, second.sid}


async def test_a_recording_that_never_becomes_one_holds_its_call_up_for_half_an_hour(desk: Desk) -> None:
    await desk.compared()
    desk.clock.forward(hours=1)
    sid = desk.called(ago=10, heard=(12,))
    (recording,) = desk.telephony.recordings.kept.values()
    recording.status = "processing"
    await desk.compared()
    assert desk.kept() == []
    desk.clock.forward(minutes=30)
    await desk.compared()
    assert desk.kept() == [sid] and desk.routes() == ["status"]


async def test_more_calls_than_are_held_at_a_time_may_wait_for_their_recordings(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "UNSEEN", 2)
    monkeypatch.setattr(lists, "PAGE", 2)
    await desk.compared()
    desk.clock.forward(hours=1)
    sids = [desk.called(ago=30 - number, heard=(12,)) for number in range(3)]
    for recording in desk.telephony.recordings.kept.values():
        recording.status = "processing"
    asked = desk.api.count("calls")
    await desk.compared()
    assert desk.kept() == [] and desk.api.count("calls") == asked + 1
    for recording in desk.telephony.recordings.kept.values():
        recording.status = "completed"
    await desk.compared()
    assert sorted(desk.kept()) == sorted(sids)


async def test_recordings_that_cannot_be_listed_hold_no_call_up_for_ever(desk: Desk) -> None:
    await desk.compared()
    before = desk.cursors()
    desk.clock.forward(hours=1)
    sid = desk.called(ago=20, heard=(12,))
    desk.telephony.remembered.failing = 10_000
    async with desk.comparing(often=timedelta(milliseconds=50)) as one:
        await desk.until(lambda: len(desk.telephony.remembered.asked) > 3, "several tries")
        assert desk.kept() == [] and desk.cursors() == before
        desk.clock.forward(minutes=11)
        await desk.until(lambda: one.compared, "a whole comparison")
    assert desk.kept() == [sid]


async def test_each_number_is_asked_for_and_has_a_cursor(desk: Desk) -> None:
    desk.leads_here(OTHER)
    await desk.compared(numbers=[OURS, OTHER])
    desk.clock.forward(hours=1)
    sids = [desk.called(ago=20), desk.called(ago=10, to=OTHER)]
    await desk.compared(numbers=[OURS, OTHER])
    assert desk.kept() == sids
    assert set(desk.cursors()) == {f"calls {OURS}", f"calls {OTHER}"}


async def test_one_node_has_the_list_and_a_held_copy_leaves_it_alone(desk: Desk) -> None:
    one = desk.reader()
    assert (one.lease, one.name, one.reaches) == ("voice/main list", "list voice/main", True)
    assert one.serves(desk.reader()) and not one.serves(desk.reader(reconcile="1h"))
