"""Requests about calls that nobody would write by hand, in front of a whole gateway: no error, no way into a call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest

from channels.twilio.signature import fields_of
from channels.voice.webhook import REPEATED
from gateway.demo.twilio_api.answers import Answer, read_answer
from gateway.demo.twilio_api.network import exchange
from gateway.demo.twilio_api.signing import encoded, signature, signed_form
from gateway.demo.twilio_api.twiml_grammar import faults
from tests.gateway.test_calls_story import Caller, called, caller, outcomes, reports, words
from tests.mailboxes.desk import Running
from tests.twilio.provider import ANNA, ANSWERED, LONG, OURS, SID, TOKEN

FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}


def fields(call: str = "CA" + "7" * 32, **more: str) -> list[tuple[str, str]]:
    told = {"CallSid": call, "AccountSid": SID, "From": ANNA, "To": OURS, "CallStatus": "in-progress", **more}
    return list(told.items())


def signed(url: str, body: bytes) -> dict[str, str]:
    """Over what the bytes come to, letter by letter."""
    return {**FORM, "X-Twilio-Signature": signature(TOKEN, url, list(fields_of(body)))}


async def _read(reader: asyncio.StreamReader) -> Answer | None:
    return await read_answer(reader, 1024 * 1024)


async def answer(url: str, body: bytes, headers: dict[str, str], method: str = "POST") -> tuple[int, bytes]:
    """To the address as it stands here, letter by letter; 0: it was cut off."""
    try:
        async with asyncio.timeout(ANSWERED):
            said = await exchange(url, body, headers, read=_read, method=method)
    except ConnectionError:
        return 0, b""
    return (0, b"") if said is None else (said.status, said.content)


@asynccontextmanager
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Running, str]]:
    async with called(tmp_path / "var", monkeypatch) as gateway:
        yield gateway, caller(gateway).base


USUAL = encoded(fields())
ODD: tuple[tuple[str, bytes], ...] = (
    ("?s=1", USUAL + b"&Digits=%00%001"),
    ("?s=1", USUAL + b"&Digits=%FF%FE"),
    ("?s=1", USUAL + "&Digits=１２".encode()),
    ("?s=1", USUAL + b"&Digits=" + b"1" * 5000),
    ("?s=1", USUAL + b"&Digits=1&Digits=2&Digits="),
    ("?s=1", USUAL + b"&RecordingSid=" + b"R" * 3000 + b"&RecordingDuration=99999999999"),
    ("?s=1", USUAL + b"&RecordingSid=%00&RecordingUrl=javascript:1&RecordingDuration=-1&Digits=hangup"),
    ("?s=1", USUAL + b"&DialCallStatus=%F0%9F%98%80&DialCallDuration=x"),
    ("?s=%00", USUAL),
    ("?s=99999", USUAL),
    ("?s=-1", USUAL),
    ("?s=1&s=2", USUAL),
    ("?s=&&=&%", USUAL),
    ("", b"CallSid=&From=&To="),
    ("", b"CallSid=%00&From=%00&To=%00&CallStatus="),
    ("", b"From=" + b"9" * 9000 + b"&CallSid=CA1"),
    ("", encoded(fields("CA8", CallerName="\x00\x1b[31m\u202eКоваль\ud83d".encode("utf-8", "replace").decode()))),
    ("", encoded(fields("CA9", From="sip:anna@client.example", ErrorUrl="http://[::1", ErrorCode="11200"))),
    ("/recorded", b"CallSid=CA5&RecordingSid=RE5&RecordingStatus=completed&RecordingUrl=%00" + b"x" * 2000),
    ("/recorded", b"CallSid=CA5&RecordingStatus=completed"),
    ("/status", b"CallSid=CA6&CallStatus=completed&CallDuration=-5&From=%FF"),
    ("/status", b"CallSid=CA6&CallStatus=%00"),
    ("", b""),
    ("", b"&&&=&%zz"),
)


@pytest.mark.timeout(LONG)
async def test_malformed_forms_with_a_good_signature_are_answered_and_do_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path, monkeypatch) as (gateway, base):
        for below, body in ODD:
            url = base + below
            status, said = await answer(url, body, signed(url, body))
            assert status in (200, 204), (below, body[:200], status)
            assert status == 204 or faults(said) == [], (below, body[:200], said)
            # And without one it is nobody's.
            assert (await answer(url, body + b"&More=1", signed(url, body)))[0] == 403
        await gateway.until(lambda: not gateway.store.rows("SELECT 1 FROM entry WHERE state = 'pending'"), "the filing")
        assert gateway.store.one("SELECT count(*) FROM entry WHERE state = 'quarantined'") == 0
        anna = caller(gateway)
        assert (await anna.speaks(await reports(anna), "RE1", "")).find("Gather") is not None
        names = [str(row[0]) for row in gateway.store.rows("SELECT text FROM message")]
        assert names
        assert "\x00" not in "".join(names)


@pytest.mark.timeout(LONG)
async def test_ten_copies_at_once_of_each_request_are_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk(tmp_path, monkeypatch) as (gateway, base):
        anna = caller(gateway)
        told = {"RecordingSid": "RE1", "RecordingUrl": "", "RecordingDuration": "20"}
        steps: tuple[tuple[str, dict[str, str]], ...] = (
            ("", {}), ("?s=1", {"Digits": "1"}), ("?s=2", {"Digits": "2"}), ("?s=3", told), ("?s=4", {"Digits": "1"}),
        )  # fmt: skip
        for below, more in steps:
            heard = await asyncio.gather(*(anna.goes_on(base + below, **more) for _ in range(10)))
            assert len({words(one) for one in heard}) == 1, below
        await asyncio.gather(*(anna.recorded("RE1", "") for _ in range(10)), *(anna.ends() for _ in range(10)))
        await gateway.until(lambda: outcomes(gateway) == ["ticket"], "the end")
        await gateway.tickets(1)
        assert gateway.store.one("SELECT count(*) FROM call_step") == len(steps)
        assert gateway.store.one("SELECT count(*) FROM message WHERE direction = 'in'") == 1


@pytest.mark.timeout(LONG)
async def test_other_addresses_and_big_bodies_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path, monkeypatch) as (gateway, base):
        body, headers = signed_form(TOKEN, base, fields())
        for below, method, wanted in (
            ("/unknown", "POST", {404}), ("/status/x", "POST", {404}), ("/../../sms/main", "POST", {404, 405}),
            ("", "GET", {404, 405}), ("", "PUT", {404, 405}), ("/status", "GET", {404, 405}),
        ):  # fmt: skip
            assert (await answer(base + below, body, headers, method))[0] in wanted, below
        # A redirect would be followed by a GET that has lost what was pressed (trap 15).
        assert (await answer(base + "/", body, headers))[0] in (200, 403, 404)
        other = base.replace("/main", "/another")
        assert (await answer(other, *signed_form(TOKEN, other, fields())))[0] == 404
        big = b"x" * 12_000_000
        for url in (base, f"{base}/recorded", f"{base}/status"):
            # It may be cut off before all of it is sent.
            assert (await answer(url, big, FORM))[0] in (413, 0)
        assert (await answer(base, body, headers))[0] == 200
        assert gateway.store.entries() == 1


@pytest.mark.timeout(LONG)
async def test_no_signature_that_is_odd_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk(tmp_path, monkeypatch) as (gateway, base):
        body, good = signed_form(TOKEN, base, fields())
        empty = f"{base}?bodySHA256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        tries = (
            (base, {**FORM}),
            (base, {**FORM, "X-Twilio-Signature": ""}),
            (base, {**FORM, "X-Twilio-Signature": "ключ".encode().decode("latin-1")}),
            (base, {**good, "X-Twilio-Webhooks-Signature-Settings": "key=x,algorithm=HMAC_MD5"}),
            (base, {**FORM, "X-Twilio-Signature": signature("", base, fields())}),
            (base + "?s=1", good),
            (empty, {**FORM, "X-Twilio-Signature": signature(TOKEN, empty, [])}),
            (base, {"Content-Type": "application/json", "X-Twilio-Signature": good["X-Twilio-Signature"]}),
        )
        for url, headers in tries:
            assert (await answer(url, body, headers))[0] == 403, (url, headers)
        assert gateway.store.entries() == 0
        assert (await answer(base, body, good))[0] == 200


@pytest.mark.timeout(LONG)
async def test_a_hundred_callers_at_once_are_never_told_to_come_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429 is a lost call (trap 16)."""
    async with desk(tmp_path, monkeypatch) as (gateway, _):
        people = [caller(gateway, sid=f"CA{number:032d}", number=f"+38067{number:07}") for number in range(100)]
        heard = await asyncio.gather(*(one.begins() for one in people))
        assert all(one.find("Gather") is not None or one.find("Record") is not None for one in heard)
        await gateway.until(lambda: gateway.store.one("SELECT count(*) FROM call") == 100, "the calls")


