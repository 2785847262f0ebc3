"""A whole gateway that is called: keys, recordings, kills and repeats; one ticket for a call, whatever happens."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import aiohttp
import pytest
from aiohttp import web

from channels.contract import Unavailable
from gateway import call_answers
from gateway.demo.twilio_api.signing import signed_form
from gateway.demo.twilio_api.twiml_grammar import faults
from gateway.store.failpoints import CALLING
from normalizer.call import Act, Collect, Connect, HangUp, Line, Record, Speak
from tests.mailboxes.desk import ROOT, Running, child, running, until
from tests.twilio.provider import ANNA, HELD, OURS, ROOM, SID, TOKEN

OTHER, DESK = "+380670000002", "+380440000009"
LISTEN = "[голосовое сообщение, 0:20]"
TWILIO_CHILD = Path(__file__).parents[1] / "twilio" / "child.py"


@dataclass
class Caller:
    """Somebody who calls, as Twilio tells of it."""

    base: str
    sid: str = "CA" + "1" * 32
    number: str = ANNA
    said: list[str] = field(default_factory=list)

    async def post(self, url: str, token: str = TOKEN, **more: str) -> tuple[int, Element | None]:
        url = url.partition("#")[0]
        fields = {
            "CallSid": self.sid, "AccountSid": SID, "From": self.number, "To": OURS, "CallStatus": "in-progress",
            "Direction": "inbound", "ApiVersion": "2010-04-01", **more,
        }  # fmt: skip
        body, headers = signed_form(token, url, list(fields.items()))
        async with aiohttp.ClientSession() as http, http.post(url, data=body, headers=headers) as answer:
            text = await answer.read()
            if answer.status != 200:
                return answer.status, None
            assert faults(text) == []
            return 200, fromstring(text)

    async def begins(self) -> Element:
        return await self.goes_on(self.base)

    async def goes_on(self, url: str, **more: str) -> Element:
        status, heard = await self.post(url, **more)
        assert status == 200
        assert heard is not None
        return heard

    async def presses(self, heard: Element, digits: str) -> Element:
        gather = heard.find("Gather")
        assert gather is not None, words(heard)
        return await self.goes_on(gather.attrib["action"], Digits=digits)

    async def speaks(self, heard: Element, recording: str, url: str, **more: str) -> Element:
        record = heard.find("Record")
        assert record is not None, words(heard)
        told = {"RecordingSid": recording, "RecordingUrl": url, "RecordingDuration": "20", **more}
        return await self.goes_on(record.attrib["action"], **told)

    async def ends(self, seconds: int = 60) -> None:
        assert (await self.post(f"{self.base}/status", CallStatus="completed", CallDuration=str(seconds)))[0] == 204

    async def recorded(self, recording: str, url: str, **more: str) -> None:
        told = {"RecordingSid": recording, "RecordingUrl": url, "RecordingDuration": "20"}
        status, _ = await self.post(f"{self.base}/recorded", **told, RecordingStatus="completed", **more)
        assert status == 204


def words(heard: Element) -> str:
    return " ".join(said.text or "" for said in heard.iter("Say"))


@asynccontextmanager
async def recordings() -> AsyncIterator[tuple[str, list[str]]]:
    """The provider's host of recordings: each is there from the second time on that it is asked for."""
    asked: list[str] = []

    async def give(request: web.Request) -> web.Response:
        asked.append(request.path)
        if asked.count(request.path) < 2 or not request.headers.get("Authorization"):
            return web.Response(status=404)
        return web.Response(body=b"ID3" + b"\0" * 200, content_type="audio/mpeg")

    site = web.Application()
    site.add_routes([web.get("/{path:.*}", give)])
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    try:
        place = web.TCPSite(runner, "127.0.0.1", 0)
        await place.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}", asked
    finally:
        await runner.cleanup()


def overrides(api: str = "https://api.twilio.com", **account: Any) -> tuple[str, ...]:
    said = {
        "account_sid": SID, "auth_token": "env:TWILIO_TOKEN", "numbers": [OURS], "language": "ru", "api_url": api,
        "timeout": "50s", "reconcile": "0s", **account,
    }  # fmt: skip
    return ("smtp.port=0", "http.port=0", ROOM, f"channels.voice.main={json.dumps(said)}", "media.backoff=1s")


