"""Signed requests that nobody would write by hand: they are Twilio's, so they are kept, and something comes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from channels.twilio.signature import fields_of
from gateway.demo.twilio_api.network import Network
from gateway.demo.twilio_api.signing import encoded, signature
from normalizer.message import Ignored, Message, SendStatus
from normalizer.normalize import normalize
from tests.twilio.provider import ANNA, OURS, SID, TOKEN, Journal, mounted, post

NETWORK = Network(account_sid=SID, token=TOKEN)
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}


def message(text: str = "Не працює") -> bytes:
    return encoded(list(NETWORK.message(text, sender=ANNA, to=OURS).items()))


def signed(url: str, body: bytes) -> dict[str, str]:
    """Over what the bytes come to, letter by letter."""
    return {**FORM, "X-Twilio-Signature": signature(TOKEN, url, list(fields_of(body)))}


@pytest.mark.parametrize(
    "body",
    [
        message().replace(b"%D0", b"%FF", 1),
        message().replace(b"%D0%9D", b"\xd0\x9d"),
        message("\x00 \x1b[31m \u202e \u200b"),
        message("a" * 1600),
        message("😀" * 800),
        message() + b"&Body=once+more&Body=",
        message() + b"&&&=&=x&%=%",
        message() + b"&" + b"&".join(b"New%d=x" % number for number in range(4000)),
        message() + b"&NumMedia=999999999999&MediaUrl0=javascript:1&MediaUrl1=" + b"x" * 9000,
        message() + b"&Latitude=NaN&Longitude=1e999",
        message() + b"&ChannelMetadata=" + b"%5B" * 20_000,
    ],
    ids=range(11),
)
async def test_odd_bytes_with_a_good_signature_are_kept_as_they_came_and_read(body: bytes, tmp_path: Path) -> None:
    journal = Journal()
    async with mounted(tmp_path, journal) as url:
        assert await post(url, body, signed(url, body)) == 200
        # A repeat with one bit changed is nobody's.
        changed = body.replace(b"Body=", b"Body=%20", 1)
        assert await post(url, changed, signed(url, body)) == 403
    assert list(journal.kept.values()) == [body]
    event = normalize(journal.raws[0])
    assert isinstance(event, Message)
    assert event.sender.address == ANNA
    event.text.encode()
    assert "\x00" not in event.text


@pytest.mark.parametrize(
    "body",
    [
        b"MessageStatus=delivered",
        b"MessageSid=SM1&MessageStatus=",
        b"MessageSid=%00&MessageStatus=x&ErrorCode=" + b"9" * 99,
        b"MessageSid=SM1&MessageStatus=delivered&RawDlrDoneDate=99&ErrorCode=-1&EventType=READ",
        b"SmsSid=SM1&SmsStatus=sent",
        b"MessageSid=" + b"S" * 5000 + b"&MessageStatus=sent",
    ],
    ids=range(6),
)
async def test_odd_reports_are_kept_and_open_nothing(body: bytes, tmp_path: Path) -> None:
    journal = Journal()
    async with mounted(tmp_path, journal) as url:
        told = f"{url}/status?o=nobody&o=%FF"
        assert await post(told, body, signed(told, body)) == 204
    assert list(journal.kept.values()) == [body]
    assert isinstance(normalize(journal.raws[0]), SendStatus | Ignored)


async def test_the_address_is_the_public_one_letter_by_letter(tmp_path: Path) -> None:
    """Behind a proxy that ends TLS scheme, host and path are others; a "?" with nothing behind it counts."""
    journal = Journal()
    async with mounted(tmp_path, journal, public_url="https://desk.example/support") as url:
        below = "/channels/sms/main"
        for number, query in enumerate(("", "?", "?a=", "?a=%D1%97&b=+", "?b=1&a=2&a=1")):
            public, body = f"https://desk.example/support{below}{query}", message(str(number))
            assert await post(url + query, body, signed(public, body)) == 200, query
            assert await post(url + query, body, signed(url + query, body)) == 403, query
    assert len(journal.kept) == 5


async def test_a_captured_request_counts_once_for_ever(tmp_path: Path) -> None:
    journal = Journal()
    async with mounted(tmp_path, journal) as url:
        body = message("Перехоплено")
        captured = signed(url, body)
        for token in ("", "a", "b"):
            assert await post(url, body, {**captured, "I-Twilio-Idempotency-Token": token}) == 200
        # What was signed for one address is no message at another one.
        assert await post(f"{url}/status", body, captured) == 403
    assert len(journal.kept) == 1
    assert len(journal.raws) == 3
