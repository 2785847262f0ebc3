"""Whether the gateway can do its work: small named checks, each a reason or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that must be so; `trouble` is "" when it is, else the reason in words for an operator."""

    name: str
    trouble: Callable[[], str]


class Probed(Protocol):
    """The database as this module sees it."""

    @property
    def healthy(self) -> bool:
        """False after a failed COMMIT until a probe commits."""
        ...


def database(db: Probed) -> Check:
    """The database took the last commit."""
    return Check(
        name="database", trouble=lambda: "" if db.healthy else "a commit failed; waiting for a probe that succeeds"
    )


def workers(alive: Callable[[], int], wanted: Callable[[], int]) -> Check:
    """At least one worker process lives."""

    def trouble() -> str:
        return "" if alive() else f"none of {wanted()} worker processes is alive; they are being started again"

    return Check(name="workers", trouble=trouble)


def listeners(listening: Callable[[], Mapping[str, str]], wanted: Sequence[str]) -> Check:
    """Every port that was asked for is open."""

    def trouble() -> str:
        missing = [name for name in wanted if name not in listening()]
        return f"not listening: {', '.join(missing)}" if missing else ""

    return Check(name="listeners", trouble=trouble)


def disk(folder: Path, least: Callable[[], int]) -> Check:
    """`least()` bytes are free where the data is."""

    def trouble() -> str:
        free = free_bytes(folder)
        return "" if free >= least() else f"only {free // 1024**2} MB free; {least() // 1024**2} MB are needed"

    return Check(name="disk", trouble=trouble)


def free_bytes(folder: Path) -> int:
    """Bytes that we may still write there. Raises OSError when the folder is gone."""
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


def look(checks: Sequence[Check]) -> dict[str, str]:
    """Name -> reason of every check that is in trouble; a check that cannot be made is in trouble."""
    found = {}
    for check in checks:
        try:
            reason = check.trouble()
        except OSError as error:
            reason = f"cannot look: {error.strerror or type(error).__name__}"
        if reason:
            found[check.name] = reason
    return found