@asynccontextmanager
async def called(var: Path, monkeypatch: pytest.MonkeyPatch, *more: str, **account: Any) -> AsyncIterator[Running]:
    monkeypatch.setenv("TWILIO_TOKEN", TOKEN)
    # A machine that is busy with other tests is not what is tested.
    monkeypatch.setattr("gateway.calls.WITHIN", HELD)
    async with running(var, (*overrides(**account), *more)) as gateway:
        yield gateway


def caller(gateway: Running, **more: str) -> Caller:
    return Caller(f"http://{gateway.listening['http']}/channels/voice/main", **more)


def outcomes(gateway: Running) -> list[str]:
    return [row[0] for row in gateway.store.rows("SELECT outcome FROM call ORDER BY id")]


async def reports(anna: Caller) -> Element:
    """Up to the tone: Ukrainian, a problem."""
    heard = await anna.begins()
    assert heard.find("Gather") is not None
    heard = await anna.presses(heard, "1")
    return await anna.presses(heard, "2")


async def test_a_problem_is_recorded_and_its_ticket_has_the_recording_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with recordings() as (api, asked), called(tmp_path / "var", monkeypatch, api=api) as gateway:
        anna, url = caller(gateway), f"{api}/2010-04-01/Accounts/{SID}/Recordings/RE{'2' * 32}"
        heard = await reports(anna)
        await anna.recorded("RE2", url)
        heard = await anna.speaks(heard, "RE2", url)
        number = str(gateway.store.one("SELECT number FROM ticket"))
        told = " ".join(re.findall(r"[0-9]", words(heard)))
        assert told.replace(" ", "").count(number) == 2
        again = await anna.goes_on(f"{anna.base}?s=3", RecordingSid="RE2", RecordingUrl=url)
        assert words(again) == words(heard)
        heard = await anna.presses(heard, "1")
        assert heard.find("Hangup") is not None
        for _ in range(2):
            await anna.ends()
            await anna.recorded("RE2", url)
        await gateway.until(
            lambda: gateway.store.rows("SELECT 1 FROM attachment WHERE state = 'here'"), "the recording"
        )
        await gateway.tickets(1)
        assert outcomes(gateway) == ["ticket"]
        assert gateway.store.one("SELECT count(*) FROM attachment") == 1
        assert gateway.store.one("SELECT seconds FROM call") == 60
        assert len(asked) == 2
        assert asked[0].endswith(".mp3")
        notes = gateway.store.rows("SELECT text FROM message WHERE kind = 'note'")
        assert notes == [(f"[перезвонить: {ANNA}]",)]
        assert gateway.store.one("SELECT language FROM contact") == "uk"


async def test_a_call_in_which_nothing_was_said_leaves_its_reason_and_by_policy_a_ticket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with called(tmp_path / "var", monkeypatch) as gateway:
        anna = caller(gateway)
        await anna.begins()
        await anna.ends()
        boris = caller(gateway, sid="CA" + "2" * 32, number=OTHER)
        await boris.presses(await boris.presses(await boris.begins(), "1"), "2")
        await boris.ends()
        await gateway.until(lambda: outcomes(gateway) == ["silent", "unfinished"], "two reasons")
        await gateway.tickets(1)
        assert gateway.store.one("SELECT requester FROM ticket") == OTHER


async def test_hidden_callers_are_never_one_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with called(tmp_path / "var", monkeypatch) as gateway:
        for count, number in enumerate(("+266696687", "anonymous", "+266696687", "")):
            somebody = caller(gateway, sid=f"CA{count:032d}", number=number)
            await somebody.speaks(await reports(somebody), f"RE{count}", "")
            await somebody.ends()
        await gateway.tickets(4)
        assert gateway.store.one("SELECT count(DISTINCT requester_id) FROM ticket") == 4


async def test_what_is_not_signed_or_out_of_turn_or_another_callers_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with called(tmp_path / "var", monkeypatch) as gateway:
        anna = caller(gateway)
        menu = await anna.presses(await anna.begins(), "1")
        state = gateway.store.one("SELECT state FROM call")
        assert (await anna.post(f"{anna.base}?s=2", token="wrong", Digits="2"))[0] == 403
        thief = caller(gateway, number=OTHER)
        for wrong in ("?s=2", "?s=1", "?s=7", "?s=x"):
            heard = await thief.goes_on(f"{anna.base}{wrong}", Digits="2")
            assert [one.tag for one in heard] == ["Hangup"]
        heard = await caller(gateway, sid="CA" + "9" * 32).goes_on(f"{anna.base}?s=2", Digits="2")
        assert [one.tag for one in heard] == ["Hangup"]
        assert gateway.store.one("SELECT state FROM call ORDER BY id") == state
        assert (await anna.presses(menu, "2")).find("Record") is not None