# -- the other address ----------------------------------------------------------------------


async def failing(anna: Caller, at: str) -> Element:
    """What the address for failures answers when that of ours did not."""
    return await anna.goes_on(anna.base, ErrorCode="11200", ErrorUrl=f"{anna.base}{at}")


@pytest.mark.timeout(LONG)
async def test_the_other_address_goes_on_where_the_call_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk(tmp_path, monkeypatch) as (gateway, _):
        anna = caller(gateway)
        language = await failing(anna, "")
        assert [one.tag for one in language] == ["Gather", "Redirect"]
        menu = await anna.goes_on(f"{anna.base}?s=1", Digits="1")
        # Committed, and its answer got lost: the same answer.
        again = await failing(anna, "?s=1")
        assert words(again) == words(menu)
        assert again.find("Gather").attrib["action"] == f"{anna.base}?s=2{REPEATED}"
        # It never came to us: the keys are lost, so it is asked again, and the call goes on from there.
        asked = await failing(anna, "?s=2")
        assert "натисніть 1" in words(asked)
        record = await anna.presses(asked, "2")
        assert record.find("Record") is not None
        # Of the recording the other address knows nothing; who tells of it beside opens the ticket.
        await anna.recorded("RE1", "")
        heard = await failing(anna, "?s=4")
        assert heard.find("Record") is not None
        heard = await anna.speaks(heard, "RE2", "")
        assert heard.find("Gather") is not None
        await anna.ends()
        await gateway.tickets(1)
        assert gateway.store.one("SELECT count(*) FROM call_recording") == 2
        await gateway.until(lambda: outcomes(gateway) == ["ticket"], "the end")


@pytest.mark.timeout(LONG)
async def test_an_address_that_is_none_of_ours_leads_to_what_was_said_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path, monkeypatch) as (gateway, base):
        anna = caller(gateway)
        menu = await anna.presses(await anna.begins(), "1")
        first = gateway.store.rows("SELECT step FROM call")
        for wrong in ("https://evil.example/channels/voice/main?s=2", f"{base}/status?s=2", "?s=2", "http://[::1"):
            body, headers = signed_form(TOKEN, base, fields(anna.sid, ErrorCode="11200", ErrorUrl=wrong))
            status, said = await answer(base, body, headers)
            assert status == 200
            # It names no step of ours, so what was said last is said again.
            again = fromstring(said).findtext("Redirect")
            assert again == f"{base}?s=1{REPEATED}", wrong
            assert words(await anna.goes_on(again)) == words(menu)
        assert gateway.store.rows("SELECT step FROM call") == first
