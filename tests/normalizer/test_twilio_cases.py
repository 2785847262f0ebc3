"""Every request in `cases/twilio/` is read as its expectation says. A bug is first a file there, then a fix."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.explain import explain, format_of, raw_of
from normalizer.message import Consent, Message, SendStatus, SpooledBody
from normalizer.normalize import normalize
from normalizer.short_answers import FAR_SIDES, OURS
from normalizer.twilio_codes import VERDICTS
from tests.normalizer.telegram_cases import AT
from tests.normalizer.twilio_cases import CASES, NAMES, read, read_case, wanted

SID = "SM" + "0" * 32
ANNA, DESK = "+380670000001", "+380440000001"


def form(**fields: str) -> bytes:
    return urlencode({"MessageSid": SID, "From": ANNA, "To": DESK, "NumMedia": "0", "Body": "", **fields}).encode()


@pytest.mark.parametrize("name", NAMES)
def test_case(name: str) -> None:
    assert read_case(name) == wanted(name)["event"]


def test_there_are_cases_and_each_has_its_expectation() -> None:
    assert len(NAMES) > 110
    assert {path.stem for path in CASES.glob("*.json")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_gateway_explain_shows_each(name: str) -> None:
    body = (CASES / f"{name}.form").read_bytes()
    shown, _ = explain(raw_of(format_of(body), body, received_at=AT), source=name)
    json.dumps(shown)


def test_what_a_file_is_is_seen() -> None:
    assert format_of(form(Body="x")) == "twilio_message/1"
    assert format_of((CASES / "status_delivered.form").read_bytes()) == "twilio_status/1"
    assert format_of(b"From: anna@client.example\r\n\r\nMessageSid=" + SID.encode()) == "mail/1"


@pytest.mark.parametrize(
    "word", sorted({word for table in (FAR_SIDES, OURS) for some in table.values() for word in some})
)
def test_a_word_counts_alone_in_any_case_and_never_within_a_sentence(word: str) -> None:
    for text in (word, word.upper(), f"  {word.capitalize()}. ", f"«{word}»!"):
        assert isinstance(read(form(Body=text)), Consent), text
    for text in (f"{word} не работает", f"нажимаю {word}", f"{word}\nи ещё"):
        assert isinstance(read(form(Body=text)), Message), text


@pytest.mark.parametrize("code", sorted(VERDICTS))
def test_every_code_has_a_verdict_beside_a_failure_only(code: str) -> None:
    failed = read(form(MessageStatus="undelivered", ErrorCode=code), report=True)
    assert isinstance(failed, SendStatus)
    assert (failed.verdict, failed.code) == (VERDICTS[code][0], code)
    arrived = read(form(MessageStatus="delivered", ErrorCode=code), report=True)
    assert isinstance(arrived, SendStatus)
    assert (arrived.verdict, arrived.code, arrived.detail) == ("", "", "")


def test_twenty_thousand_fields_are_read_as_far_as_fields_go() -> None:
    body = form(Body="Сервер лежит") + b"".join(b"&x%d=%d" % (number, number) for number in range(20_000))
    event = read(body)
    assert isinstance(event, Message)
    assert (event.text, "limit:fields" in event.oddities) == ("Сервер лежит", True)


def test_a_text_of_a_megabyte_is_a_text() -> None:
    event = read(form(Body="Ы" * 1_000_000))
    assert isinstance(event, Message)
    assert len(event.text) == 1_000_000


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b'{"Body":' + b"9" * 1_000_000 + b"}", b"\x00", b'"x"']
)
def test_json_that_is_none_stands_in_nobodys_way(body: bytes) -> None:
    read(body, facts={"json": True})
    read(form(FlowData=body.decode("latin-1")), channel="whatsapp")


def test_a_body_on_disk_is_no_content() -> None:
    raw = raw_of("twilio_message/1", b"", received_at=AT)
    for format_ in ("twilio_message/1", "twilio_status/1"):
        with pytest.raises(TypeError):
            normalize(replace(raw, format=format_, body=SpooledBody(path=Path("x"), size=1, sha256="")))


KNOWN = [
    "Body", "From", "To", "MessageSid", "SmsSid", "NumMedia", "MediaUrl0", "MediaContentType0", "MessageType",
    "ProfileName", "WaId", "OptOutType", "ButtonPayload", "ButtonText", "ListId", "ListTitle", "FlowData",
    "InteractiveData", "Latitude", "Longitude", "Label", "Address", "OriginalRepliedMessageSid", "Forwarded",
    "ReferralHeadline", "MessageStatus", "SmsStatus", "ErrorCode", "o",
]  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=60),
    st.sampled_from(["", "STOP", "5", "0", "10", "-1", "{}", "rate:abcdefgh:5", ANNA, SID, "true"]),
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(KNOWN), VALUES, max_size=12), st.sampled_from(["sms", "whatsapp"]), st.booleans()
)
def test_whatever_the_fields_say_something_comes_out(fields: dict[str, str], channel: str, report: bool) -> None:
    facts: dict[str, Any] = {"query": fields.get("o", ""), "numbers": [DESK]}
    event = read(urlencode(fields, errors="replace").encode(), channel=channel, facts=facts, report=report)
    if isinstance(event, Message):
        assert event.text or event.attachments
        event.text.encode()
        assert "\x00" not in event.text


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.booleans(), st.booleans())
def test_whatever_the_bytes_are_something_comes_out(body: bytes, json_: bool, report: bool) -> None:
    read(body, facts={"json": json_, "query": "o=%ff"}, report=report)
