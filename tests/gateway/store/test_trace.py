"""SIGKILL keeps the page cache, so a trace must show it: the disk has it before the 250."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.store.test_kill import ROOT

pytestmark = pytest.mark.services("strace")

SYNC = re.compile(r"f(data)?sync\(")


def traced(folder: Path, options: list[str], strace: list[str]) -> tuple[str, str]:
    """Standard output of the child and the trace of it."""
    trace = folder / "trace"
    command = [
        "strace",
        "-f",
        "-o",
        str(trace),
        *strace,
        sys.executable,
        "-m",
        "tests.gateway.store.child",
        str(folder),
    ]
    done = subprocess.run([*command, *options], cwd=ROOT, check=True, capture_output=True, text=True, timeout=100)
    return done.stdout, trace.read_text()


def events(trace: str) -> list[str]:
    """ "received 3", "synced" (a sync that has returned) and "250 3", in the order of the trace."""
    found = []
    for line in trace.splitlines():
        said = re.search(r'write\(1, "((?:received|250) \d+)', line)
        if said:
            found.append(said[1])
        elif re.search(r"f(data)?sync(\(\d+\)| resumed>\)?)\s*=\s*0|f(data)?sync resumed>.*= 0", line):
            found.append("synced")
    return found


def test_a_sync_has_ended_between_the_last_byte_and_each_250(db_url: str, tmp_path: Path) -> None:
    options = ["--mails", "40", "--senders", "1", "--first", "1"]
    _, trace = traced(tmp_path, options, ["-e", "trace=write,fsync,fdatasync"])
    seen = events(trace)
    for number in range(1, 41):
        between = seen[seen.index(f"received {number}") : seen.index(f"250 {number}")]
        # A big one: its file, its folder, then the WAL.
        assert between.count("synced") >= (3 if number % 5 == 0 and number != 40 else 1), (number, between)


def test_fifty_senders_need_one_sync_for_ten_accepts_at_most(db_url: str, tmp_path: Path) -> None:
    said, trace = traced(tmp_path, ["--mails", "1000", "--senders", "50", "--small"], ["-e", "trace=fsync,fdatasync"])
    commits, jobs = map(int, re.search(r"commits (\d+) jobs (\d+)", said).groups())  # type: ignore[union-attr]
    syncs = len(SYNC.findall(re.sub(r"<\.\.\. f(data)?sync resumed>", "", trace)))
    assert jobs == 1000
    assert commits <= 100
    # Opening, checkpoints and closing have their own.
    assert syncs <= 100 + 20
