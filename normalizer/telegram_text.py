"""What people write in Telegram as plain text: links keep their addresses, code its marks, quotations theirs.

Offsets of entities count UTF-16 code units (Bot API, MessageEntity), so an emoji is two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TypeAlias

from normalizer.mail.limits import TEXT_CHARS
from normalizer.telegram_wire import Obj, line, number, objects, tidy

URL_CHARS = 2000
MARKED_CHARS = 20_000
"""A longer text stands as it is: Telegram's own limit is 4096, and the work grows with text times entities."""
MARKS = 2000
"""Marks that are put into one text: a client sends at most 100 entities."""
_OPEN, _CLOSE = 1, 0
Mark: TypeAlias = tuple[int, int, int, str]
"""(unit, closing before opening, order among equals, what is put in)."""


def written(value: object, entities: object) -> str:
    """The text with what its entities say; wrong offsets and unknown kinds change nothing."""
    raw = value[:TEXT_CHARS] if isinstance(value, str) else ""
    units = raw.encode("utf-16-le", "surrogatepass")
    marks = sorted(islice(_marks(units, entities), MARKS)) if len(raw) <= MARKED_CHARS else []
    if not marks:
        return tidy(raw)
    pieces: list[str] = []
    at = 0
    for unit, _, _, put_in in marks:
        pieces += (units[at : unit * 2].decode("utf-16-le", "surrogatepass"), put_in)
        at = unit * 2
    pieces.append(units[at:].decode("utf-16-le", "surrogatepass"))
    return tidy("".join(pieces))


def linked(label: str, url: str) -> str:
    """A label with the address behind it, once where they are the same."""
    shown = line(url, URL_CHARS)
    return label if not shown or _bare(label) == _bare(shown) else f"{label} ({shown})"


def quoted(text: str) -> str:
    """Lines of somebody else."""
    return "\n".join(f"> {one}".rstrip() for one in text.split("\n"))


def fenced(text: str, language: str = "") -> str:
    """Lines that are read letter by letter."""
    return f"```{language}\n{text}\n```"


def _bare(address: str) -> str:
    return address.strip().lower().removeprefix("https://").removeprefix("http://").rstrip("/")


# -- entities -----------------------------------------------------------------------------


def _marks(units: bytes, entities: object) -> Iterator[Mark]:
    for order, entity in enumerate(objects(entities)):
        start, length = number(entity.get("offset")), number(entity.get("length"))
        if start is None or length is None or start < 0 or length <= 0 or (start + length) * 2 > len(units):
            continue
        kind = entity.get("type")
        make = _KINDS.get(kind) if isinstance(kind, str) else None
        if make is not None:
            span = _whole(units, start), _whole(units, start + length)
            if span[0] == span[1]:
                continue
            # Inner ones close first and open last: entities come sorted, the outer before the inner.
            for unit, side, put_in in make(units, span, entity):
                yield unit, side, order if side == _OPEN else -order, put_in


def _whole(units: bytes, at: int) -> int:
    """A place that cuts no character in two."""
    second_half = units[at * 2 + 1 : at * 2 + 2]
    return at + 1 if b"\xdc" <= second_half <= b"\xdf" else at


Span: TypeAlias = tuple[int, int]
Made: TypeAlias = Iterator[tuple[int, int, str]]


def _link(units: bytes, span: Span, entity: Obj) -> Made:
    label = units[span[0] * 2 : span[1] * 2].decode("utf-16-le", "replace")
    address = linked(label, line(entity.get("url"), URL_CHARS))
    if address != label:
        yield span[1], _CLOSE, address[len(label) :]


def _code(_units: bytes, span: Span, _entity: Obj) -> Made:
    yield span[0], _OPEN, "`"
    yield span[1], _CLOSE, "`"


def _pre(units: bytes, span: Span, entity: Obj) -> Made:
    before, after = _line_feed(units, span[0] - 1), _line_feed(units, span[1])
    yield span[0], _OPEN, f"{before}```{line(entity.get('language'), 40)}\n"
    yield span[1], _CLOSE, f"\n```{after}"


def _line_feed(units: bytes, at: int) -> str:
    """A line feed where there is none yet."""
    return "" if units[at * 2 : at * 2 + 2] == b"\n\0" else "\n"


def _blockquote(units: bytes, span: Span, _entity: Obj) -> Made:
    yield span[0], _OPEN, "> "
    for unit in range(span[0], span[1] - 1):
        if units[unit * 2 : unit * 2 + 2] == b"\n\0":
            yield unit + 1, _OPEN, "> "


_KINDS: Mapping[str, Callable[[bytes, Span, Obj], Made]] = {
    "text_link": _link,
    "code": _code,
    "pre": _pre,
    "blockquote": _blockquote,
    "expandable_blockquote": _blockquote,
}
"""Kinds that say more than their letters; bold, mentions, hashtags and the like are in the text as they are."""
