"""Every benchmark can be started as a script and as a module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALL = sorted(path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py"))


MODULES = """
import contextlib, io, runpy, sys
for name in sys.argv[1:]:
    sys.argv, out = [name, "--help"], io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    except SystemExit as end:
        assert not end.code, name
    assert "usage:" in out.getvalue(), name
"""
"""One process for all of them: most of the time goes into starting one."""


@pytest.mark.parametrize("name", ALL)
def test_as_a_script_it_says_what_it_takes(name: str) -> None:
    done = _run(f"benchmarks/{name}.py", "--help")
    assert done.returncode == 0 and "usage:" in done.stdout, done.stderr


def test_as_modules_they_say_what_they_take() -> None:
    done = _run("-c", MODULES, *ALL)
    assert done.returncode == 0, done.stderr


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=220)
