"""kannel/1 and kannel_report/1: what calls mean; no bytes raise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.explain import raw_of
from normalizer.kannel_report import CODES, STATS
from normalizer.message import Consent, Event, Ignored, Message, SendStatus
from normalizer.normalize import normalize
from tests.normalizer.telegram_cases import AT

ANNA, DESK = "+380670000001", "+380440000001"


def read(query: bytes, /, *, report: bool = False, **facts: Any) -> Event:
    made = raw_of(
        "kannel_report/1" if report else "kannel/1", query, received_at=AT, facts={"numbers": [DESK, "10050"], **facts}
    )
    return normalize(replace(made, channel="sms", account="main", external_id="6e2df2fa"))


def call(text: bytes = b"x", **fields: str) -> bytes:
    said = {"from": ANNA, "to": DESK, "coding": "0", "charset": "UTF-8", **fields}
    return f"{urlencode(said)}&text={quote_from_bytes(text)}".encode()


def message(query: bytes, /, **facts: Any) -> Message:
    found = read(query, **facts)
    assert isinstance(found, Message)
    return found


@pytest.mark.parametrize(
    ("content", "fields", "text", "odd"),
    [
        ("Не друкує принтер".encode(), {}, "Не друкує принтер", ()),
        ("Не друкує 😀".encode("utf-16-be"), {"coding": "2", "charset": "UTF-16BE"}, "Не друкує 😀", ()),
        ("Не друкує".encode("utf-16-be"), {"coding": "2", "charset": ""}, "Не друкує", ()),
        ("Не друкує".encode("utf-16-be") + b"\x04", {"coding": "2", "charset": "ucs-2"}, "Не друкує", ("utf16:cut",)),
        ("Не друкує".encode(), {"coding": "2", "charset": "UTF-8"}, "Не друкує", ()),
        (
            "Не печатает принтер на складе".encode("cp1251"),
            {"charset": "windows-1251"},
            "Не печатает принтер на складе",
            (),
        ),
        (b"\x01\x02\xff", {"coding": "1", "charset": "8-BIT"}, "[unsupported content: data]", ("unsupported:data",)),
        (b"", {}, "[an empty message]", ("unsupported:nothing",)),
        (b"one\r\ntwo", {}, "one\ntwo", ()),
    ],
)
def test_words_are_read_by_their_coding_and_charset(
    content: bytes, fields: dict[str, str], text: str, odd: tuple[str, ...]
) -> None:
    found = message(call(content, **fields))
    assert (found.text, found.visible_text, found.oddities) == (text, text, odd)


@pytest.mark.parametrize(
    ("said", "address", "robot"),
    [
        (ANNA, ANNA, False),
        ("380670000001", ANNA, False),
        ("0670000001", "0670000001", True),
        ("KYIVSTAR", "KYIVSTAR", True),
        ("10050", "10050", True),
        ("+10050", "10050", True),
        ("", "hidden:6e2df2fa", True),
    ],
)
def test_who_it_is_from(said: str, address: str, robot: bool) -> None:
    found = message(call(**{"from": said}))
    assert (found.sender.address, found.robot) == (address, robot)
    assert found.conversation is not None
    assert found.conversation.id == address
    assert found.external_key == "sms:main:6e2df2fa"


@pytest.mark.parametrize(
    ("said", "ours"), [(DESK, DESK), ("380440000001", DESK), ("+10050", "10050"), ("", DESK), ("10051", "10051")]
)
def test_which_number_of_ours_it_came_to(said: str, ours: str) -> None:
    talk = message(call(to=said)).conversation
    assert talk is not None
    assert talk.answer_to == {"to": ANNA, "from": ours}


def test_a_post_has_its_words_in_the_body_and_the_rest_in_address_and_headers() -> None:
    headers = {
        "content-type": 'text/plain; charset="UTF-16BE"',
        "x-kannel-coding": "2",
        "x-kannel-from": ANNA,
        "x-kannel-to": DESK,
    }
    found = message("Не друкує".encode("utf-16-be"), query="id=7", headers=headers)
    assert (found.text, found.sender.address) == ("Не друкує", ANNA)


@pytest.mark.parametrize("word", ["STOP", "стоп", "СТАРТ", "Допомога", "помощь."])
def test_a_wish_is_ours_to_answer(word: str) -> None:
    found = read(call(word.encode()))
    assert isinstance(found, Consent)
    assert not found.answered
    assert isinstance(read(call(f"{word} не працює".encode())), Message)


def test_marks_and_thanks() -> None:
    assert message(call("5 спасибо".encode())).rating == 5
    assert message(call("Дякую!".encode())).thanks
    assert message(call("👍".encode())).thanks


@pytest.mark.parametrize("header", ["%05%00%03%07%02%01", "%06%08%04%07%07%02%01"])
def test_a_part_that_nobody_joined_says_so(header: str) -> None:
    found = message(call("Дякую".encode()) + f"&udh={header}".encode())
    assert found.oddities == ("part:1/2",)
    assert not found.thanks


def test_nothing_is_no_message() -> None:
    assert isinstance(read(b""), Ignored)


@pytest.mark.parametrize(
    ("kind", "reply", "state", "verdict", "detail"),
    [
        ("1", "", "delivered", "", ""),
        ("8", "ACK/", "sent", "", ""),
        ("4", "", "sending", "", ""),
        ("2", "id:a stat:UNDELIV err:1 x", "undelivered", "permanent", "UNDELIV 1 the network could not deliver it"),
        ("2", "stat:EXPIRED", "undelivered", "temporary", "EXPIRED it did not arrive within its time"),
        ("34", "", "undelivered", "temporary", "EXPIRED it did not arrive within its time"),
        ("2", "", "undelivered", "permanent", "it did not arrive, and no reason is given"),
        ("16", "NACK/0x0000000b/Invalid Destination", "failed", "unreachable", "0x0000000b there is no such number"),
        ("16", "NACK/11/x", "failed", "unreachable", "0x0000000b there is no such number"),
        ("16", "NACK/0x0000000a/Invalid Source Address", "failed", "alarm", "0x0000000a our number cannot send"),
        ("16", "NACK/0x00000045/Submit failed", "failed", "permanent", "0x00000045 the network refused it"),
        ("16", "<script>", "failed", "permanent", "it did not arrive, and no reason is given"),
    ],
)  # fmt: skip
def test_reports(kind: str, reply: str, state: str, verdict: str, detail: str) -> None:
    said = {"o": "5", "k": "0123456789ab", "type": kind, "reply": reply, "from": "380670000001", "to": DESK}
    found = read(urlencode(said).encode(), report=True)
    assert isinstance(found, SendStatus)
    assert (found.state, found.verdict, found.detail) == (state, verdict, detail)
    assert (found.external_key, found.notice) == ("sms:main:0123456789ab", 5)
    assert (found.recipient, found.endpoint) == (ANNA, DESK)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (b"type=3&k=0123456789ab", "report:3"),
        (b"type=1", "report:1"),
        (b"", "report:unreadable"),
        (b"type=x&k=0123456789ab", "report:unreadable"),
    ],
)
def test_a_report_about_nothing_is_ignored(query: bytes, reason: str) -> None:
    assert read(query, report=True) == Ignored(reason=reason)


def test_every_verdict_has_words() -> None:
    assert all(verdict and words for verdict, words in (*STATS.values(), *CODES.values()))


@given(st.binary(max_size=300), st.booleans(), st.sampled_from(["", "0", "1", "2", "9"]))
def test_no_bytes_raise(content: bytes, report: bool, coding: str) -> None:
    read(content, report=report)
    read(b"from=%2B380670000001&k=0123456789ab&type=16&reply=" + content + b"&udh=" + content, report=report)
    read(content, report=report, query=f"coding={coding}&from=x&udh=%05%00", headers={"content-type": repr(content)})
