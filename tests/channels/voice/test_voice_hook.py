"""The webhook of calls by itself: what its documents name."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import fromstring

import aiohttp

from channels.voice.webhook import REPEATED
from gateway.demo.twilio_api.signing import signed_form
from tests.twilio.provider import ANNA, OURS, SID, Journal, mounted
from tests.twilio.provider import TOKEN as SECRET


async def test_every_address_in_a_document_is_the_public_one(tmp_path: Path) -> None:
    """Behind a proxy that ends TLS the request says another scheme, host and path."""
    journal, public = Journal(), "https://desk.example/support/channels/voice/main"
    fields = [("CallSid", "CA1"), ("AccountSid", SID), ("From", ANNA), ("To", OURS), ("CallStatus", "ringing")]
    async with mounted(tmp_path, journal, "voice", public_url="https://desk.example/support") as url:
        for query, step in (("", 1), ("?s=3", 4), ("?s=9999", 9_999), ("?s=x", 9_999)):
            body, headers = signed_form(SECRET, public + query, fields)
            async with aiohttp.ClientSession() as http, http.post(url + query, data=body, headers=headers) as answer:
                assert answer.status == 200
                record = fromstring(await answer.read()).find("Record")
            assert record is not None
            assert record.attrib["action"] == f"{public}?s={step}{REPEATED}"
            assert record.attrib["recordingStatusCallback"] == f"{public}/recorded{REPEATED}"
        body, headers = signed_form(SECRET, url, fields)
        async with aiohttp.ClientSession() as http, http.post(url, data=body, headers=headers) as answer:
            assert answer.status == 403
    assert len(journal.kept) == 4


async def test_a_failed_step_is_the_same_request_as_that_step(tmp_path: Path) -> None:
    journal = Journal()
    fields = [("CallSid", "CA1"), ("AccountSid", SID), ("From", ANNA), ("To", OURS)]
    async with mounted(tmp_path, journal, "voice") as url:
        for to, more in (
            (f"{url}?s=2", [("Digits", "1")]),
            (url, [("ErrorCode", "11200"), ("ErrorUrl", f"{url}?s=2")]),
            (url, [("ErrorCode", "11200"), ("ErrorUrl", f"{url}/?s=2")]),
            (url, [("ErrorCode", "11200"), ("ErrorUrl", url)]),
            (url, [("ErrorCode", "11200"), ("ErrorUrl", "https://evil.example/channels/voice/main?s=2")]),
            (url, []),
        ):
            body, headers = signed_form(SECRET, to, [*fields, *more])
            async with aiohttp.ClientSession() as http, http.post(to, data=body, headers=headers) as answer:
                assert answer.status == 200
    named = [raw.external_id for raw in journal.raws]
    assert named == [f"CA1:main:s=2:{ANNA}"] * 3 + [f"CA1:main::{ANNA}"] * 3
    assert [raw.facts.get("query") for raw in journal.raws] == ["s=2"] * 3 + [None] * 3
