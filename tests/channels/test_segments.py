"""Counting and dividing text messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.segments import ALONE, BASIC, EXTENSION, JOINED, divided, encoding, segments, shortened, units

CYRILLIC = "Ваша заявка 4172835 принята. Ответим до 14:00. "
TEXTS = st.one_of(
    st.text(max_size=900),
    st.text(alphabet=sorted(BASIC | EXTENSION), max_size=900),
    st.text(alphabet="абвгдеёжзїєґ \n.,!👍🏽é№", max_size=900),
)


def test_the_alphabets_are_those_of_the_standard() -> None:
    assert (len(BASIC), len(EXTENSION)) == (127, 10)
    assert not BASIC & EXTENSION


@pytest.mark.parametrize(
    ("text", "used", "units_", "parts"),
    [
        ("", "GSM-7", 0, 1),
        ("a" * 160, "GSM-7", 160, 1),
        ("a" * 161, "GSM-7", 161, 2),
        ("a" * 306, "GSM-7", 306, 2),
        ("a" * 307, "GSM-7", 307, 3),
        ("€" * 80, "GSM-7", 160, 1),
        ("€" * 81, "GSM-7", 162, 2),
        ("a" * 152 + "€" * 5, "GSM-7", 162, 2),
        ("a" * 152 + "€" + "b" * 151, "GSM-7", 305, 2),
        ("a" * 152 + "€" + "b" * 152, "GSM-7", 306, 3),
        ("я" * 70, "UCS-2", 70, 1),
        ("я" * 71, "UCS-2", 71, 2),
        ("я" * 134, "UCS-2", 134, 2),
        ("я" * 135, "UCS-2", 135, 3),
        ("👍" * 35, "UCS-2", 70, 1),
        ("👍" * 36, "UCS-2", 72, 2),
        ("я" * 66 + "👍" + "я" * 66, "UCS-2", 134, 3),
        ("a" * 69 + "№", "UCS-2", 70, 1),
        ("a" * 70 + "№", "UCS-2", 71, 2),
        ("`", "UCS-2", 1, 1),
        ("я" * 1600, "UCS-2", 1600, 24),
    ],
)
def test_one_text_and_its_parts(text: str, used: str, units_: int, parts: int) -> None:
    assert (encoding(text), units(text), segments(text)) == (used, units_, parts)


@given(TEXTS)
def test_parts_hold_what_the_standard_says(text: str) -> None:
    used, size, parts = encoding(text), units(text), segments(text)
    assert (parts == 1) == (size <= ALONE[used])
    if parts > 1:
        # A part may stay one unit short, for a character of two.
        assert (parts - 1) * (JOINED[used] - 1) < size <= parts * JOINED[used]
    assert size == (len(text.encode("utf-16-le")) // 2 if used == "UCS-2" else size)


@given(TEXTS, st.integers(1, 4))
def test_what_is_divided_fits_and_is_all_there(text: str, most: int) -> None:
    pieces = divided(text, most)
    assert pieces
    assert all(segments(piece) <= most for piece in pieces)
    assert all(piece for piece in pieces) or pieces == ("",)
    assert "".join("".join(pieces).split()) == "".join(text.split())


@given(TEXTS, st.integers(1, 4), st.sampled_from(["", "https://desk.example/t/abc"]))
def test_what_is_shortened_fits_and_begins_alike(text: str, most: int, tail: str) -> None:
    made = shortened(text, most, tail)
    assert segments(made) <= most
    assert made.endswith(tail)
    said = made.removesuffix(tail).rstrip()
    assert text.strip().startswith(said.removesuffix("...").rstrip()) or not said


def test_a_text_is_divided_where_a_reader_would() -> None:
    first, second = CYRILLIC * 3, CYRILLIC * 2
    assert divided(f"{first}\n\n{second}", 3) == (first.strip(), second.strip())
    assert divided(CYRILLIC * 5, 1)[0].endswith(".")
    words = divided("слово " * 40, 1)
    assert all(piece.split() == ["слово"] * len(piece.split()) for piece in words)


def test_a_character_that_is_seen_as_one_is_not_divided() -> None:
    thumb = "👍🏽"
    assert all(piece.count("👍") == piece.count("🏽") for piece in divided(thumb * 60, 1))
    accented = "е́"
    assert all(not piece.startswith("\u0301") for piece in divided(accented * 90, 1))


def test_a_message_has_at_least_one_part() -> None:
    with pytest.raises(ValueError, match="at least one"):
        divided("a", 0)
