"""Any bytes become an event, quickly: nothing raises, oddities are named."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.explain import describe, raw_mail
from normalizer.mail import limits
from normalizer.message import DeliveryReport, Event, Message
from normalizer.normalize import normalize
from tests.normalizer.cost import costs_less_than

AT = datetime(2026, 3, 10, tzinfo=UTC)
HEAD = b"From: a@client.example\r\nSubject: s\r\nMessage-ID: <m@client.example>\r\n"
HTML = HEAD + b"Content-Type: text/html\r\n\r\n"
DAEMON = b"From: MAILER-DAEMON@mx.example\r\nSubject: delivery failed\r\n\r\n"
SECONDS = 3.0
"""Of CPU, on a slow and shared machine; each attack took 7 to 25 s before its cap."""


def read(content: bytes) -> Message:
    """The message of a mail; what `explain` shows of it can be written as UTF-8 JSON."""
    facts = {"authserv_ids": ["mx.desk.example"], "rcpt_to": ["support@desk.example"], "mail_from": "a@client.example"}
    event = normalize(raw_mail(content, received_at=AT, facts=facts))
    json.dumps(describe(event, source="x"), ensure_ascii=False).encode("utf-8")
    return content_of(event)


def content_of(event: Event) -> Message:
    message = event.content if isinstance(event, DeliveryReport) else event
    assert isinstance(message, Message)
    return message


def nested(depth: int) -> bytes:
    opened = (f'Content-Type: multipart/mixed; boundary="b{n}"\r\n\r\n--b{n}\r\n' for n in range(depth))
    return HEAD + "".join(opened).encode() + b"\r\ninnermost\r\n"


ATTACKS: dict[str, tuple[bytes, str]] = {
    "10,000 nested parts": (nested(10_000), "limit:parts"),
    "900 nested parts": (nested(900), "limit:nesting"),
    "just too deep": (nested(limits.DEPTH + 1), "limit:nesting"),
    "nested messages": (HEAD + b"Content-Type: message/rfc822\r\n\r\n" * 900, "limit:nesting"),
    "5,000 parts": (
        HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 5000,
        "limit:parts",
    ),
    "100,000 nested div": (HTML + b"<div>" * 100_000, "limit:html-depth"),
    "100,000 nested font": (HTML + b"<font>" * 100_000, "limit:html-depth"),
    "paragraphs in unclosed italics": (HTML + b"<i>" * 390 + b"<p>" * 50_000, ""),
    "3 MB of <": (HTML + b"<" * 3_000_000, "limit:html-size"),
    "entities": (HTML + b"&amp;" * 300_000, "limit:html-size"),
    "1 MB header": (HEAD + b"X-A: " + b"a" * 1_000_000 + b"\r\n\r\nbody", "limit:header"),
    "1 MB header without an end": (HEAD + b"X-A: " + b"a" * 1_000_000, "limit:header"),
    "50,000 headers": (HEAD + b"X-A: b\r\n" * 50_000 + b"\r\nbody", "limit:header"),
    "unclosed encoded words": (b"Subject: " + b"=?utf-8?B?" * 3_000 + b"\r\n\r\nbody", ""),
    "quadratic parameters": (
        HEAD + b'Content-Type: multipart/mixed; "' + b";" * 200_000 + b"\r\n\r\nbody",
        "limit:header",
    ),
    "quadratic parameters of a part": (
        HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: a/b; " + b'";' * 50_000,
        "limit:header",
    ),
    "long disposition": (
        HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: x; " + b'";' * 50_000,
        "limit:header",
    ),
    "80,000 recipients": (b"To: " + b"a@b.example, " * 80_000 + b"\r\n\r\nx", "limit:addresses"),
    "open quotes in a list": (b"To: " + b'"a\\" <' * 4_500 + b"\r\n\r\nx", "from:missing"),
    "25 MB of text": (HEAD + b"\r\n" + b"hello world, this is text\n" * 900_000, "limit:text"),
    "header lines in the body": (HEAD + b"\r\n" + b"From: a\n" * 100_000, ""),
    "introductions": (HEAD + b"\r\n" + b"On 2020 x@y wrote:\n" * 50_000, ""),
    "one long quoted line": (HEAD + b"\r\n" + b">" * 1_000_000, ""),
    "signatures": (HEAD + b"\r\n" + b"Sent from my iPhone\n\n" * 30_000, ""),
    "rules": (HEAD + b"\r\n" + b"_" * 500_000 + b"\n" + b"-- \n" * 50_000, ""),
    "spaces": (HEAD + b"\r\n" + (b" " * 100_000 + b"x\n") * 5, ""),
    "bounce of @": (DAEMON + b"@" * 500_000, ""),
    "bounce of addresses": (DAEMON + b"<a@b.example>\n" * 20_000, ""),
    "bounce of spaces": (DAEMON + b" " * 500_000 + b"x", ""),
    "references": (HEAD + b"References: " + b"<" * 30_000 + b"\r\n\r\nx", ""),
    "verdicts": (HEAD + b"Authentication-Results: mx.desk.example; " + b"dkim=pass " * 3_000 + b"\r\n\r\nx", ""),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_costs_little_and_is_named(name: str) -> None:
    content, oddity = ATTACKS[name]
    with costs_less_than(SECONDS):
        message = read(content)
    assert not oddity or oddity in message.oddities
    assert len(message.text) <= limits.TEXT_CHARS + 1


def test_a_structure_beyond_the_caps_still_shows_its_beginning_and_its_headers() -> None:
    message = read(nested(900))
    assert message.subject == "s"
    assert message.sender.address == "a@client.example"
    assert message.text.startswith("--b0")
    assert "structure:not-read" in message.oddities
    assert message.attachments == ()


def test_the_deepest_structure_allowed_is_read() -> None:
    assert read(nested(limits.DEPTH - 1)).text == "innermost"


def test_a_header_beyond_the_caps_costs_the_other_headers_nothing() -> None:
    message = read(b"X-A: " + b"a" * 1_000_000 + b"\r\n" + HEAD + b"\r\nbody")
    assert (message.subject, message.text) == ("s", "body")


ODD: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "", "from:missing"),
    "only line ends": (b"\r\n" * 10, "", "from:missing"),
    "no From": (b"Subject: x\r\n\r\nhi", "hi", "from:missing"),
    "no Message-ID": (b"From: a@client.example\r\n\r\nhi", "hi", "message-id:missing"),
    "empty body": (HEAD + b"\r\n", "", ""),
    "no blank line": (HEAD, "", ""),
    "NUL": (HEAD + b"\r\n\x00a\x00b", "ab", "text:nul"),
    "lone surrogate": (HEAD + b"Content-Type: text/plain; charset=utf-7\r\n\r\n+2AA-hi", "hi", ""),
    "every byte": (HEAD + b"\r\n" + bytes(range(256)) * 10, None or "", ""),
    "utf-16": (HEAD + b"Content-Type: text/plain; charset=utf-16\r\n\r\n" + "hi".encode("utf-16"), "hi", ""),
    "a codec that is no charset": (
        HEAD + b"Content-Type: text/plain; charset=rot13\r\n\r\nhi",
        "hi",
        "charset:unknown:rot13",
    ),
    "escapes": (HEAD + b"Content-Type: text/plain; charset=unicode_escape\r\n\r\nh\\x69", "h\\x69", ""),
}


@pytest.mark.parametrize("name", ODD)
def test_an_oddity_is_named(name: str) -> None:
    content, text, oddity = ODD[name]
    message = read(content)
    assert name == "every byte" or message.text.strip() == text
    assert not oddity or oddity in message.oddities


SLOW = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

headers = st.sampled_from(
    [
        b"From",
        b"To",
        b"Subject",
        b"Date",
        b"Message-ID",
        b"References",
        b"Content-Type",
        b"Content-Transfer-Encoding",
        b"Content-Disposition",
        b"Return-Path",
        b"Authentication-Results",
        b"Auto-Submitted",
        b"X-Failed-Recipients",
    ]
)
pieces = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"multipart/mixed; boundary=b",
            b"message/rfc822",
            b"message/delivery-status",
            b"multipart/report; boundary=b",
            b"text/html; charset=koi8-r",
            b"text/plain; format=flowed",
            b"base64",
            b"quoted-printable",
            b"x-uuencode",
            b"<>",
            b"=?utf-8?B?0J8=?=",
            b"=?koi8-r?Q?=F0?=",
            b"a@b.example",
            b'"',
            b"attachment; filename*0*=utf-8''%D0",
            b"<a@b>",
            b"mailer-daemon@mx.example",
            b"\r\n ",
            b"--b\r\n",
            b"--b--\r\n",
            b"\r\n\r\n",
            b"<div>",
            b"<blockquote>",
            b"> q\n",
            b"\xcf\xf0\xe8\xe2\xe5\xf2",
            b"\xd0\x9f",
            b"On 1.1.2020 a@b wrote:\n",
            b"From: a\nTo: b\nSubject: c\n",
            b"-- \n",
            b"Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n",
        ]
    ),
)


@st.composite
def mails(draw: st.DrawFn) -> bytes:
    """Something like a mail, broken anywhere."""
    lines = draw(st.lists(st.tuples(headers, st.lists(pieces, max_size=4).map(b"".join)), max_size=8))
    body = b"".join(draw(st.lists(pieces, max_size=25)))
    return (
        b"".join(name + b": " + value + b"\r\n" for name, value in lines) + draw(st.sampled_from([b"", b"\r\n"])) + body
    )


@SLOW
@given(st.binary(max_size=3000))
def test_any_bytes_are_read(content: bytes) -> None:
    assert "\x00" not in read(content).text


@SLOW
@given(mails())
def test_anything_like_a_mail_is_read(content: bytes) -> None:
    message = read(content)
    assert len(message.thread_keys) <= limits.REFERENCES + 20
    assert message.language == "" or len(message.language) == 2
    assert message.rating is None or 1 <= message.rating <= 5
