"""What calls leave behind that end in the middle, and of whose end nobody tells us; through a whole gateway."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gateway.demo.twilio_api import Call, Leave, Manner, Press, Talk, Told
from tests.twilio.call_house import House, house
from tests.twilio.provider import ANNA

BORIS, CHLOE = "+380670000002", "+380670000003"
RUSSIAN, REPORT = Press(keys="2"), Press(keys="2")
HOURS = timedelta(hours=7) // timedelta(microseconds=1)


async def test_a_call_of_whose_end_nobody_tells_is_over_after_six_hours_and_leaves_what_any_other_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, monkeypatch, status=False) as desk:
        recorded = await desk.call(RUSSIAN, REPORT, Talk(seconds=9, leaves=True), sender=ANNA)
        chose = await desk.call(RUSSIAN, REPORT, Leave(), sender=BORIS)
        await desk.call(Leave(), sender=CHLOE)
        await desk.gateway.tickets(1)
        assert [row[0] for row in desk.rows("SELECT outcome FROM call ORDER BY id")] == ["ticket", "", ""]
    async with house(tmp_path, monkeypatch, status=False) as desk:
        # Too early: a call may take four hours.
        assert [row[0] for row in desk.rows("SELECT outcome FROM call ORDER BY id")] == ["ticket", "", ""]
        desk.gateway.store.change(f"UPDATE call SET begun_at = begun_at - {HOURS}")
    async with house(tmp_path, monkeypatch, status=False) as desk:
        wanted = ["ticket", "no_end", "no_end"]
        query = "SELECT outcome FROM call ORDER BY id"
        await desk.gateway.until(lambda: [row[0] for row in desk.rows(query)] == wanted, "the end")
        await desk.gateway.tickets(2)
        left = desk.rows("SELECT requester, text FROM ticket JOIN message ON ticket_id = ticket.id ORDER BY ticket.id")
        assert [row[0] for row in left] == [ANNA, BORIS]
        assert "чем закончился, неизвестно" in left[1][1] and "выбрано: проблема или вопрос" in left[1][1]
        assert len(recorded.recordings) == 1
        await _late_end(desk, chose)
        wanted = ["ticket", "unfinished", "no_end"]
        await desk.gateway.until(lambda: [row[0] for row in desk.rows(query)] == wanted, "the late word")
        assert desk.rows("SELECT seconds FROM call WHERE ended_at IS NOT NULL") == [(77,)]
        await desk.gateway.tickets(2)


async def _late_end(desk: House, call: Call) -> None:
    fields = {**call.standard(), "CallStatus": "completed", "CallDuration": "77"}
    assert await call.web.tell(f"{desk.url}/status", tuple(fields.items()))


@pytest.mark.parametrize("told", ["before", "end", "held", "never"])
async def test_who_hangs_up_while_speaking_leaves_what_was_recorded_so_far(
    told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, monkeypatch) as desk:
        desk.manner = Manner(recorded=Told(when=told, twice=True))  # type: ignore[arg-type]
        call = await desk.call(RUSSIAN, REPORT, Talk(seconds=8, leaves=True))
        await desk.telephony.settle()
        await desk.outcomes("ticket")
        await desk.gateway.tickets(1)
        assert "[голосовое сообщение, 0:08]" in desk.one("SELECT text FROM message")
        here = "SELECT size FROM attachment WHERE state = 'here'"
        await desk.gateway.until(lambda: desk.rows(here), "the recording")
        assert len(desk.rows("SELECT 1 FROM attachment")) == len(call.recordings) == 1
        assert desk.one("SELECT subject FROM ticket") == "Звонок"
        # Fetched again while it was not there, and kept as it came.
        statuses = [status for method, _, status in desk.telephony.recordings.asked if method == "GET"]
        assert statuses[-1] == 200


async def test_what_was_chosen_and_who_calls_stand_in_a_ticket_of_a_call_that_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, monkeypatch) as desk:
        await desk.call(RUSSIAN, Press(keys="1"), Leave())
        await desk.outcomes("unfinished")
        await desk.gateway.tickets(1)
        said = desk.one("SELECT text FROM message")
        assert ANNA in said and "выбрано: всё остановилось" in said and "положена трубка" in said
        assert desk.one("SELECT subject FROM ticket") == "Звонок: всё остановилось"
        assert desk.one("SELECT proposed_class FROM ticket") == 3
        assert "chosen:urgent" in desk.one("SELECT because FROM ticket")
