"""The way in: the table of formats, and what is the caller's fault."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.explain import raw_mail
from normalizer.mail import bounces, mime
from normalizer.message import InlineBody, Message, SpooledBody
from normalizer.normalize import PARSERS, normalize

RAW = raw_mail(b"From: a@client.example\r\n\r\nhello", received_at=datetime(2026, 3, 10, tzinfo=UTC))


def test_a_format_without_a_parser_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="pigeon/1"):
        normalize(replace(RAW, format="pigeon/1"))


def test_a_body_on_disk_is_loaded_by_the_caller(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="loaded"):
        normalize(replace(RAW, body=SpooledBody(path=tmp_path, size=1, sha256="")))


def test_the_same_bytes_give_the_same_event() -> None:
    assert set(PARSERS) >= {"mail/1"}
    assert normalize(RAW) == normalize(RAW)
    assert isinstance(normalize(RAW), Message)


def test_a_body_knows_its_size_and_digest() -> None:
    body = InlineBody(content=b"abc")
    assert (body.size, body.sha256[:8]) == (3, "ba7816bf")


def test_a_detector_that_fails_is_named_and_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise KeyError("a bug of the library")

    monkeypatch.setattr(bounces, "all_failures", broken)
    oddities: list[str] = []
    root = mime.parse(b"From: mailer-daemon@mx.example\r\n\r\nx", headers_only=False)
    assert bounces.from_words(root, "x", daemon=True, ours=(), named=(), oddities=oddities) == []
    assert oddities == ["bounce:detector:KeyError"]


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("a.pdf", "a.pdf"),
        ("C:\\Documents\\акт.pdf", "акт.pdf"),
        ("../../etc/passwd", "passwd"),
        ("a\u202efdp.exe", "a_fdp.exe"),
        ("a\nb.txt", "a_b.txt"),
        ("..", ""),
        ("folder/", "folder_"),
        ("x" * 300 + ".pdf", "x" * 120 + ".pdf"),
    ],
)
def test_a_file_name_is_bare(name: str, bare: str) -> None:
    assert mime.bare_name(name) == bare
