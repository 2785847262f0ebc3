"""Tolerant reading of the JSON that Telegram sends: a wrong type is as good as nothing, and nothing raises."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

from normalizer.mail import words
from normalizer.mail.limits import TEXT_CHARS
from normalizer.message import Json

Obj: TypeAlias = Mapping[str, Json]
EMPTY: Obj = {}
ITEMS = 200
"""Members of a list that are looked at."""
NAME_CHARS = 200
_LARGEST = 2**63 - 1
"""Ids have at most 52 significant bits by the documentation; more than 64 are no id of anything."""
_DIGITS = 20
_LAST_SECOND = 253402300799
"""The last one of the year 9999."""


def parse(body: bytes) -> tuple[object, str]:
    """The value of a JSON text, and what was wrong with it: "", "json:bad", "json:too_deep" or "utf8:bad".

    Bytes that are no UTF-8 are replaced, and the rest is read. None when there is nothing to read.
    """
    said = ""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text, said = body.decode("utf-8", "replace"), "utf8:bad"
    try:
        return json.loads(text, parse_int=_integer), said
    except RecursionError:
        return None, "json:too_deep"
    except ValueError:
        return None, "json:bad"


def _integer(digits: str) -> int | None:
    """None for a number that is no id, size or time of anything: reading a million digits takes minutes."""
    return int(digits) if len(digits) <= _DIGITS else None


def obj(value: object) -> Obj:
    """An object; an empty one for everything else."""
    return value if isinstance(value, dict) else EMPTY


def items(value: object) -> Sequence[object]:
    """The first members of a list; none for everything else."""
    return value[:ITEMS] if isinstance(value, list) else ()


def objects(value: object) -> Iterator[Obj]:
    """The objects among the first members of a list."""
    return (one for one in items(value) if isinstance(one, dict))


def number(value: object) -> int | None:
    """A whole number of at most 64 bits."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST else None


def amount(value: object) -> int:
    """A number that is no less than 0; 0 for everything else."""
    return max(number(value) or 0, 0)


def real(value: object) -> float | None:
    """A number with a fraction, no infinity and no NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e9 else None


def when(value: object) -> datetime | None:
    """A time in seconds since 1970; None for 0, which Telegram says where it does not know (a message that is gone)."""
    seconds = number(value) or 0
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds <= _LAST_SECOND else None


def text(value: object) -> str:
    """Text of several lines without NUL, control characters and lone surrogates, and not without end."""
    return tidy(value[:TEXT_CHARS]) if isinstance(value, str) else ""


def tidy(value: str) -> str:
    """The same for text that is read already."""
    return words.clean(value.replace("\r\n", "\n").replace("\r", "\n")).strip("\n")


def line(value: object, most: int = NAME_CHARS) -> str:
    """Text on one line: a name, a title."""
    return words.one_line(value[: most * 4])[:most].strip() if isinstance(value, str) else ""


def identifier(value: object) -> str:
    """An id that Telegram gives as text or number."""
    whole = number(value)
    return str(whole) if whole is not None else line(value, 256)
