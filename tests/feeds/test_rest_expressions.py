"""What is filled in without Jinja is what Jinja would have filled in."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.feeds.contract import FeedError
from gateway.feeds.rest_expressions import compiled, filling, read

VALUES: dict[str, Any] = {
    "key": "k 1/ü",
    "ticket": {"number": 17, "none": None, "due": "2026-11-20T15:00:00+00:00", "tags": ["a"], "person": {"name": "О"}},
    "files": [],
}


@pytest.mark.parametrize(
    "text",
    [
        "", "plain", "two\nlines", "an end\n", "a\r\nb", "one { brace }", "{{ key }}", "{{key}}", " {{ key }} ",
        "{{ key }}\n",
        "{{ ticket.number }}", "no {{ ticket.number }}", "{{ ticket.none }}", "-{{ ticket.none }}-", "{{ files }}",
        "{{ ticket.tags }}", "{{ ticket.person }}", "{{ ticket.person.name }}", "/t/{{ key | part }}/m",
        "{{ key | part }}",
        "{{ ticket.due | local('Europe/Kyiv') }}", "{{ ticket.due | local('Europe/Kyiv', form='%d') }}",
        "{{ ticket.due | local('Europe/Kyiv', '%H:%M') | part }}", "{{ key | upper }}", "{{ key | upper | part }}",
        "{{ ticket['number'] }}", "{{ not ticket.none }}", "{{ 'a' }}", "{% if key %}yes{% endif %}", "{# said #}x",
        "{{ key }}{{ ticket.number }}", "{{ ticket.person.name or key }}",
    ],
)  # fmt: skip
def test_quick_and_slow_are_alike(text: str) -> None:
    quick, slow = filling(text)(VALUES), compiled(text)(VALUES)
    assert (quick, type(quick)) == (slow, type(slow))


@pytest.mark.parametrize(
    "text", ["{{ nobody }}", "x {{ ticket.nothing }}", "{{ ticket.number.more }}", "{{ nobody | part }}"]
)
def test_a_name_that_there_is_not_is_said(text: str) -> None:
    with pytest.raises(FeedError, match="cannot be computed"):
        filling({"a": [text]})(VALUES)


def test_a_value_that_a_filter_does_not_take_is_said_without_its_words() -> None:
    with pytest.raises(FeedError) as error:
        filling("{{ key | local('Europe/Kyiv') }}")(VALUES)
    assert "ValueError" in str(error.value) and "k 1" not in str(error.value)


def test_shapes_keep_what_is_no_text() -> None:
    shape = {"a": 1, "b": [True, None, {"c": "{{ ticket.number }}"}], "d": "x"}
    assert filling(shape)(VALUES) == {"a": 1, "b": [True, None, {"c": 17}], "d": "x"}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("answer.id", 5), ("answer.gone", None), ("answer.gone.deeper", None), ("answer.null", None),
        ("answer.null.deeper", None), ("answer.items", "ours"), ("answer.list", [1, 2]), ("answer.list[-1]", 2),
        ("answer.list.first", None), ("answer.text.more", None), ("false", False), ("nobody", None),
        ("answer.id == 5", True), ("answer.gone or 'else'", "else"), (" answer.id ", 5),
    ],
)  # fmt: skip
def test_places_of_an_answer(expression: str, value: object) -> None:
    answer = {"id": 5, "null": None, "items": "ours", "list": [1, 2], "text": "words"}
    assert read(expression, {"answer": answer}) == value
