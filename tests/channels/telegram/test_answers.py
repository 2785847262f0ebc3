"""The answer to getUpdates is cut into exact bytes, whatever stands in an update."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.telegram.answers import updates

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(
    found=st.lists(st.dictionaries(st.text(), VALUES, max_size=5), max_size=5),
    before=st.dictionaries(st.text().filter(lambda key: key not in ("ok", "result")), VALUES, max_size=3),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
def test_any_updates_are_cut_to_the_byte(
    found: list[dict[str, Any]], before: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps({**before, "result": found, "ok": True}, ensure_ascii=ascii_only, indent=indent)
    cut = updates(text.encode("utf-8", "surrogatepass"))
    assert len(cut) == len(found)
    for piece, whole in zip(cut, found, strict=True):
        # NaN is not equal to itself; its text is.
        assert json.dumps(json.loads(piece.decode("utf-8", "surrogatepass"))) == json.dumps(whole)


def test_what_no_parser_takes_hides_nothing() -> None:
    poison = [
        b'{"update_id":1,"message":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"update_id":2,"message":{"x":' + b"9" * 5000 + b"}}",
        b'{"update_id":3,"message":{"text":"\xff\xfe"}}',
        rb'{"update_id":4,"message":{"text":"\ud83d \"]}[{\\"}}',
    ]
    assert updates(b'{"ok":true,"result":[' + b",\n ".join(poison) + b"]}") == poison


@pytest.mark.parametrize(
    "content",
    [
        b"", b"null", b"[]", b"{}", b"<html>", b'{"ok":true}', b'{"ok":true,"result":true}', b'{"ok":true,"result":[',
        b'{"ok":true,"result":[{"update_id":1}', b'{"ok":true,"result":[{"update_id":1}]', b'{"ok":false,"result":[]}',
        b'{"ok":true,"result":{"a":[{"update_id":1}]}}', b'{"result":[]}', b'{"ok":true,"result":[]}}',
    ],
)  # fmt: skip
def test_what_is_no_whole_answer_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        updates(content)
