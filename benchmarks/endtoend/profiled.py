"""`gateway` with a profile of its threads: python profiled.py FILE serve …

Every thread has a cProfile of its own; at the end FILE holds, for each, the functions that took most time themselves.
Profiled code is about twice as slow, and calls of C functions are shown dearer than they are.
"""

from __future__ import annotations

import cProfile
import io
import pstats
import sys
import threading
from pathlib import Path
from typing import Any

MOST = 45
"""Functions shown of each thread, by each of two orders."""

_profiles: dict[str, cProfile.Profile] = {}
_run = threading.Thread.run


def _profiled_run(thread: threading.Thread) -> None:
    profile = _profiles.setdefault(thread.name, cProfile.Profile())
    profile.runcall(_run, thread)


def _shown(name: str, profile: cProfile.Profile) -> str:
    text = io.StringIO()
    stats: Any = pstats.Stats(profile, stream=text)
    text.write(f"==== thread {name}\n")
    stats.sort_stats("tottime").print_stats(MOST)
    stats.sort_stats("cumulative").print_stats(MOST)
    return text.getvalue()


def main() -> None:
    """Run `gateway` with the rest of the arguments, then write the profiles."""
    from gateway.cli import main as run

    target = Path(sys.argv[1])
    threading.Thread.run = _profiled_run  # type: ignore[method-assign]
    profile = cProfile.Profile()
    try:
        profile.runcall(run, sys.argv[2:])
    finally:
        threading.Thread.run = _run  # type: ignore[method-assign]
        found = {"main": profile, **_profiles}
        target.write_text("\n".join(_shown(*item) for item in found.items()), encoding="utf-8")


if __name__ == "__main__":
    main()
