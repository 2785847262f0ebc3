"""Properties of the texts: nothing is lost, nothing is too long, nothing is cut in two."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channels.telegram.formatting import (
    CAPTION_LIMIT,
    PRESS_LIMIT,
    TEXT_LIMIT,
    as_html,
    clean,
    numbers_in,
    shortened,
    split,
    units,
)

SIGNS = st.sampled_from(["a", "я", "\U0001f600", " ", "\n", "\n\n", ". ", "<b>", "&", "\u200d", "\ufe0f", "слово "])
TEXTS = st.lists(SIGNS, max_size=200).map("".join) | st.text(max_size=300)


@given(TEXTS, st.integers(2, 60))
@example("\U0001f600" * 30, 3)
@example("\n" * 50, 2)
def test_parts_joined_are_the_text_and_each_fits(text: str, limit: int) -> None:
    parts = split(text, limit)
    assert "".join(parts) == text
    assert parts
    assert all(units(part) <= limit for part in parts)
    assert all(parts) or text == ""


@given(TEXTS)
def test_units_are_those_of_utf_16(text: str) -> None:
    assert units(text) == len(text.encode("utf-16-le", "surrogatepass")) // 2


@pytest.mark.parametrize("limit", [TEXT_LIMIT, CAPTION_LIMIT])
def test_a_text_of_just_the_limit_is_one_part(limit: int) -> None:
    assert split("\U0001f600" * (limit // 2), limit) == ["\U0001f600" * (limit // 2)]
    assert [units(part) for part in split("\U0001f600" * (limit // 2) + "a", limit)] == [limit, 1]


@pytest.mark.parametrize(
    ("text", "limit", "parts"),
    [
        ("One.\n\nTwo. Three.\nFour.", 20, ["One.\n\n", "Two. Three.\nFour."]),
        ("One. Two\nthree four", 15, ["One. Two\n", "three four"]),
        ("Раз. Два! Три четыре", 15, ["Раз. Два! ", "Три четыре"]),
        ("one two three", 9, ["one two ", "three"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("A. bcdefghijklmnopqr", 12, ["A. bcdefghij", "klmnopqr"]),
    ],
)
def test_it_is_cut_where_a_reader_would_cut(text: str, limit: int, parts: list[str]) -> None:
    assert split(text, limit) == parts


def test_a_sign_of_several_characters_stays_whole() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert split("x" * 6 + family, 10) == ["x" * 6, family]
    assert split("ab1\ufe0f\u20e3", 4) == ["ab", "1\ufe0f\u20e3"]


@given(TEXTS, st.integers(1, 50))
def test_what_is_shortened_fits_and_begins_as_the_text(text: str, limit: int) -> None:
    short = shortened(text, limit)
    assert units(short) <= limit
    assert short == text or text.startswith(short[:-1])


def test_an_answer_to_a_button_is_at_most_200_units() -> None:
    assert units(shortened("Спасибо! " * 50, PRESS_LIMIT)) <= 200


@given(TEXTS, st.lists(st.integers(0, 300), max_size=6))
def test_markup_says_the_text_and_closes_its_tags(text: str, places: list[int]) -> None:
    borders = sorted({min(place, len(text)) for place in places})
    spans = list(zip(borders[::2], borders[1::2], strict=False))
    marked = as_html(text, spans)
    assert html.unescape(re.sub(r"</?b>", "", marked)) == html.unescape(html.escape(text))
    assert re.findall(r"</?b>", marked) == ["<b>", "</b>"] * len([span for span in spans if span[0] < span[1]])


def test_a_number_is_marked_where_it_stands_by_itself() -> None:
    text = "10000016, x10000016, +10000016, 10000017, https://desk.example/10000016 и 10000016."
    assert [text[start:end] for start, end in numbers_in(text)] == ["10000016"] * 2
    assert numbers_in("") == []


@given(st.text(alphabet=st.characters(), max_size=50))
def test_what_is_clean_can_be_sent(text: str) -> None:
    assert "\0" not in clean(text)
    clean(text).encode("utf-8")
