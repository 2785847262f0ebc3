"""Programs of ours that tests start, without loading the same modules hundreds of times.

A start of the gateway is mostly the loading of nine hundred modules and of the shipped texts and words. One process has
loaded them and stands ready: asked for a program it forks, and the copy becomes that program. It is a process as any
other, with a number, files, memory and an end of its own; only how its modules came into memory differs. What is
*about* a start, about memory, about system calls or about what is loaded starts a Python of its own instead.
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
import os
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from gateway import settings_files
from tests.once import parse_once

ROOT = Path(__file__).parents[1]
LOADED = (
    "uvloop", "gateway.app", "gateway.cli.serve", "gateway.cli.check", "gateway.cli.backup", "gateway.cli.restore",
    "gateway.cli.feeds", "gateway.cli.status", "gateway.cli.outbox", "gateway.cli.reload", "gateway.cli.journal",
    "gateway.cli.prompts", "gateway.feeds.registry", "gateway.store.postgres", "channels.mail.build",
)  # fmt: skip
LONGEST = 200_000
"""Bytes of a request: words and environment of a program."""


# -- the side of the tests ------------------------------------------------------------------


class Child:
    """A program that was started; what is alike for those who wait in a loop and those who wait in a thread."""

    def __init__(self, pid: int, status: int, stdout: IO[str] | None = None) -> None:
        """`status`: a pipe that gives the return code at the end; `stdout`: what it writes, if that was asked for."""
        self.pid, self.stdout, self._status = pid, stdout, status
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its return code, as `subprocess` has it; None while it runs."""
        if self._code is None and self._readable(0):
            said = os.read(self._status, 16)
            os.close(self._status)
            if not said:
                raise RuntimeError("the process that started it is gone")
            self._code = int(said)
        return self._code

    @property
    def returncode(self) -> int | None:
        """See `poll`."""
        return self.poll()

    def send_signal(self, signum: int) -> None:
        """To the process itself; harmless when it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ends just now, and its return code is on its way
                os.kill(self.pid, signum)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _readable(self, seconds: float | None) -> bool:
        poll = select.poll()
        poll.register(self._status, select.POLLIN)
        return bool(poll.poll(None if seconds is None else seconds * 1000))


class Program(Child):
    """One that is waited for as a `subprocess.Popen` is."""

    def wait(self, timeout: float | None = None) -> int:
        """Its return code. Raises subprocess.TimeoutExpired; `timeout` is in seconds."""
        if self._code is None and not self._readable(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        if self.stdout is not None:
            self.stdout.close()
        self.wait()


class Process(Child):
    """One that is waited for as an `asyncio.subprocess.Process` is."""

    async def wait(self) -> int:
        """Its return code."""
        while (code := self.poll()) is None:
            await self._ended()
        return code

    async def _ended(self) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        watched = os.dup(self._status)  # a descriptor of its own: several may wait
        loop.add_reader(watched, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(watched)
            os.close(watched)


def program(
    *words: str, stdout: int | IO[Any] | None = None, stderr: int | IO[Any] | None = None,
    env: Mapping[str, str] | None = None, start_new_session: bool = False,
) -> Program:  # fmt: skip
    """Start a Python with these words: `-m MODULE …` or `FILE …`, in the project's folder. As `subprocess.Popen`."""
    return Program(*_ready().start(words, stdout, stderr, env, start_new_session))


def process(
    *words: str, stdout: int | IO[Any] | None = None, stderr: int | IO[Any] | None = None,
    env: Mapping[str, str] | None = None, start_new_session: bool = False,
) -> Process:  # fmt: skip
    """As `program`, for a loop: as `asyncio.create_subprocess_exec`."""
    return Process(*_ready().start(words, stdout, stderr, env, start_new_session))


def run(
    *words: str, env: Mapping[str, str] | None = None, timeout: float = 180, capture: bool = False
) -> subprocess.CompletedProcess[str]:
    """A program from its start to its end. Raises subprocess.TimeoutExpired, and then it is dead; seconds.

    Where the environment tells Python something, it is a Python of its own.
    """
    if env is not None and any(name.startswith("PYTHON") and os.environ.get(name) != env[name] for name in env):
        command = [sys.executable, *words]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=capture, text=True, timeout=timeout)
    with TemporaryFile("w+", encoding="utf-8") as out, TemporaryFile("w+", encoding="utf-8") as err:
        child = program(*words, stdout=out if capture else None, stderr=err if capture else None, env=env)
        try:
            child.wait(timeout)
        finally:
            child.kill()
            code = child.wait()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(list(words), code, out.read(), err.read())


