"""What makes two mails one: Message-ID, and everything but the trace of the way."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.mail import identity

HEAD = b"From: Anna <Anna@Client.example>\r\nSubject: a\r\n b\r\nMessage-ID: <1@x.example>\r\n"
BODY = b"\r\nReceived: not a header\r\n"
TRACE = [
    b"Received: from a\r\n by b; today\r\n",
    b"Return-Path: <x@y.example>\r\n",
    b"Delivered-To: support@desk.example\r\n",
    b"Authentication-Results: mx.example; dmarc=pass\r\n",
    b"DKIM-Signature: v=1;\r\n\tb=abc\r\n",
    b"ARC-Seal: i=1\r\n",
    b"X-Spam-Score: 1.3\r\n",
    b"received:from c\r\n",
]


def test_a_mail_in_memory() -> None:
    who = identity.of_bytes(HEAD + BODY)
    assert (who.message_id, who.peer) == ("1@x.example", "anna@client.example")


@pytest.mark.parametrize("trace", TRACE)
def test_the_trace_of_the_way_changes_nothing(trace: bytes) -> None:
    assert identity.of_bytes(trace + HEAD + BODY) == identity.of_bytes(HEAD + BODY)
    assert identity.of_bytes(HEAD + trace + trace + BODY) == identity.of_bytes(HEAD + BODY)


@pytest.mark.parametrize(
    "other",
    [
        HEAD.replace(b"Subject: a", b"Subject: b") + BODY,
        HEAD.replace(b"\r\n b", b"\r\n c") + BODY,
        HEAD + b"X-Other: 1\r\n" + BODY,
        HEAD + b"Received-Not: 1\r\n" + BODY,
        HEAD + BODY + b"x",
        HEAD + BODY.replace(b"Received: not", b"Received: nix"),
        HEAD.replace(b"1@x", b"2@x") + BODY,
    ],
)
def test_anything_else_does(other: bytes) -> None:
    assert identity.of_bytes(other).fingerprint != identity.of_bytes(HEAD + BODY).fingerprint


@given(st.binary(max_size=400).map(lambda tail: HEAD + b"\r\n" + tail), st.sampled_from(TRACE))
def test_a_file_is_the_same_as_bytes(content: bytes, trace: bytes) -> None:
    assert identity.of_file(io.BytesIO(trace + content)) == identity.of_bytes(content)


@given(st.lists(st.sampled_from([b"\r\n", b"\n", b"Received:", b"From: ", b"x@y.z", b"<", b">", b" ", b"a", b"\x00"])))
def test_no_bytes_raise(pieces: list[bytes]) -> None:
    content = b"".join(pieces)
    who = identity.of_bytes(content)
    assert identity.of_file(io.BytesIO(content)) == who
    assert len(who.fingerprint) == 64


def test_a_header_over_the_limit_is_cut_the_same_way_in_a_file() -> None:
    content = HEAD + b"X: " + b"h" * identity.HEADER_LIMIT + b"\r\nReceived: late\r\n\r\nbody"
    assert identity.of_file(io.BytesIO(content)) == identity.of_bytes(content)
    assert identity.of_bytes(content).message_id == "1@x.example"


@pytest.mark.parametrize(
    ("header", "message_id"),
    [
        (b"Message-ID: <a@b>\r\n", "a@b"),
        (b"Message-Id:\r\n <a@b>\r\n", "a@b"),
        (b"MESSAGE-ID: bare@b\r\n", "bare@b"),
        (b"Message-ID: <a@b> <c@d>\r\n", "a@b"),
        (b"Message-ID: <>\r\n", ""),
        (b"Message-ID: <a b@c>\r\n", "a b@c"),
        (b"Message-ID: <\xd0\xb0@b>\r\n", "а@b"),
        (b"Message-ID: <\xff@b>\r\n", "\\xff@b"),
        (b"Message-ID: <first@x>\r\nMessage-ID: <second@x>\r\n", "first@x"),
        (b"X-Message-ID: <no@x>\r\n", ""),
        (b"Subject: x\r\n Message-ID: <folded@x>\r\n", ""),
        (b"", ""),
    ],
)
def test_message_ids(header: bytes, message_id: str) -> None:
    assert identity.of_bytes(header + b"\r\n").message_id == message_id


def test_a_giant_message_id_is_shortened_and_stays_distinct() -> None:
    first = identity.of_bytes(b"Message-ID: <" + b"a" * 9000 + b"1@x>\r\n\r\n").message_id
    second = identity.of_bytes(b"Message-ID: <" + b"a" * 9000 + b"2@x>\r\n\r\n").message_id
    assert first != second
    assert len(first) < 600


@pytest.mark.parametrize(
    ("value", "peer"),
    [
        (b"Anna <Anna@Client.Example>", "anna@client.example"),
        (b"anna@client.example (Anna)", "anna@client.example"),
        (b'"evil <x@y.example>" <anna@client.example>', "anna@client.example"),
        (b"=?utf-8?b?0JDQvdC90LA=?=\r\n <anna@client.example>", "anna@client.example"),
        ("Анна <анна@клиент.example>".encode(), "анна@клиент.example"),
        (b"nobody", ""),
        (b"", ""),
    ],
)
def test_peers(value: bytes, peer: str) -> None:
    assert identity.of_bytes(b"From: " + value + b"\r\n\r\n").peer == peer