async def test_a_ticket_is_heard_of_by_its_number_from_the_callers_own_number_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with called(tmp_path / "var", monkeypatch) as gateway:
        anna = caller(gateway)
        await anna.speaks(await reports(anna), "RE1", "")
        await anna.ends()
        number = str(gateway.store.one("SELECT number FROM ticket"))
        for sid, who, knows in (("3", ANNA, True), ("4", OTHER, False), ("5", "anonymous", False)):
            one = caller(gateway, sid="CA" + sid * 32, number=who)
            heard = await one.begins()
            heard = heard if who == ANNA else await one.presses(heard, "1")
            heard = await one.presses(await one.presses(heard, "3"), number)
            assert (heard.find("Hangup") is not None) == knows
            await one.ends()
        wanted = ["ticket", "no_ticket_needed", "unfinished", "unfinished"]
        await gateway.until(lambda: outcomes(gateway) == wanted, "what each left behind")


@pytest.mark.parametrize("point", CALLING)
async def test_after_a_kill_in_mid_call_the_caller_goes_on_and_there_is_one_ticket(
    point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    var = tmp_path / "var"
    async with called(var, monkeypatch) as gateway:
        anna = caller(gateway)
        await anna.presses(await anna.begins(), "1")
    async with child(var, overrides(), point, script=TWILIO_CHILD) as process:
        http = await until(lambda: listening(var), "the start")
        anna.base = f"http://{http}/channels/voice/main"
        with pytest.raises((aiohttp.ClientError, OSError)):
            await anna.goes_on(f"{anna.base}?s=2", Digits="2")
        assert await asyncio.wait_for(process.wait(), 120) == -signal.SIGKILL
    async with called(var, monkeypatch) as gateway:
        anna.base = caller(gateway).base
        heard = await anna.goes_on(f"{anna.base}?s=2", Digits="2")
        heard = await anna.speaks(heard, "RE1", "")
        assert heard.find("Gather") is not None
        await anna.ends()
        await gateway.tickets(1)
        assert outcomes(gateway) == ["ticket"]
        assert gateway.store.one("SELECT count(*) FROM call_step") == 4


def listening(var: Path) -> str:
    try:
        return str(json.loads((var / "listening.json").read_text(encoding="utf-8"))["http"])
    except (OSError, ValueError):
        return ""


async def test_who_cannot_be_answered_in_time_is_recorded_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with called(tmp_path / "var", monkeypatch) as gateway:
        anna = caller(gateway)
        heard = await anna.presses(await anna.begins(), "1")
        monkeypatch.setattr("gateway.calls.answered", _broken)
        heard = await anna.presses(heard, "3")
        assert heard.find("Record") is not None
        assert words(heard)
        monkeypatch.setattr("gateway.calls.answered", _faulty)
        silent = await caller(gateway, sid="CA" + "8" * 32).begins()
        assert silent.find("Record") is not None
        async with aiohttp.ClientSession() as http, http.get(f"{anna.base.partition('/channels')[0]}/metrics") as shown:
            told = await shown.text()
        assert all(f'gateway_calls_unanswered_total{{reason="{reason}"}} 1.0' in told for reason in ("ours", "fault"))
        monkeypatch.undo()
        monkeypatch.setenv("TWILIO_TOKEN", TOKEN)
        heard = await anna.speaks(heard, "RE1", "")
        assert heard.find("Gather") is not None
        await gateway.tickets(1)
        assert gateway.store.one("SELECT count(*) FROM call_recording") == 1


def _faulty(*_: object) -> None:
    raise KeyError("a text that is not there")


def _broken(*_: object) -> None:
    raise Unavailable("the database is locked")


def test_what_a_caller_was_answered_is_kept_whole() -> None:
    lines = (Line(language="uk", words="Вітаємо"),)
    acts: tuple[Act, ...] = (
        Speak(lines=lines), Collect(lines=lines, most=9), Record(lines=lines), Connect(lines=lines, number=ANNA),
        HangUp(lines=lines),
    )  # fmt: skip
    for act in acts:
        assert call_answers.from_json(json.loads(json.dumps(call_answers.as_json(act)))) == act


async def test_who_is_put_through_has_a_ticket_and_policy_makes_one_of_a_missed_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "ivr.yaml").write_text(
        f'people: ["{DESK}"]\nmissed: ticket\nlanguages: [uk]\n', encoding="utf-8"
    )
    hours = tmp_path / "config" / "calendars.yaml"
    # Whenever this runs, the desk is open.
    hours.write_text(
        hours.read_text(encoding="utf-8").replace("default: weekdays", "default: always"), encoding="utf-8"
    )
    monkeypatch.setattr("tests.mailboxes.desk.ROOT", tmp_path)
    async with called(tmp_path / "var", monkeypatch) as gateway:
        anna = caller(gateway)
        heard = await anna.presses(await anna.begins(), "1")
        dial = heard.find("Dial")
        assert dial is not None and dial.findtext("Number") == DESK
        told = {"DialCallStatus": "completed", "DialCallDuration": "65"}
        for _ in range(2):
            assert (await anna.goes_on(dial.attrib["action"], **told)).find("Hangup") is not None
        await anna.ends(80)
        boris = caller(gateway, sid="CA" + "2" * 32, number=OTHER)
        await boris.begins()
        await boris.ends()
        await gateway.until(lambda: outcomes(gateway) == ["put_through", "ticket"], "two tickets")
        await gateway.tickets(2)
        assert f"соединён с {DESK}, 1:05" in gateway.store.one("SELECT text FROM message ORDER BY id")
        assert "put-through" in json.loads(gateway.store.one("SELECT tags FROM ticket ORDER BY id"))


