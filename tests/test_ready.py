"""The process that stands ready starts programs as Python itself would, and tells how they ended."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ready

TELLS = """
import asyncio, json, os, pathlib, random, sys
told = {"argv": sys.argv[1:], "name": __name__, "env": dict(os.environ), "pid": os.getpid(), "folder": os.getcwd()}
told |= {"first": sys.path[0], "drawn": random.random(), "leader": os.getsid(0) == os.getpid()}
told |= {"open": [int(each.name) for each in pathlib.Path("/proc/self/fd").iterdir() if each.exists()]}
print(json.dumps(told))
print("and this", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    made = tmp_path / "tells.py"
    made.write_text(TELLS, encoding="utf-8")
    return made


def test_a_program_is_what_it_would_be_in_a_python_of_its_own(script: Path) -> None:
    env = {"PATH": "/bin", "LC_ALL": "C.UTF-8", "GATEWAY__X": "1"}
    done = ready.run(str(script), "3", "два", env=env, capture=True)
    command = [sys.executable, str(script), "3", "два"]
    own = subprocess.run(command, cwd=ready.ROOT, env=env, capture_output=True, text=True, timeout=180)
    told, wanted = json.loads(done.stdout), json.loads(own.stdout)
    for different in ("pid", "drawn"):
        assert told.pop(different) != wanted.pop(different)
    assert told.pop("open") == wanted.pop("open"), "nothing of ours is open in it"
    assert told == wanted
    assert (done.returncode, done.stderr) == (own.returncode, own.stderr) == (3, "and this\n")


def test_two_draw_different_numbers(script: Path) -> None:
    first, second = (json.loads(ready.run(str(script), "0", capture=True).stdout) for _ in range(2))
    assert first["drawn"] != second["drawn"]


def test_how_it_ended_is_told_as_subprocess_does(tmp_path: Path) -> None:
    waits = tmp_path / "waits.py"
    waits.write_text("import signal\nprint('here', flush=True)\nsignal.pause()\n", encoding="utf-8")
    with ready.program(str(waits), stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "here\n"
        assert program.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(0.01)
        program.kill()
    assert program.returncode == -signal.SIGKILL
    program.kill()
    faulty = tmp_path / "faulty.py"
    faulty.write_text("raise KeyError('what')\n", encoding="utf-8")
    done = ready.run(str(faulty), capture=True)
    assert done.returncode == 1
    assert "KeyError: 'what'" in done.stderr


async def test_in_a_loop_several_may_wait(script: Path) -> None:
    with script.with_suffix(".log").open("wb") as log:
        process = ready.process(str(script), "7", stdout=log, stderr=log)
    assert await asyncio.gather(process.wait(), process.wait()) == [7, 7]
    assert (await process.wait(), process.returncode) == (7, 7)


def test_what_the_environment_tells_python_is_heard(script: Path) -> None:
    done = ready.run("-c", "import sys; print(sys.flags.no_user_site)", env={"PYTHONNOUSERSITE": "1"}, capture=True)
    assert done.stdout == "1\n"
