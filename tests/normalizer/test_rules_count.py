"""A rule that is removed turns a case red: each one here is switched off, and some case must come out otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.explain import raw_mail
from normalizer.mail import (
    answers,
    automatic,
    blocks,
    bounces,
    charsets,
    forward,
    markup,
    mime,
    quotes,
    signatures,
    threads,
    trust,
)
from normalizer.message import Event, Trust
from normalizer.normalize import normalize

CASES = Path(__file__).parent / "cases"
AT = datetime(2026, 3, 10, tzinfo=UTC)


def no(*_: Any, **__: Any) -> bool:
    return False


def nothing(*_: Any, **__: Any) -> tuple[()]:
    return ()


SWITCHED_OFF: dict[str, tuple[object, str, Callable[..., Any]]] = {
    "robot": (automatic, "is_robot", no),
    "status part": (bounces, "from_status", lambda parts: []),
    "words of mail servers": (bounces, "_addresses", lambda *_: []),
    "library of detectors": (bounces, "_by_library", lambda *_: (set(), set())),
    "suspicion": (bounces, "is_suspect", no),
    "daemon": (bounces, "is_daemon", no),
    "returned message": (bounces, "original_id", lambda *_: ""),
    "contradicted charset": (charsets, "_contradiction", lambda *_: ""),
    "UTF-8 under another name": (charsets, "_utf8", lambda _: None),
    "guess": (charsets, "detect", lambda _: ("cp1252", 0.0)),
    "header block": (blocks, "block_at", lambda *_: None),
    "separator": (blocks, "separator", lambda _: ""),
    "subject prefix": (blocks, "subject_says", lambda _: ""),
    "rule line": (blocks, "is_rule", no),
    "inline forward": (forward, "inline", lambda _: None),
    "quote in HTML": (markup, "_is_quote", no),
    "sanitiser": (markup, "sanitise", lambda html: html),
    "flowed text": (mime, "_unflow", lambda text, _: text),
    "bare name": (mime, "bare_name", lambda name: name),
    "introduction": (quotes, "_introduction", lambda *_, **__: None),
    "signature": (signatures, "start", lambda lines, first, end: end),
    "reply token": (threads, "_tokens", lambda _: []),
    "trust": (trust, "judge", lambda *_: Trust.UNKNOWN),
    "spam verdict": (trust, "_spam", no),
    "alignment": (trust, "_aligned", lambda *_: True),
    "rating": (answers, "rating", lambda _: (None, "")),
    "thanks": (answers, "thanks", no),
    "stop": (answers, "stop_surveys", no),
}


def _events() -> dict[str, Event]:
    found = {}
    for path in sorted(CASES.glob("*.eml")):
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8")).get("facts")
        found[path.stem] = normalize(raw_mail(path.read_bytes(), received_at=AT, facts=facts))
    return found


@pytest.fixture(scope="module")
def sound() -> dict[str, Event]:
    return _events()


@pytest.mark.parametrize("name", SWITCHED_OFF)
def test_a_rule_is_needed(name: str, sound: dict[str, Event], monkeypatch: pytest.MonkeyPatch) -> None:
    module, function, replacement = SWITCHED_OFF[name]
    monkeypatch.setattr(module, function, replacement)
    assert _events() != sound


@pytest.mark.parametrize("kind", [kind for kind, _ in automatic.RULES])
def test_a_kind_is_needed(kind: str, sound: dict[str, Event], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        automatic, "RULES", tuple((name, no if name == kind else rule) for name, rule in automatic.RULES)
    )
    assert _events() != sound
