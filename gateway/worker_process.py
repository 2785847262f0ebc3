"""One worker process as the gateway holds it: asked over pipes, watched, and killed when it must be."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.worker_protocol import HEADER, OUT_OF_MEMORY

WATCH_SECONDS = 0.05
"""How often the memory and the time of a busy process are looked at."""
STOOD_STILL = 1.0
"""Seconds that one look counts at most. One that comes later than this was kept by a machine that stood still, or by
ourselves: the process may have been kept as long, and its answer may lie in the pipe."""


class Dead(Exception):
    """The worker process is gone; `reason` is a short fixed word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Awake:
    """Seconds that have passed while somebody looked: a pause of the machine is no time that a message took."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Counts from now."""
        self._monotonic, self._seen, self._seconds = monotonic, monotonic(), 0.0

    def look(self) -> float:
        """The seconds so far; to be called often."""
        now = self._monotonic()
        self._seconds += min(now - self._seen, STOOD_STILL)
        self._seen = now
        return self._seconds


class Process:
    """One running worker. After anything went wrong (`Dead`) it is of no use any more."""

    def __init__(self, process: asyncio.subprocess.Process, memory: int) -> None:
        self._process = process
        self.memory = memory
        self.policy_version = -1
        self._killed_for = ""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lives(self) -> bool:
        return self._process.returncode is None

    async def ask(self, frame: bytes, seconds: float) -> Any:
        """Send a frame (b"": none) and read one answer within so many seconds awake (see `Awake`).

        Raises Dead: out of time, out of memory, gone.
        """
        watch = asyncio.create_task(self._watch(Awake(), seconds))
        try:
            return await self._exchange(frame)
        except (EOFError, OSError):
            raise Dead(await self._why()) from None
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch

    async def _exchange(self, frame: bytes) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        if frame:
            stdin.write(HEADER.pack(len(frame)))
            stdin.write(frame)
        # Written and read at once: a worker that answers early must not wait for us to finish writing.
        draining = asyncio.ensure_future(stdin.drain())
        try:
            (length,) = HEADER.unpack(await stdout.readexactly(HEADER.size))
            answer = await stdout.readexactly(length)
            await draining
        finally:
            draining.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await draining
        return pickle.loads(answer)

    async def _watch(self, awake: Awake, seconds: float) -> None:
        """Kill it when it has too much or takes too long; whoever reads its answer meets the end of the pipe."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self.resident() > self.memory:
                self._killed_for = "memory limit"
            elif awake.look() > seconds:
                self._killed_for = "time limit"
            if self._killed_for:
                self._signal()
                return

    def resident(self) -> int:
        """Bytes of memory really used; 0 when the process is gone."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    async def _why(self) -> str:
        status = await self._ended()
        if self._killed_for:
            return self._killed_for
        if status == OUT_OF_MEMORY:
            return "memory limit"
        return f"killed by signal {-status}" if status < 0 else f"exit status {status}"

    async def _ended(self) -> int:
        try:
            async with asyncio.timeout(1.0):
                return await self._process.wait()
        except TimeoutError:
            # It closed its pipe and lives on.
            self._signal()
            return await self._process.wait()

    async def kill(self, reason: str) -> None:
        """End it now, whatever it does, and wait until it is gone."""
        self._killed_for = self._killed_for or reason
        self._signal()
        await self._process.wait()

    async def close(self) -> None:
        """Let it end by itself (its input ends), or kill it after a second."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._ended()

    def _signal(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
