"""Every mail in `cases/` is read as its expectation says. A bug is first a file here, then a fix."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.explain import describe, raw_mail
from normalizer.message import Address, DeliveryReport, Event, Message
from normalizer.normalize import normalize

CASES = Path(__file__).parent / "cases"
NAMES = sorted(path.stem for path in CASES.glob("*.eml"))


def _read(name: str) -> tuple[Event, dict[str, Any]]:
    wanted = json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))
    content = (CASES / f"{name}.eml").read_bytes()
    raw = raw_mail(content, received_at=datetime(2026, 3, 10, tzinfo=UTC), facts=wanted.get("facts"))
    return normalize(raw), wanted


def _message(event: Event) -> Message:
    message = event.content if isinstance(event, DeliveryReport) else event
    assert isinstance(message, Message)
    return message


def _plain(value: object) -> object:
    """Values of an event as JSON writes them."""
    if isinstance(value, tuple):
        return [[one.kind.value, one.value] for one in value]
    return [value.name, value.address] if isinstance(value, Address) else value


@pytest.mark.parametrize("name", NAMES)
def test_case(name: str) -> None:
    event, wanted = _read(name)
    shown = describe(event, source=name)
    assert {key: shown[key] for key in wanted["expect"]} == wanted["expect"]
    message = _message(event)
    for key, value in wanted.get("event", {}).items():
        owner = event if key == "thread_keys" else message
        assert _plain(getattr(owner, key)) == value, key
    _check_attachments(message, wanted)
    _check_forwarded(message, wanted)
    _check_bounce(event, wanted)
    assert all(text in message.visible_text for text in wanted.get("visible_has", ()))
    assert all(odd in message.oddities for odd in wanted.get("odd_has", ()))


def _check_attachments(message: Message, wanted: dict[str, Any]) -> None:
    if "attachments" in wanted:
        found = [[one.filename, one.content_type, one.size, one.inline] for one in message.attachments]
        assert found == wanted["attachments"]


def _check_forwarded(message: Message, wanted: dict[str, Any]) -> None:
    if "forwarded" not in wanted:
        return
    inner, expected = message.forwarded, wanted["forwarded"]
    assert (inner is None) == (expected is None)
    if inner is not None:
        found = {"sender": inner.sender.address, "subject": inner.subject, "text": inner.text}
        assert found == expected


def _check_bounce(event: Event, wanted: dict[str, Any]) -> None:
    if "bounced" in wanted:
        assert isinstance(event, DeliveryReport)
        assert [[one.address, one.action, one.status] for one in event.recipients] == wanted["bounced"]
    if "original" in wanted:
        assert isinstance(event, DeliveryReport)
        assert event.original_message_id == wanted["original"]


def test_there_are_cases_and_each_has_its_expectation() -> None:
    assert len(NAMES) > 90
    assert {path.stem for path in CASES.glob("*.json")} == set(NAMES)
