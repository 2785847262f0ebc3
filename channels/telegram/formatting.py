"""Texts as Telegram takes them: measured in UTF-16 units, cut where a reader would cut, marked up as its HTML.

Limits and markup: https://core.telegram.org/bots/api#sendmessage, #html-style. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from typing import TypeAlias

TEXT_LIMIT = 4096
"""UTF-16 units of a message, after its markup was read."""
CAPTION_LIMIT = 1024
"""UTF-16 units of the text under a file."""
PRESS_LIMIT = 200
"""UTF-16 units of the answer to a pressed button."""
DATA_LIMIT = 64
"""Bytes that a button can send back."""

Span: TypeAlias = tuple[int, int]
"""First character and the one after the last."""

_BORDERS = (re.compile(r"\n[ \t]*\n\s*"), re.compile(r"\n\s*"), re.compile(r"[.!?…]+[\"»”)]*\s+"), re.compile(r"\s+"))
"""Where a text is best cut, the best first: paragraphs, lines, sentences, words."""
_NUMBER = re.compile(r"(?<![\w/+-])[0-9]{7,12}(?![\w/-])")
_LEAST = 0.3
"""A part is at least this full before a lesser border is looked for."""
_JOINERS = frozenset("\u200d\ufe0e\ufe0f\u20e3") | {chr(code) for code in range(0x1F3FB, 0x1F400)}
"""Characters that change the one before them: a cut there would make two signs of one."""


def units(text: str) -> int:
    """Length in UTF-16 code units, as Telegram counts."""
    return len(text) + sum(character > "\uffff" for character in text)


def split(text: str, limit: int) -> list[str]:
    """The text in parts of at most `limit` (2 or more) UTF-16 units, at least one; joined they are the text again.

    Cut behind paragraphs, else lines, sentences, words; a longer word is cut between characters.
    """
    parts = []
    rest = text
    while units(rest) > limit:
        cut = _cut(rest, limit)
        parts.append(rest[:cut])
        rest = rest[cut:]
    return [*parts, rest] if rest or not parts else parts


def _cut(text: str, limit: int) -> int:
    """Characters of the first part, at least one."""
    window = text[: _fitting(text, limit)]
    for border in _BORDERS:
        # White space behind the border may be cut by the window: what is behind it begins the next part.
        ends = [found.end() for found in border.finditer(window) if found.end() >= len(window) * _LEAST]
        if ends:
            return ends[-1]
    return _between_signs(text, len(window))


def _fitting(text: str, limit: int) -> int:
    """How many characters have at most `limit` units together."""
    taken = 0
    for count, character in enumerate(text):
        taken += 2 if character > "\uffff" else 1
        if taken > limit:
            return count
    return len(text)


def _between_signs(text: str, cut: int) -> int:
    """The cut, moved to the front out of a sign of several characters, unless the whole part is one."""
    earlier = cut
    while earlier > 1 and (text[earlier] in _JOINERS or text[earlier - 1] == "\u200d"):
        earlier -= 1
    return earlier if earlier > 1 else cut


def shortened(text: str, limit: int) -> str:
    """The text, or as much of it as fits with "…" at its end."""
    if units(text) <= limit:
        return text
    return text[: _fitting(text, limit - 1)].rstrip() + "…"


# -- markup -------------------------------------------------------------------------------


def numbers_in(text: str) -> list[Span]:
    """Where ticket numbers stand by themselves: 7 to 12 digits that pass the Luhn check (ISO/IEC 7812-1 annex B)."""
    return [found.span() for found in _NUMBER.finditer(text) if _checks(found[0])]


def _checks(digits: str) -> bool:
    doubled = (sum(divmod(int(digit) * 2, 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(int(digit) for digit in digits[::-2])) % 10 == 0


def as_html(text: str, bold: Sequence[Span] = ()) -> str:
    """The text as Telegram's HTML: escaped, each span in `<b>`, every tag closed. Spans are in order and apart."""
    return "".join(_pieces(text, bold))


def _pieces(text: str, bold: Sequence[Span]) -> Iterator[str]:
    borders = [0, *(place for span in bold for place in span), len(text)]
    for index, (start, end) in enumerate(pairwise(borders)):
        piece = escape(text[start:end], quote=False)
        yield f"<b>{piece}</b>" if index % 2 and piece else piece


def clean(text: str) -> str:
    """The text without what no JSON or UTF-8 can carry: lone surrogates and NUL."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "")
