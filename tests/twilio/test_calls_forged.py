"""Requests of a call that are changed on the way, caught and sent again, or asked for from the beginning."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import aiohttp
import pytest

from gateway.demo.twilio_api.signing import signed_form
from tests.gateway.test_calls_story import Caller, called, caller, outcomes, reports, words
from tests.mailboxes.desk import Running
from tests.twilio.provider import ANNA, OURS, SID, TOKEN

OVER = "SELECT count(*) FROM call WHERE ended_at IS NOT NULL"


def caught(anna: Caller, url: str, **more: str) -> tuple[str, bytes, dict[str, str]]:
    """A request as it stands on the wire."""
    fields = {"CallSid": anna.sid, "AccountSid": SID, "From": ANNA, "To": OURS, "CallStatus": "in-progress", **more}
    return url, *signed_form(TOKEN, url, list(fields.items()))


async def sent(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, Element | None]:
    async with aiohttp.ClientSession() as http, http.post(url, data=body, headers=headers) as answer:
        text = await answer.read()
        return answer.status, fromstring(text) if answer.status == 200 else None


def state(gateway: Running) -> list[tuple[object, ...]]:
    """Everything that a request could change."""
    found = gateway.store.rows("SELECT call, state, step, outcome, ticket_id, seconds FROM call ORDER BY id")
    return [*found, (gateway.store.tickets(), gateway.store.one("SELECT count(*) FROM message"))]


async def test_keys_that_were_changed_on_the_way_do_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with called(tmp_path / "var", monkeypatch) as gateway:
        anna = caller(gateway)
        menu = await anna.presses(await anna.begins(), "1")
        before = state(gateway)
        url, body, headers = caught(anna, f"{anna.base}?s=2", Digits="2")
        assert b"Digits=2" in body
        for other in (body.replace(b"Digits=2", b"Digits=1"), body.replace(b"&Digits=2", b""), body + b"&Digits=0"):
            assert (await sent(url, other, headers))[0] == 403
        for elsewhere in (f"{anna.base}?s=3", f"{anna.base}/status", f"{anna.base}/recorded", anna.base):
            assert (await sent(elsewhere, body, headers))[0] == 403
        assert state(gateway) == before
        # They are kept for whoever has to mend a wrong address, and never acted on.
        assert gateway.store.one("SELECT count(*) FROM unverified") == 7
        assert (await anna.presses(menu, "2")).find("Record") is not None


async def test_a_request_that_is_sent_again_hears_the_same_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with called(tmp_path / "var", monkeypatch) as gateway:
        anna = caller(gateway)
        await anna.presses(await anna.begins(), "1")
        first = caught(anna, f"{anna.base}?s=2", Digits="2")
        record = (await sent(*first))[1]
        assert record is not None and record.find("Record") is not None
        recorded = caught(anna, f"{anna.base}?s=3", RecordingSid="RE1", RecordingUrl="", RecordingDuration="9")
        told = (await sent(*recorded))[1]
        assert told is not None
        for ended in (False, True):
            if ended:
                await anna.ends()
                await gateway.until(lambda: gateway.store.one(OVER) == 1, "the end")
            before = state(gateway)
            for request, heard in ((first, record), (recorded, told)):
                _, again = await sent(*request)
                assert again is not None and words(again) == words(heard)
            assert state(gateway) == before
        await gateway.tickets(1)


async def test_a_known_call_that_is_asked_for_from_its_beginning_hears_its_last_answer_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with called(tmp_path / "var", monkeypatch) as gateway:
        anna = caller(gateway)
        question = await anna.begins()
        # While nothing has come since, it is the beginning itself.
        assert words(await anna.goes_on(anna.base)) == words(question)
        menu = await anna.presses(question, "1")
        before = state(gateway)
        # The address for failures, by a provider that does not say which one failed.
        led = await anna.goes_on(anna.base, ErrorCode="11200")
        assert [one.tag for one in led] == ["Redirect"]
        again = await anna.goes_on(led.findtext("Redirect") or "")
        assert words(again) == words(menu) and state(gateway) == before
        record = await anna.presses(again, "2")
        heard = await anna.speaks(record, "RE1", "")
        assert heard.find("Gather") is not None
        await anna.ends()
        await gateway.tickets(1)
        assert outcomes(gateway) == ["ticket"]


async def test_another_callers_addresses_do_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with called(tmp_path / "var", monkeypatch) as gateway:
        anna, boris = caller(gateway), caller(gateway, sid="CA" + "2" * 32, number="+380670000002")
        record = await reports(anna)
        await boris.begins()
        before = state(gateway)
        action = record.find("Record")
        assert action is not None
        for wrong in (action.attrib["action"], f"{anna.base}?s=2"):
            heard = await boris.goes_on(wrong, Digits="2")
            assert [one.tag for one in heard] == ["Hangup"]
        assert state(gateway) == before
