"""What is told of a recording comes in any order and repeated: it always comes to the same ticket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import desk_fields
from gateway.store import schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from router.policy import Conditions, Policy, Rule, phrases
from tests.gateway.call_desk import CallDesk, about, called
from tests.gateway.conftest import FrozenClock

TEXT = "Nothing prints since this morning, the printer is dead"
DOWN = Rule(id="printer", why="A printer", when=Conditions(words=phrases("printer")), class_=4, tags=("printer",))
PRINTERS = Policy(rules=(DOWN,))
NEWS = ("action", "recorded", "transcribed", "failed", "ended")


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> CallDesk:
    return CallDesk(db, blobs, clock, called(PRINTERS))


async def told(desk: CallDesk, sid: str, news: str) -> None:
    recording = about("RE" + sid[2:])
    written = {**recording, "TranscriptionSid": "TR1"}
    match news:
        case "action":
            await desk.tell(sid, "main", 3, **recording, RecordingDuration="20", Digits="hangup")
        case "recorded":
            await desk.tell(sid, "recorded", **recording, RecordingDuration="20", RecordingStatus="completed")
        case "transcribed":
            await desk.tell(sid, "transcribed", **written, TranscriptionStatus="completed", TranscriptionText=TEXT)
        case "failed":
            await desk.tell(sid, "transcribed", **written, TranscriptionStatus="failed")
        case "ended":
            await desk.tell(sid, "status", CallStatus="completed", CallDuration="45")


async def came_to(desk: CallDesk, sid: str) -> dict[str, Any]:
    """What the call left behind, as far as it must not depend on the order."""
    call = await desk.call(sid)
    ticket = await desk.ticket(call.ticket_id)
    (file,) = await desk.files(ticket.id)
    (said,) = [row for row in await desk.messages(ticket.id) if row.id == file.message_id]
    kinds = await desk.kinds(ticket.id)
    return {
        "outcome": call.outcome, "seconds": call.seconds, "ended": call.ended_at is not None,
        "class": ticket.class_, "tag": "printer" in ticket.tags, "requester": ticket.requester,
        "text": said.text.splitlines()[-1], "transcript": file.transcript, "opened": kinds.count("opened"),
        "decided": kinds.count("class"), "written": kinds.count("transcript"), "told": kinds.count("call_ended"),
    }  # fmt: skip


AT_LAST = {
    "outcome": "ticket", "seconds": 45, "ended": True, "class": 4, "tag": True, "requester": "+380670000001",
    "text": "[voice message, 0:20]", "transcript": TEXT, "opened": 1, "decided": 1, "told": 1,
}  # fmt: skip


PATIENT = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
"""How long it takes to make up an example says nothing on a busy machine."""


@settings(max_examples=80, deadline=None, suppress_health_check=PATIENT)
@given(order=st.lists(st.sampled_from(NEWS), max_size=4).flatmap(lambda more: st.permutations([*NEWS, *more])))
async def test_in_whatever_order_it_is_told_it_comes_to_the_same(desk: CallDesk, order: Sequence[str]) -> None:
    desk._told += 1
    sid = f"CA{desk._told:032x}"
    await desk.begins(sid, "3", "2")
    for news in order:
        await told(desk, sid, news)
    found = await came_to(desk, sid)
    # That it could not be written down stands in the history too, where it was said first.
    assert found.pop("written") in (1, 2)
    assert found == AT_LAST


async def test_what_staff_decided_is_kept_and_the_history_says_why(desk: CallDesk) -> None:
    sid = "CA" + "1" * 32
    await desk.begins(sid, "3", "2")
    await told(desk, sid, "action")
    ticket_id = (await desk.call(sid)).ticket_id
    assert (await desk.ticket(ticket_id)).class_ is None
    now = desk.clock()
    await desk.do(lambda conn: desk_fields.set_class(conn, desk.ctx, ticket_id, actor="agent:olena", now=now, class_=6))
    await told(desk, sid, "transcribed")
    ticket = await desk.ticket(ticket_id)
    assert (ticket.class_, "printer" in ticket.tags) == (6, False)
    (file,) = await desk.files(ticket_id)
    assert file.transcript == TEXT
    (event,) = [event for event in await desk.events(ticket_id) if event.kind == "transcript"]
    assert event.data["kept"] == "agent:olena has decided about the class"


async def test_the_transcript_of_an_urgent_call_is_routed_with_the_choice_as_a_hint(desk: CallDesk) -> None:
    sid = "CA" + "2" * 32
    await desk.begins(sid, "3", "1")
    await desk.tell(sid, "main", 3, **about("RE9"), RecordingDuration="9")
    ticket_id = (await desk.call(sid)).ticket_id
    ticket = await desk.ticket(ticket_id)
    assert (ticket.class_, ticket.proposed_class, ticket.subject) == (None, 3, "Call: everything has stopped")
    assert "chosen:urgent" in [reason["cause"] for reason in ticket.because]
    written = {**about("RE9"), "TranscriptionSid": "TR1", "TranscriptionStatus": "completed"}
    await desk.tell(sid, "transcribed", **written, TranscriptionText="Hello, it is me again")
    again = await desk.ticket(ticket_id)
    assert (again.class_, again.proposed_class) == (None, 3)
    assert "chosen:urgent" in [reason["cause"] for reason in again.because]


async def test_a_transcript_of_a_recording_without_an_address_is_a_note(desk: CallDesk) -> None:
    sid = "CA" + "3" * 32
    await desk.begins(sid, "3", "2")
    written = {"RecordingSid": "RE7", "TranscriptionSid": "TR1", "TranscriptionStatus": "completed"}
    for _ in range(2):
        await desk.tell(sid, "transcribed", **written, TranscriptionText=TEXT)
    ticket_id = (await desk.call(sid)).ticket_id
    assert await desk.files(ticket_id) == []
    notes = [row.text for row in await desk.messages(ticket_id) if row.direction == "note"]
    assert notes == [f"[voice message in writing] {TEXT}"]
    assert await desk.count(schema.ticket) == 1
