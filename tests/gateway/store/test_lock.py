"""One server per folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.store.lock import AlreadyRunning, ServerLock
from tests.gateway.store.test_kill import ROOT

HOLD = """
import sys
from pathlib import Path
from gateway.store.lock import ServerLock
lock = ServerLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_server_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "var" / "lock")]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunning, match=f"process {first.pid} .*stop it first") as refused:
            ServerLock(tmp_path / "var" / "lock")
        assert refused.value.pid == first.pid
        first.send_signal(signal.SIGKILL)
    with ServerLock(tmp_path / "var" / "lock"):  # a killed server leaves nothing to clean up
        assert (tmp_path / "var" / "lock").read_text() == f"{os.getpid()}\n"


def test_released_is_free(tmp_path: Path) -> None:
    lock = ServerLock(tmp_path / "lock")
    with pytest.raises(AlreadyRunning):
        ServerLock(tmp_path / "lock")
    lock.release()
    lock.release()
    ServerLock(tmp_path / "lock").release()
