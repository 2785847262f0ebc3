"""Every benchmark can be started as a script and as a module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALL = sorted(path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py"))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("way", ["script", "module"])
def test_it_says_what_it_takes(name: str, way: str) -> None:
    words = [f"benchmarks/{name}.py"] if way == "script" else ["-m", f"benchmarks.{name}"]
    done = subprocess.run([sys.executable, *words, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "usage:" in done.stdout, done.stderr
