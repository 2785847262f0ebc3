"""What a caller was answered, as the store keeps it: a repeated request gets it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from normalizer.call import Act, Collect, Connect, HangUp, Line, Piece, Record, Speak
from normalizer.message import Json

KINDS: Mapping[str, type[Act]] = {
    "speak": Speak, "collect": Collect, "record": Record, "connect": Connect, "hang_up": HangUp,
}  # fmt: skip
_NAMES = {kind: name for name, kind in KINDS.items()}


def as_json(act: Act) -> dict[str, Json]:
    """What `from_json` reads."""
    return {"kind": _NAMES[type(act)], **asdict(act)}


def from_json(kept: Mapping[str, Any]) -> Act:
    """The act. Raises KeyError or TypeError for what this version did not write."""
    lines = tuple(_line(**line) for line in kept["lines"])
    rest = {name: value for name, value in kept.items() if name not in ("kind", "lines")}
    return KINDS[kept["kind"]](lines=lines, **rest)


def _line(language: str, words: str, pieces: Sequence[Mapping[str, str]] = ()) -> Line:
    return Line(language=language, words=words, pieces=tuple(Piece(**piece) for piece in pieces))
