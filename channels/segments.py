"""How many parts a text message takes, and where a long one is divided. Pure.

3GPP TS 23.038: a text of the GSM 7-bit default alphabet and its extension table (6.2.1, 6.2.1.1) takes one septet a
character, two from the extension table; any other text is UCS-2 and counted in UTF-16 units (6.2.3). One message holds
140 bytes; each part of a longer one has a header of six bytes (TS 23.040 section 9.2.3.24.1), so a part holds less.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias

Encoding: TypeAlias = Literal["GSM-7", "UCS-2"]

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""TS 23.038 section 6.2.1, without the escape."""
EXTENSION = frozenset("\f^{}\\[~]|€")
"""TS 23.038 section 6.2.1.1: an escape and another septet."""
ALONE: dict[Encoding, int] = {"GSM-7": 160, "UCS-2": 70}
"""Units of a message that is one part."""
JOINED: dict[Encoding, int] = {"GSM-7": 153, "UCS-2": 67}
"""Units of each part of a longer one."""
_BORDERS = ("\n\n", "\n", ". ", "! ", "? ", "; ", ", ", " ")
"""Where a text is divided, the best first."""
_JOINER = "\u200d"


def encoding(text: str) -> Encoding:
    """What the text goes out in: one character that GSM-7 lacks makes all of it UCS-2."""
    return "GSM-7" if all(char in BASIC or char in EXTENSION for char in text) else "UCS-2"


def units(text: str) -> int:
    """Septets, or UTF-16 units, by the text's own encoding."""
    return sum(map(_weight(encoding(text)), text))


def segments(text: str) -> int:
    """How many parts the text takes, at least one. A character of two units is not divided between parts."""
    used = encoding(text)
    weight = _weight(used)
    if sum(map(weight, text)) <= ALONE[used]:
        return 1
    parts, full = 1, 0
    for char in text:
        if full + weight(char) > JOINED[used]:
            parts, full = parts + 1, 0
        full += weight(char)
    return parts


def divided(text: str, most: int) -> tuple[str, ...]:
    """The text as messages of at most `most` parts each, at least one message; nothing but white space is left out.

    They end at a paragraph, a line, a sentence or a word where there is one in the second half, else between characters
    that a reader sees. Raises ValueError for a `most` below one.
    """
    if most < 1:
        raise ValueError("a message has at least one part")
    return divided_by(text, lambda piece: segments(piece) <= most)


def divided_by(text: str, fits: Callable[[str], bool]) -> tuple[str, ...]:
    """The same by another measure: where a text fits, its every beginning must."""
    rest, made = text.strip(), list[str]()
    while not fits(rest):
        end = _border(rest, max(_longest(len(rest), partial(_begins, rest, fits)), 1))
        made.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return (*made, rest) if rest or not made else tuple(made)


def shortened(text: str, most: int, tail: str = "") -> str:
    """The text, or as much from its beginning as goes with `tail` into `most` parts; three dots show that it was cut.

    `tail` is always there; alone, when it fills the parts by itself.
    """
    whole = f"{text.strip()} {tail}".strip()
    if segments(whole) <= most:
        return whole

    def joined(end: int) -> str:
        return f"{text.strip()[:end].rstrip()}... {tail}".strip()

    end = _longest(len(text.strip()), lambda end: segments(joined(end)) <= most)
    return joined(_border(text.strip(), end)) if end else tail


def _weight(used: Encoding) -> Callable[[str], int]:
    if used == "GSM-7":
        return lambda char: 2 if char in EXTENSION else 1
    return lambda char: 2 if ord(char) > 0xFFFF else 1


def _begins(text: str, fits: Callable[[str], bool], end: int) -> bool:
    return fits(text[:end])


def _longest(most: int, fits: Callable[[int], bool]) -> int:
    """The highest number that fits, where all below it do; 0 when none does."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _border(text: str, end: int) -> int:
    """Where to end a piece of at most `end` characters."""
    if end >= len(text):
        return len(text)
    for border in _BORDERS:
        # The white space of a border may be one too many: it is left out.
        found = text.rfind(border, end // 2, end + 1)
        if found > 0:
            return found + len(border)
    inner = end
    while inner > 1 and _belongs(text, inner):
        inner -= 1
    return inner if not _belongs(text, inner) else end


def _belongs(text: str, at: int) -> bool:
    """Whether what a reader sees as one character goes on here (UAX 29, as far as a text message needs it)."""
    char = text[at]
    if text[at - 1] == _JOINER or char == _JOINER or "\U0001f3fb" <= char <= "\U0001f3ff":
        return True
    return unicodedata.category(char) in ("Mn", "Me", "Mc")