class Ready:
    """The process that stands ready, started at the first use."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._turn = threading.Lock()
        with theirs:
            command = [sys.executable, "-m", "tests.ready", str(theirs.fileno())]
            self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()])

    def start(
        self, words: Sequence[str], stdout: int | IO[Any] | None, stderr: int | IO[Any] | None,
        env: Mapping[str, str] | None, session: bool,
    ) -> tuple[int, int, IO[str] | None]:  # fmt: skip
        """Its number, the pipe of its return code, and what it writes (with `subprocess.PIPE`)."""
        asked = {"words": words, "env": dict(os.environ if env is None else env), "session": session}
        status, theirs = os.pipe()
        reading, writing = os.pipe() if stdout == subprocess.PIPE else (-1, _number(stdout, 1))
        try:
            with self._turn:
                given = [0, writing, _number(stderr, 2), theirs]
                socket.send_fds(self._socket, [json.dumps(asked).encode()], given)
                said = self._socket.recv(16)
        finally:
            os.close(theirs)
            if reading >= 0:
                os.close(writing)
        if not said:
            raise RuntimeError("the process that stands ready has ended")
        return int(said), status, os.fdopen(reading, encoding="utf-8") if reading >= 0 else None

    def close(self) -> None:
        """End it; what it started goes on."""
        self._socket.close()
        self._process.wait(90)


def _number(given: int | IO[Any] | None, usual: int) -> int:
    return usual if given is None else given if isinstance(given, int) else given.fileno()


@cache
def _ready() -> Ready:
    return Ready()


def close() -> None:
    """At the end of a session of tests."""
    if _ready.cache_info().currsize:
        _ready().close()
        _ready.cache_clear()


# -- the process that stands ready ----------------------------------------------------------


def stand_ready(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Fork for every request. Returns in the copies, with what to become; None at the end of the tests."""
    gc.disable()
    for name in LOADED:
        import_module(name)
    parse_once()
    settings_files.load(ROOT / "config")  # what is the same for every copy
    gc.freeze()  # so that a collection in a copy does not touch, and so copy, all of it
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise RuntimeError("a fork would lose a thread")
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ, None)
        while True:
            for key, _ in selector.select():
                if key.data is not None:
                    selector.unregister(key.fd)
                    _tell_end(key.fd, *key.data)
                    continue
                message, given, _, _ = socket.recv_fds(control, LONGEST, 4)
                if not message:
                    return None
                pid = os.fork()
                if pid == 0:
                    others = [each for one in selector.get_map().values() if one.data for each in (one.fd, one.data[1])]
                    for each in (*others, given.pop()):
                        os.close(each)
                    return json.loads(message), given
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, given.pop()))
                for each in given:
                    os.close(each)
                control.send(str(pid).encode())


def _tell_end(watched: int, pid: int, status: int) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(status, str(code).encode())
    os.close(status)
    os.close(watched)


def become(asked: Mapping[str, Any], given: Sequence[int]) -> None:
    """The program that was asked for, as if this Python had just been started for it."""
    for target, source in enumerate(given):
        os.dup2(source, target)
        os.close(source)
    if asked["session"]:
        os.setsid()
    os.environ.clear()
    os.environ.update(asked["env"])
    time.tzset()
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False), encoding="utf-8")  # noqa: SIM115
    sys.stderr = io.TextIOWrapper(
        open(2, "wb", closefd=False), encoding="utf-8", errors="backslashreplace", line_buffering=True  # noqa: SIM115
    )  # fmt: skip
    gc.enable()
    flag, *words = asked["words"]
    if flag == "-m":
        name, *words = words
        sys.argv = [name, *words]
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    else:
        sys.argv = [flag, *words]
        sys.path[0] = str(Path(flag).parent)
        runpy.run_path(flag, run_name="__main__")


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        wanted = stand_ready(listening)
    if wanted is not None:
        become(*wanted)
