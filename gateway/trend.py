"""When will the disk be full? A straight line through the free space of the last days."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from channels.contract import Clock
from gateway.health import Check

EVERY = timedelta(hours=1)
"""Between two samples."""
WINDOW = timedelta(days=7)
LEAST = timedelta(hours=6)
"""A shorter past says nothing: a backup or an import comes and goes."""
Sample: TypeAlias = tuple[datetime, int]
"""When, and bytes free then."""


def full_in(samples: Sequence[Sample]) -> timedelta | None:
    """How long the free space lasts at the pace of these samples (oldest first); None when it does not shrink.

    The pace is the slope of the least squares line, so that one odd sample decides nothing.
    """
    if len(samples) < 2 or samples[-1][0] - samples[0][0] < LEAST:
        return None
    start = samples[0][0]
    seconds = [(at - start).total_seconds() for at, _ in samples]
    middle, mean = sum(seconds) / len(samples), sum(free for _, free in samples) / len(samples)
    spread = sum((second - middle) ** 2 for second in seconds)
    slope = sum((s - middle) * (free - mean) for s, (_, free) in zip(seconds, samples, strict=True)) / spread
    if slope >= 0:
        return None
    return timedelta(seconds=min(samples[-1][1] / -slope, timedelta(days=3650).total_seconds()))


class Trend:
    """Keeps hourly samples in a small file, so that a restart forgets nothing."""

    def __init__(self, file: Path, free: Callable[[], int], clock: Clock) -> None:
        """`free` tells the bytes free now and may raise OSError."""
        self._file, self._free, self._clock = file, free, clock
        self._samples: list[Sample] = _read(file)

    def sample(self) -> Sequence[Sample]:
        """Take a sample when one is due; all of the last days. Raises OSError."""
        now = self._clock()
        if not self._samples or now - self._samples[-1][0] >= EVERY:
            kept = [(at, free) for at, free in self._samples if now - WINDOW <= at <= now]
            self._samples = [*kept, (now, self._free())]
            temporary = self._file.with_suffix(".tmp")
            rows = [(at.isoformat(), free) for at, free in self._samples]
            temporary.write_text(json.dumps(rows), encoding="ascii")
            temporary.replace(self._file)
        return self._samples


def _read(file: Path) -> list[Sample]:
    try:
        rows = json.loads(file.read_text(encoding="ascii"))
        return [(datetime.fromisoformat(at), int(free)) for at, free in rows]
    except (OSError, ValueError, TypeError):
        return []  # the past is a help, not a need


def check(trend: Trend, warn: Callable[[], timedelta]) -> Check:
    """The disk is not full within `warn()`; zero: never asked."""

    def trouble() -> str:
        left = full_in(trend.sample())
        if not warn() or left is None or left >= warn():
            return ""
        days = left / timedelta(days=1)
        return (
            f"at the pace of the last days the disk is full in {days:.0f} days"
            if days >= 1
            else (f"at the pace of the last days the disk is full in {left / timedelta(hours=1):.0f} hours")
        )

    return Check(name="disk trend", trouble=trouble)
