"""What identifies an update, and that nothing in it can stop it from being kept."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.telegram.inbound import parsed, raw_message
from normalizer.message import InlineBody, RawMessage
from tests.telegram.standin import DATE, said

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
SAID = datetime.fromtimestamp(DATE, UTC)


def raw(update: Any, account: str = "main") -> RawMessage:
    content = update if isinstance(update, bytes) else json.dumps(update).encode()
    body = InlineBody(content=content)
    return raw_message(content, account=account, bot_id=100, body=body, now=NOW, facts={"transport": "webhook"})


def identity(update: Any, account: str = "main") -> tuple[str, str]:
    one = raw(update, account)
    return one.external_id, one.fingerprint


def test_a_message_names_its_account_chat_and_time() -> None:
    one = raw({"update_id": 7, **said("a", user=5_000_000_001)})
    assert (one.channel, one.account, one.format) == ("telegram", "main", "telegram/1")
    assert one.external_id == "main:7"
    assert (one.peer, one.received_at, one.deliveries) == ("5000000001", SAID, (("main", "100"),))


def test_a_repeat_is_the_same_message_however_it_is_written() -> None:
    update = {"update_id": 7, **said("a")}
    assert identity(update) == identity(json.dumps(update, indent=2).encode())
    # The person took another name between the two.
    renamed = json.loads(json.dumps(update))
    renamed["message"]["from"]["first_name"] = "Ганна"
    assert identity(update) == identity(renamed)


def test_a_number_that_comes_again_after_a_silent_week_is_another_update() -> None:
    first = {"update_id": 7, **said("a", message_id=1)}
    second = {"update_id": 7, **said("a", message_id=2)}
    edited = {"update_id": 7, "edited_message": {**said("b")["message"], "edit_date": DATE + 5}}
    again = {"update_id": 7, "edited_message": {**said("b")["message"], "edit_date": DATE + 6}}
    elsewhere = {"update_id": 7, **said("a", chat={"id": -100, "type": "group"})}
    found = [raw(update) for update in (first, second, edited, again, elsewhere)]
    assert len({one.fingerprint for one in found}) == 5
    assert {one.external_id for one in found} == {"main:7"}
    assert raw(edited).received_at == SAID + timedelta(seconds=5)
    assert raw(first, "other").external_id != raw(first).external_id


def test_a_press_is_known_by_its_id_and_is_dated_now() -> None:
    press = {"id": "4711", "from": {"id": 5}, "message": said("Заявка")["message"], "data": "rate:x:5"}
    one = raw({"update_id": 8, "callback_query": press})
    assert (one.received_at, one.peer) == (NOW, "5000000001")
    assert one.fingerprint == raw({"update_id": 8, "callback_query": {**press, "data": "y"}}).fingerprint
    assert one.fingerprint != raw({"update_id": 8, "callback_query": {**press, "id": "4712"}}).fingerprint
    inaccessible = {**press, "message": {"chat": {"id": -100}, "message_id": 1, "date": 0}}
    assert raw({"update_id": 8, "callback_query": inaccessible}).peer == "-100"


@pytest.mark.parametrize(
    ("update", "peer"),
    [
        ({"my_chat_member": {"chat": {"id": 5}, "from": {"id": 6}, "date": DATE}}, "5"),
        ({"business_connection": {"id": "b", "user": {"id": 6}, "user_chat_id": 7, "date": DATE}}, "7"),
        ({"deleted_business_messages": {"chat": {"id": 5}, "message_ids": [1]}}, "5"),
        ({"poll_answer": {"poll_id": "1", "user": {"id": 6}}}, "6"),
        ({"poll": {"id": "1"}}, ""),
        ({"something_new": {"x": 1}}, ""),
    ],
)
def test_other_updates_are_known_by_all_they_hold(update: dict[str, Any], peer: str) -> None:
    one = raw({"update_id": 9, **update})
    assert (one.external_id, one.peer) == ("main:9", peer)
    kind, payload = next(iter(update.items()))
    assert one.fingerprint != raw({"update_id": 9, kind: {**payload, "more": 1}}).fingerprint


@pytest.mark.parametrize("date", [DATE + 10_000_000, 0, -5, "soon", None, True, 10**18])
def test_a_date_that_cannot_be_is_now(date: Any) -> None:
    update = {"update_id": 7, **said("a")}
    update["message"]["date"] = date
    assert raw(update).received_at == NOW


MALFORMED = [
    b"", b" ", b"null", b"[]", b"3", b'"text"', b"{", b"{}", b"\xff\xfe\x00", b"<html>", b'{"update_id":"7"}',
    b'{"update_id":true}', b'{"message":{}}', b'{"update_id":7,"message":null}', b'{"update_id":7,"message":[]}',
    b'{"update_id":7,"message":{"chat":{"id":"x"},"message_id":"y"}}', b'{"update_id":7' + b" " * 1000,
    b'{"update_id":' + b"9" * 5000 + b"}", b'{"update_id":7,"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"update_id":7,"message":{"chat":7,"from":[],"date":{}}}', rb'{"update_id":7,"message":{"text":"\ud83d\u0000"}}',
    b'{"update_id":7,"message":{"date":NaN,"edit_date":Infinity}}', b"\xef\xbb\xbf{}",
    b'{"update_id":-9223372036854775808}',
    b"update_id=7&message=x", b'{"update_id":7.5}', b'\x00{"update_id":7}',
]  # fmt: skip


@pytest.mark.parametrize("content", MALFORMED)
def test_what_is_no_update_is_kept_under_an_id_of_its_own(content: bytes) -> None:
    one = raw(content)
    assert one.body == InlineBody(content=content)
    assert one.external_id.startswith("main:")
    assert len(one.fingerprint) == 64
    assert identity(content) == identity(content)
    assert identity(content) != identity(content + b"x")


def test_a_number_in_bytes_that_are_no_json_is_found() -> None:
    assert raw(b'{"update_id": 12, "message": {"text": "\xff"}}').external_id == "main:12"
    assert raw(b'{"update_id":13,"a":' + b"[" * 100_000 + b"}").external_id == "main:13"


@given(content=st.binary(max_size=200), account=st.text(min_size=1, max_size=5))
def test_any_bytes_are_kept(content: bytes, account: str) -> None:
    one = raw(content, account)
    assert one.body == InlineBody(content=content)
    assert one.received_at <= NOW


NUMBERS = st.one_of(st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False), st.text(max_size=3))


@given(
    kind=st.sampled_from(["message", "edited_message", "business_message", "callback_query", 'new"kind', "кнопка"]),
    chat=NUMBERS,
    message=st.integers(min_value=1) | st.just(True),
    edited=NUMBERS,
)
def test_the_fingerprint_of_a_message_is_that_of_chat_message_and_edit_as_json(
    kind: str, chat: Any, message: int, edited: Any
) -> None:
    update = {"update_id": 7, kind: {"chat": {"id": chat}, "message_id": message, "edit_date": edited}}
    text = json.dumps([kind, [chat, message, edited]], sort_keys=True)
    assert raw(update).fingerprint == hashlib.sha256(text.encode()).hexdigest()


def test_a_press_is_named_by_its_id_whatever_else_stands_beside_it() -> None:
    press = {"id": "4711", "message_id": 5, "chat": {"id": 6}}
    assert (
        raw({"update_id": 7, "callback_query": press}).fingerprint
        != raw({"update_id": 7, "callback_query": {**press, "id": "4712"}}).fingerprint
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
@pytest.mark.parametrize("around", ["", " ", "\r\n\t"])
def test_an_update_is_read_as_json_is_read(encoding: str, around: str) -> None:
    text = around + json.dumps({"update_id": 7, "message": {"text": "Добрий \ud83d"}}, ensure_ascii=True) + around
    content = text.encode(encoding)
    assert parsed(content) == json.loads(content)
    assert parsed(content + b"}") == {}


@given(
    st.binary(max_size=40) | st.text(alphabet='{}[]":,0123456789.eE-+ntfulsrai \ufeff\0', max_size=40).map(str.encode)
)
def test_what_is_read_is_what_json_reads(content: bytes) -> None:
    try:
        wanted = json.loads(content)
    except ValueError:
        wanted = {}
    assert repr(parsed(content)) == repr(wanted if isinstance(wanted, dict) else {})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=6,
)
NUMBERS = (b"1e400", b"-0", b"-0.0", b"NaN", b"-Infinity", b"123456789012345678901234567890", b"1.0000000000000001")
ODD = (b"01", b"+1", b"1.", b".5", b"[inf]", b"\x7f", b'"\\ud800"', b'"\\u0000"', b"9" * 5000, b"[" * 300 + b"]" * 300)


def by_json(content: bytes) -> object:
    """What the standard library reads, as long as it is an object."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@given(VALUES, st.booleans(), st.integers(0, 30), st.binary(max_size=2))
def test_bytes_are_read_as_by_the_standard_library(value: object, ascii_only: bool, at: int, put: bytes) -> None:
    content = json.dumps({"update": value}, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    broken = content[:at] + put + content[at:]
    # As text, for NaN is not equal to itself and 0 is to -0.
    assert repr(parsed(content)) == repr(by_json(content))
    assert repr(parsed(broken)) == repr(by_json(broken))


@pytest.mark.parametrize("odd", [*NUMBERS, *ODD])
def test_odd_values_are_read_as_by_the_standard_library(odd: bytes) -> None:
    for content in (b'{"a":' + odd + b"}", b' {"a":1, "a":' + odd + b"}\n", b"\xef\xbb\xbf{}", odd):
        assert repr(parsed(content)) == repr(by_json(content))
