"""Whatever the body of an update is, an event comes out, quickly; nothing of it breaks a database or a log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.explain import describe
from normalizer.message import Event, Message
from normalizer.telegram_media import KINDS as FILES
from normalizer.telegram_rich import CUT
from normalizer.wordlists import listed
from tests.normalizer.cost import costs_less_than
from tests.normalizer.telegram_cases import CASES, NAMES, read, shown

FACTS = {"bot_id": 7000000001, "bot_name": "desk_bot"}
SECONDS = 3.0
"""Of CPU, on a slow and shared machine."""
PERSON = {"chat": {"id": 5, "type": "private"}, "from": {"id": 5}, "message_id": 1, "date": 1}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def whole(body: bytes) -> Event:
    """The event, after a look at all that it says."""
    event = read(body, FACTS)
    said = shown(event)
    json.dumps(said, ensure_ascii=False).encode("utf-8")  # no lone surrogate
    json.dumps(describe(event, source="x"), ensure_ascii=False).encode("utf-8")
    assert not any("\0" in text for text in _texts(said))
    return event


MEMBERS = listed("""
    text entities offset length type url caption chat from id message_id quote reply_to_message forward_origin
    rich_message blocks items cells poll contact location edit_date is_topic_message message_thread_id media_group_id
    data message
""")
KEYS = st.sampled_from(sorted({*FILES, *MEMBERS}))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, categories=None), max_size=20)
    | st.sampled_from(["\ud83d", "\udc00", "\0", "/start", "rate:a:5", "private", "user", "kicked"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | KEYS, inner, max_size=5),
    max_leaves=25,
)
VALUES = {name: json.loads((CASES / f"{name}.update").read_bytes()) for name in NAMES if not name.startswith("bytes_")}


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read(body: bytes) -> None:
    whole(body)
    whole(b'{"update_id":1,"message":{"text":"' + body + b'"}}')


@given(st.sampled_from(["message", "edited_message", "business_message", "callback_query", "my_chat_member"]), JSON)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_json_is_read(kind: str, value: Any) -> None:
    whole(json.dumps({"update_id": 1, kind: value}).encode())
    whole(json.dumps({"update_id": 1, kind: {**PERSON, **value} if isinstance(value, dict) else [value]}).encode())


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in members:
        yield from _places(one, (*at, key))


def _replaced(value: Any, at: tuple[Any, ...], by: Any) -> Any:
    if not at:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = _replaced(value[at[0]], at[1:], by)
    return copy


@given(st.sampled_from(sorted(VALUES)), st.data(), JSON)
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_member_of_a_real_update_may_be_anything(name: str, data: st.DataObject, value: Any) -> None:
    at = data.draw(st.sampled_from(list(_places(VALUES[name]))))
    whole(json.dumps(_replaced(VALUES[name], at, value)).encode())


@given(st.text(st.characters(codec=None, categories=None), max_size=60), st.lists(
    st.fixed_dictionaries({
        "type": st.sampled_from(["code", "pre", "text_link", "blockquote", "bold"]),
        "offset": st.integers(-2, 70), "length": st.integers(-2, 70), "url": st.just("https://x.example"),
    }), max_size=6))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_marks_lose_no_letter(text: str, entities: list[dict[str, Any]]) -> None:
    event = whole(json.dumps({"update_id": 1, "message": {**PERSON, "text": text, "entities": entities}}).encode())
    if isinstance(event, Message) and not event.oddities and not text.startswith("/"):
        plain = whole(json.dumps({"update_id": 1, "message": {**PERSON, "text": text}}).encode())
        assert isinstance(plain, Message)
        marked = iter(event.text)
        # Of nothing but control characters no letter is left, and it is said that there is none.
        # The same letters in the same order, with more between.
        assert plain.oddities or all(letter in marked for letter in plain.text)


def _long(**members: Any) -> bytes:
    return json.dumps({"update_id": 1, "message": {**PERSON, **members}}).encode()


ATTACKS: dict[str, Callable[[], bytes]] = {
    "12 MB of text": lambda: _long(text="слово " * 1_000_000),
    "12 MB of nothing": lambda: b"\0" * 12_000_000,
    "a million levels": lambda: b'{"update_id":1,"message":' + b'{"reply_to_message":' * 1_000_000,
    "a number of a million digits": lambda: b'{"update_id":' + b"9" * 1_000_000 + b"}",
    "a million numbers": lambda: b'{"update_id":1,"message":{"photo":[' + b"1," * 1_000_000 + b"1]}}",
    "a million entities": lambda: _long(text="a\n" * 10_000, entities=[
        {"type": "blockquote", "offset": 0, "length": 20_000}] * 200_000),
    "100,000 pictures": lambda: _long(photo=[{"file_id": "x", "width": 1, "height": 1}] * 100_000),
    "100,000 members": lambda: _long(**{f"m{n}": {"x": 1} for n in range(100_000)}),
    "100,000 kinds of update": lambda: json.dumps({f"m{n}": {"x": 1} for n in range(100_000)}).encode(),
    "a thank-you without end": lambda: _long(text="спасибо " * 100_000),
    "a rating without end": lambda: _long(text="5" + "!" * 1_000_000),
    "a command without end": lambda: _long(text="/start " + "x" * 1_000_000),
    "a name without end": lambda: _long(**{"from": {"id": 5, "first_name": " x" * 1_000_000}}, text="x"),
    "a link without end": lambda: _long(text="ab", entities=[
        {"type": "text_link", "offset": 0, "length": 2, "url": "https://" + "x" * 1_000_000}]),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_costs_little(name: str) -> None:
    body = ATTACKS[name]()
    with costs_less_than(SECONDS):
        read(body, FACTS)


@pytest.mark.parametrize("shape", ["wide", "tree", "lists"])
def test_a_rich_message_beyond_the_limits_is_cut_and_says_so(shape: str) -> None:
    def tree(depth: int) -> dict[str, Any]:
        return {"type": "details", "summary": "s", "blocks": [tree(depth - 1)] * 3 if depth else []}

    shapes: dict[str, Any] = {
        "wide": [{"type": "list", "items": [{"text": ["x"] * 150}] * 150}] * 50,
        "tree": [tree(8)],
        "lists": [{"type": "paragraph", "text": [[["x"] * 100] * 100] * 100}],
    }
    with costs_less_than(SECONDS):
        event = whole(_long(rich_message={"blocks": shapes[shape]}))
    assert isinstance(event, Message)
    assert CUT in event.oddities
    assert event.text


def test_a_text_that_no_client_can_send_stands_without_marks() -> None:
    event = whole(_long(text="x" * 30_000, entities=[{"type": "code", "offset": 0, "length": 2}]))
    assert isinstance(event, Message)
    assert event.text == "x" * 30_000
