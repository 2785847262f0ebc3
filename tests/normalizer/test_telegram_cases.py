"""Every update in `cases/telegram/` is read as its expectation says. A bug is first a file there, then a fix."""

from __future__ import annotations

import json
from typing import Any

import pytest

from normalizer.message import Ignored, Message
from normalizer.telegram_services import SERVICE
from tests.normalizer.telegram_cases import CASES, NAMES, read, read_case, wanted

GROUP = {"id": -1001234567890, "type": "supergroup", "title": "Desk"}
ANNA = {"id": 5001002003, "is_bot": False, "first_name": "Anna"}


@pytest.mark.parametrize("name", NAMES)
def test_case(name: str) -> None:
    assert read_case(name) == wanted(name)["event"]


def test_there_are_cases_and_each_has_its_expectation() -> None:
    assert len(NAMES) > 140
    assert {path.stem for path in CASES.glob("*.json")} == set(NAMES)


def _message(**members: Any) -> bytes:
    message = {"message_id": 7, "date": 1773136800, "chat": GROUP, "from": ANNA, **members}
    return json.dumps({"update_id": 1, "message": message}).encode()


@pytest.mark.parametrize("name", sorted(SERVICE))
def test_what_is_about_the_chat_is_no_message(name: str) -> None:
    assert read(_message(**{name: {"x": 1}}), {}) == Ignored(reason=f"service:{name}")


def test_the_same_words_are_thanks_and_ratings_as_in_a_mail() -> None:
    for text, rating, thanks in (
        ("пять из пяти", 5, False),
        ("не работает 5 дней", None, False),
        ("Thanks!", None, True),
    ):
        event = read(_message(text=text), {})
        assert isinstance(event, Message)
        assert (event.rating, event.thanks) == (rating, thanks)


def test_a_body_on_disk_is_no_content() -> None:
    from pathlib import Path

    from gateway.explain import raw_of
    from normalizer.message import SpooledBody
    from normalizer.normalize import normalize
    from tests.normalizer.telegram_cases import AT

    raw = raw_of("telegram/1", b"", received_at=AT)
    from dataclasses import replace

    with pytest.raises(TypeError):
        normalize(replace(raw, body=SpooledBody(path=Path("x"), size=1, sha256="")))
