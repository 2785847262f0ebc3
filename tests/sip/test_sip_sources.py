"""Where a call came from, whatever the INVITE looks like: whoever sends one of a call is known as its source."""

from __future__ import annotations

import logging

import pytest

from channels.voice.sip.phone import Sources

pytestmark = pytest.mark.timeout(120)
PEER, THIEF = "192.0.2.1", "203.0.113.9"


def invite(host: str, *, begin: str = "", call_id: str = "Call-ID: a@pbx.example") -> logging.LogRecord:
    text = (
        f"{begin}INVITE sip:101@192.0.2.10 SIP/2.0\r\nFrom: <sip:1@x.example>\r\n{call_id}\r\nTo: <sip:2@y>\r\n\r\ni: z"
    )
    message = f"RX udp {host}:5060 -> 192.0.2.10:5060\n{text}"
    return logging.LogRecord("baresip.native.sip", logging.DEBUG, "x", 1, message, None, None)


@pytest.mark.parametrize(
    "form",
    [{}, {"begin": "\r\n\r\n"}, {"call_id": "Call-ID:\r\n a@pbx.example"}, {"call_id": "i\t:\r\n\ta@pbx.example"}],
)
async def test_whoever_sends_an_invite_of_a_known_call_is_one_of_its_sources(form: dict[str, str]) -> None:
    sources = Sources()
    sources.emit(invite(PEER))
    sources.emit(invite(THIEF, **form))
    assert await sources.of("a@pbx.example") == {PEER, THIEF}


async def test_what_stands_in_a_body_or_in_another_request_is_no_source() -> None:
    sources = Sources()
    sources.emit(invite(PEER))
    record = invite(THIEF)
    record.msg = record.msg.replace("INVITE ", "BYE ")
    sources.emit(record)
    assert await sources.of("a@pbx.example") == {PEER}