async def test_who_asks_about_a_solved_ticket_may_rate_it_and_who_called_is_told_by_text_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    var = tmp_path / "var"
    text = {"account_sid": SID, "auth_token": "env:TWILIO_TOKEN", "numbers": [OURS], "reconcile": "0s"}
    sms = f"channels.sms.main={json.dumps({**text, 'outbound': 'capture'})}"
    async with called(var, monkeypatch, sms, "outbox.chat_acknowledgement_delay=0s", "outbox.debounce=0s") as gateway:
        anna = caller(gateway)
        await anna.speaks(await reports(anna), "RE1", "")
        await anna.ends()
        number = str(gateway.store.one("SELECT number FROM ticket"))
        told = "SELECT 1 FROM outbox WHERE channel = 'sms' AND recipient = ? AND state = 'captured'"
        await gateway.until(lambda: gateway.store.rows(told, ANNA), "the text message")
        allowed = {"Authorization": f"Bearer {(var / 'token').read_text().strip()}"}
        url = f"http://{gateway.listening['http']}/api/v1/tickets/{number}/resolve"
        async with (
            aiohttp.ClientSession(headers=allowed) as http,
            http.post(url, json={"result": "полагоджено"}) as done,
        ):
            assert done.status < 300
        again = caller(gateway, sid="CA" + "3" * 32)
        heard = await again.presses(await again.presses(await again.begins(), "3"), number)
        assert heard.find("Gather") is not None
        heard = await again.presses(heard, "2")
        heard = await again.goes_on(heard.findtext("Redirect") or "")
        await again.speaks(heard, "RE7", "")
        await again.ends()
        await gateway.until(lambda: outcomes(gateway) == ["ticket", "no_ticket_needed"], "both")
        assert gateway.store.rows("SELECT score, comment FROM rating WHERE current") == [
            (2, "[голосовое сообщение, 0:20]")
        ]
        await gateway.tickets(1)


async def test_copies_of_a_request_at_once_are_one_step_on_postgresql_too(
    pg_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text("k" * 64, encoding="ascii")
    more = (f"database.url={pg_url}", f"secret_key=file:{key}")
    async with called(tmp_path / "var", monkeypatch, *more) as gateway:
        anna = caller(gateway)
        heard = await asyncio.gather(*(anna.begins() for _ in range(4)))
        heard = [await anna.presses(heard[0], "1")]
        record = await anna.presses(heard[0], "2")
        told = await asyncio.gather(*(anna.speaks(record, "RE1", "") for _ in range(4)), anna.recorded("RE1", ""))
        assert {words(each) for each in told if each is not None} == {words(told[0])}
        await anna.ends()
        await gateway.tickets(1)
        assert gateway.store.one("SELECT count(*) FROM call_step") == 4
        assert gateway.store.one("SELECT count(*) FROM call_recording") == 1
