"""What a caller was answered, as the store keeps it: a repeated request gets it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from normalizer.call import Act, Collect, Connect, HangUp, Line, Piece, Record, Speak
from normalizer.message import Json

KINDS: Mapping[str, type[Act]] = {
    "speak": Speak, "collect": Collect, "record": Record, "connect": Connect, "hang_up": HangUp,
}  # fmt: skip
_NAMES = {kind: name for name, kind in KINDS.items()}
_REST = {kind: tuple(each.name for each in fields(kind) if each.name != "lines") for kind in KINDS.values()}
"""Kind of act -> its fields beside what is said."""


def as_json(act: Act) -> dict[str, Json]:
    """What `from_json` reads."""
    kind = type(act)
    rest = {name: getattr(act, name) for name in _REST[kind]}
    return {"kind": _NAMES[kind], "lines": [_line_as_json(line) for line in act.lines], **rest}


def _line_as_json(line: Line) -> dict[str, Json]:
    pieces: list[Json] = [{"words": piece.words, "name": piece.name} for piece in line.pieces]
    return {"language": line.language, "words": line.words, "pieces": pieces}


def from_json(kept: Mapping[str, Any]) -> Act:
    """The act. Raises KeyError or TypeError for what this version did not write."""
    lines = tuple(_line(**line) for line in kept["lines"])
    rest = {name: value for name, value in kept.items() if name not in ("kind", "lines")}
    return KINDS[kept["kind"]](lines=lines, **rest)


def _line(language: str, words: str, pieces: Sequence[Mapping[str, str]] = ()) -> Line:
    return Line(language=language, words=words, pieces=tuple(Piece(**piece) for piece in pieces))
