"""Who spoke to somebody of staff was answered, whenever it is told, and whatever the call left before."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest

from gateway.client import Client
from tests.gateway.test_calls_story import DESK, called, caller, outcomes
from tests.mailboxes.desk import ROOT, Running

TALK = {"DialCallStatus": "completed", "DialCallDuration": "65"}


@asynccontextmanager
async def staffed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """A desk that is open, with one number that is rung; callers speak Ukrainian."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "ivr.yaml").write_text(f'people: ["{DESK}"]\nlanguages: [uk]\n', encoding="utf-8")
    hours = tmp_path / "config" / "calendars.yaml"
    hours.write_text(
        hours.read_text(encoding="utf-8").replace("default: weekdays", "default: always"), encoding="utf-8"
    )
    monkeypatch.setattr("tests.mailboxes.desk.ROOT", tmp_path)
    async with called(tmp_path / "var", monkeypatch) as gateway:
        yield gateway


def rings(heard: Element) -> str:
    dial = heard.find("Dial")
    assert dial is not None
    return dial.attrib["action"]


def was_answered(gateway: Running) -> None:
    assert "put-through" in json.loads(gateway.store.one("SELECT tags FROM ticket"))
    (data,) = gateway.store.rows("SELECT data FROM event WHERE kind = 'call'")
    assert json.loads(data[0])["seconds"] == 65
    notes = [row[0] for row in gateway.store.rows("SELECT text FROM message WHERE kind = 'note' ORDER BY id")]
    assert notes == [f"соединён с {DESK}, 1:05", "[разговор не записан: заявку дополняет первая линия]"]
    assert gateway.store.one("SELECT reaction_met_at IS NOT NULL FROM ticket")


async def test_a_talk_counts_although_the_end_of_the_call_was_told_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staffed(tmp_path, monkeypatch) as gateway:
        anna = caller(gateway)
        action = rings(await anna.presses(await anna.begins(), "1"))
        await anna.ends(80)
        await gateway.until(lambda: outcomes(gateway) == ["unfinished"], "the end")
        for _ in range(2):
            assert (await anna.goes_on(action, **TALK)).find("Hangup") is not None
        await gateway.tickets(1)
        assert outcomes(gateway) == ["put_through"]
        was_answered(gateway)


async def test_who_is_put_through_behind_the_tickets_number_was_answered_in_that_ticket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staffed(tmp_path, monkeypatch) as gateway:
        anna = caller(gateway)
        heard = await anna.presses(await anna.begins(), "2")
        heard = await anna.speaks(heard, "RE1", "")
        await anna.goes_on(rings(await anna.presses(heard, "0")), **TALK)
        await anna.ends(80)
        await gateway.until(lambda: outcomes(gateway) == ["put_through"], "the end")
        await gateway.tickets(1)
        was_answered(gateway)


async def test_a_mark_counts_although_the_end_of_the_call_was_told_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staffed(tmp_path, monkeypatch) as gateway:
        anna = caller(gateway)
        heard = await anna.presses(await anna.begins(), "2")
        await anna.speaks(heard, "RE1", "")
        await anna.ends()
        number = str(gateway.store.one("SELECT number FROM ticket"))
        await asyncio.to_thread(
            Client.find(tmp_path / "var").post, f"/tickets/{number}/resolve", {"result": "полагоджено"}
        )
        again = caller(gateway, sid="CA" + "3" * 32)
        heard = await again.presses(await again.presses(await again.begins(), "3"), number)
        await again.ends()
        await gateway.until(lambda: outcomes(gateway) == ["ticket", "no_ticket_needed"], "the end")
        assert (await again.presses(heard, "4")).find("Hangup") is not None
        assert gateway.store.rows("SELECT score FROM rating WHERE current") == [(4,)]
        assert outcomes(gateway) == ["ticket", "no_ticket_needed"]
