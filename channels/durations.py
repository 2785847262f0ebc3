"""Durations and sizes as people write them in the configuration: `15m`, `2h`, `180d`, `50MB`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(\d{1,6})\s?([smhdw])")
_DURATIONS = re.compile(r"(?:\d{1,6}\s?[smhdw]\s?)+")
_SIZES = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
_SIZE = re.compile(r"(\d{1,12})\s?(B|KB|MB|GB)", re.IGNORECASE)


def parse_duration(value: object) -> timedelta:
    """`"1h 30m"` -> timedelta. Raises ValueError for anything else (a bare number has no unit)."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and _DURATIONS.fullmatch(value.strip()):
        return timedelta(seconds=sum(int(n) * _UNITS[unit] for n, unit in _DURATION.findall(value)))
    raise ValueError("a duration needs a unit: 30s, 15m, 2h, 180d, 1h 30m")


def parse_size(value: object) -> int:
    """`"50MB"` -> bytes; a bare integer counts as bytes. Raises ValueError otherwise."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(match[1]) * _SIZES[match[2].upper()]
    raise ValueError("a size needs a unit: 256KB, 50MB, 2GB")


def show_duration(value: timedelta) -> str:
    """The shortest text that `parse_duration` reads back."""
    seconds = int(value.total_seconds())
    unit = next((u for u in "wdhm" if seconds and seconds % _UNITS[u] == 0), "s")
    return f"{seconds // _UNITS[unit]}{unit}"


def show_size(value: int) -> str:
    """The shortest text that `parse_size` reads back."""
    unit = next((u for u in ("GB", "MB", "KB") if value and value % _SIZES[u] == 0), "B")
    return f"{value // _SIZES[unit]}{unit}"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(show_duration),
    WithJsonSchema({"type": "string", "pattern": r"^(\d{1,6}\s?[smhdw]\s?)+$", "examples": ["15m", "2h", "180d"]}),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string", "pattern": r"^\d+\s?([KkMmGg]?[Bb])$"}]}),
]
