"""Running the program that writes down what is said in a file: bounded in time and output, killed with its children."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

OUTPUT_LIMIT = 1024 * 1024
"""Bytes that the program may print: an hour of talk is a twentieth of it."""
TEXT_LIMIT = 100_000
"""Characters of a transcript that are kept."""
REAP_SECONDS = 5.0
"""A killed program is gone at once, unless its disk is."""
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
"""Of our environment; the rest may hold secrets."""
_SUFFIX_LIMIT = 8


class NoTranscript(Exception):
    """The program gave no text; why is safe to show to staff."""


async def transcribe(
    command: Sequence[str], file: Path, name: str, *, languages: Sequence[str], seconds: float, work: Path
) -> str:
    """What is said in `file`; "" when nothing is. Raises NoTranscript, OSError for our disk.

    The program gets a copy in `work`, with the suffix of `name`: what a blob holds must never change.
    """
    suffix = Path(name).suffix
    suffix = suffix if suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= _SUFFIX_LIMIT else ""
    copy = work / f"transcribe-{os.urandom(8).hex()}{suffix}"
    try:
        await asyncio.to_thread(shutil.copyfile, file, copy)
        printed = await _run(_arguments(command, copy, languages), seconds)
    finally:
        await asyncio.to_thread(copy.unlink, missing_ok=True)
    return " ".join(printed.decode("utf-8", "replace").replace("\0", " ").split())[:TEXT_LIMIT]


def _arguments(command: Sequence[str], file: Path, languages: Sequence[str]) -> list[str]:
    known = {"{file}": str(file), "{languages}": ",".join(languages)}
    filled = list(command)
    for mark, value in known.items():
        filled = [word.replace(mark, value) for word in filled]
    return filled if any("{file}" in word for word in command) else [*filled, str(file)]


class _Output(asyncio.SubprocessProtocol):
    """What the program prints, until it has ended and its output, too."""

    def __init__(self) -> None:
        self.done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.exited = asyncio.Event()
        self._pieces: list[bytes] = []
        self._size = 0
        self._open = 2
        """Of: the program, its output."""

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._size += len(data)
        if self._size <= OUTPUT_LIMIT:
            self._pieces.append(data)
        elif not self.done.done():
            self.done.set_exception(NoTranscript("the program printed more than a text can be"))

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._ended()

    def process_exited(self) -> None:
        self.exited.set()
        self._ended()

    def _ended(self) -> None:
        self._open -= 1
        if self._open == 0 and not self.done.done():
            self.done.set_result(b"".join(self._pieces))


async def _run(arguments: Sequence[str], seconds: float) -> bytes:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        transport, output = await asyncio.get_running_loop().subprocess_exec(
            _Output,
            *arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # so that its children are killed with it
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        raise NoTranscript(f"the program cannot be started: {why or type(error).__name__}") from error
    try:
        async with asyncio.timeout(seconds):
            printed = await output.done
        code = transport.get_returncode()
    except TimeoutError:
        raise NoTranscript(f"the program took longer than {seconds:g} s") from None
    finally:
        # The whole group, children that outlived the program included; whoever left the group loses the pipe.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(transport.get_pid(), signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(output.exited.wait(), REAP_SECONDS)
        transport.close()
    if code != 0:
        raise NoTranscript(f"the program ended with {code}")
    return printed
