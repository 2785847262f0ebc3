"""The pool of worker processes, and the limits that are enforced on them from outside.

A process that takes too long or too much is killed and replaced. When it dies with several entries
nobody can say whose fault that was: they all come back as `Suspect`, to be tried one by one. When
it dies with a single one, that one is `Broken`. Trouble of ours (no process can be started) is `Lost`.
Suspects have a process of their own, so that a message that hangs holds up nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from gateway.log import get_logger
from gateway.worker import HEADER, OUT_OF_MEMORY, Broken, Lost, Parsed, Task, UsePolicy
from normalizer.message import RawMessage, SpooledBody
from router.policy import Policy

CHUNK_ENTRIES = 32
CHUNK_BYTES = 1024 * 1024
SUSPECT_PROCESSES = 2
"""One may hang; the entries that were in its company go on in the other."""
START_SECONDS = 30.0
"""How long a new process may take until it is ready."""
WATCH_SECONDS = 0.05
"""How often the memory of a busy process is looked at."""
RECYCLE_SHARE = 0.5
"""A process that keeps more than this share of its limit after a chunk is replaced."""

log = get_logger(__name__)


class Work(Protocol):
    """What the pool wants to know of a journal entry."""

    @property
    def id(self) -> int:
        """Row of the journal."""
        ...

    @property
    def raw(self) -> RawMessage:
        """With the body inline, or naming its blob."""
        ...

    @property
    def alone(self) -> bool:
        """Held by a process that died: to be tried without company."""
        ...


W = TypeVar("W", bound=Work)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """The process died with this entry and others: try it alone."""

    reason: str


Outcome: TypeAlias = "Parsed | Broken | Lost | Suspect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a worker process may use."""

    seconds: float = 10.0
    """Wall time of one chunk."""
    memory: int = 1024 * 1024 * 1024
    """Bytes resident."""


class Dead(Exception):
    """The worker process is gone; `reason` is a short fixed word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CannotStart(Exception):
    """No worker process can be started: trouble of ours."""


def chunks(entries: Iterable[W], *, suspects: int = 32) -> list[list[W]]:
    """Pack entries, in journal order, into what goes to a process together.

    A chunk has at most 32 entries and 1 MB of bodies; a big body and a suspect (at most `suspects` of
    them) have one of their own. One peer's entries are in one chunk only, so that they are filed in
    order; what does not fit is left out and comes with a later claim.
    """
    made: list[list[W]] = []
    held: set[tuple[str, str]] = set()
    """Peers with an entry in an earlier chunk, or left out."""
    inside: set[tuple[str, str]] = set()
    """Peers of the last chunk."""
    room = 0
    for entry in entries:
        weight = CHUNK_BYTES if must_be_alone(entry) else min(entry.raw.body.size, CHUNK_BYTES)
        fits = bool(made) and weight <= room and len(made[-1]) < CHUNK_ENTRIES
        peer = {(entry.raw.channel, entry.raw.peer)} if entry.raw.peer else set()
        suspects -= entry.alone
        if peer & held or (peer & inside and not fits) or (entry.alone and suspects < 0):
            held |= peer
            continue
        if not fits:
            held |= inside
            inside = set()
            room = CHUNK_BYTES
            made.append([])
        made[-1].append(entry)
        inside |= peer
        room -= max(weight, 1)
    return made


def must_be_alone(entry: Work) -> bool:
    """Suspects and big bodies share a process's time with nobody."""
    return entry.alone or isinstance(entry.raw.body, SpooledBody)


class _Process:
    """One running worker. `Dead` after anything went wrong; then it is of no use any more."""

    def __init__(self, process: asyncio.subprocess.Process, limits: Limits) -> None:
        self._process = process
        self._limits = limits
        self.policy_version = -1
        self._killed_for = ""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lives(self) -> bool:
        return self._process.returncode is None

    async def ask(self, frames: Sequence[bytes], seconds: float) -> Any:
        """Send frames and read one answer. Raises Dead: out of time, out of memory, gone."""
        watch = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(frames)
        except TimeoutError:
            await self.kill("time limit")
            raise Dead("time limit") from None
        except (EOFError, OSError):
            raise Dead(await self._why()) from None
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch

    async def _exchange(self, frames: Sequence[bytes]) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        for frame in frames:
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

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self.resident() > self._limits.memory:
                self._killed_for = "memory limit"
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


class WorkerPool:
    """`count` processes for ordinary chunks and one more, on demand, for entries that must be alone."""

    def __init__(
        self,
        *,
        count: int,
        limits: Limits,
        blobs: Path,
        policy: Policy,
        parsers: str = "",
        on_loss: Callable[[str], None] | None = None,
    ) -> None:
        """`blobs` is the folder for big attachments; `parsers` (module:NAME) plants parsers in tests.

        `on_loss` is told the reason of each process that dies.
        """
        self._count = count
        self._limits = limits
        self._blobs = blobs
        self._parsers = parsers
        self._on_loss = on_loss or _ignore
        self._policy_version = 0
        self._policy_frame = b""
        self.use(policy)
        self._ordinary = asyncio.Semaphore(count)
        self._single = asyncio.Semaphore(SUSPECT_PROCESSES)
        self._singles = 0
        self._idle: dict[bool, list[_Process]] = {False: [], True: []}
        self._alive: set[_Process] = set()
        self._busy = 0
        self._restarts = 0
        self._stopped = False

    @property
    def width(self) -> int:
        """How many ordinary chunks are worked on at once."""
        return self._count

    def stats(self) -> dict[str, int]:
        """Processes alive and busy, and how many had to be replaced since the start."""
        return {"alive": len(self._alive), "busy": self._busy, "restarts": self._restarts}

    def use(self, policy: Policy) -> None:
        """Route by this policy from the next chunk on; it travels to each process once."""
        self._policy_version += 1
        frame = UsePolicy(version=self._policy_version, policy=policy)
        self._policy_frame = pickle.dumps(frame, pickle.HIGHEST_PROTOCOL)

    async def start(self) -> None:
        """Start the ordinary processes. Raises CannotStart."""
        self._stopped = False
        started = await asyncio.gather(*(self._spawn() for _ in range(self._count)))
        self._idle[False].extend(started)

    async def stop(self) -> None:
        """End every process; chunks under way come back as Lost."""
        self._stopped = True
        idle = [process for processes in self._idle.values() for process in processes]
        busy = self._alive.difference(idle)
        await asyncio.gather(*(process.close() for process in idle), *(process.kill("stopped") for process in busy))
        for processes in self._idle.values():
            processes.clear()
        self._alive.clear()

    async def run(self, chunk: Sequence[Work]) -> list[Outcome]:
        """Read one chunk (see `chunks`); one outcome per entry, in order. Never raises for what went wrong."""
        alone = len(chunk) == 1 and chunk[0].alone
        self._singles += alone
        try:
            async with self._process(alone) as process:
                return await self._ask(process, chunk)
        except CannotStart as error:
            return [Lost(reason=str(error))] * len(chunk)
        except Dead as death:
            if self._stopped:
                return [Lost(reason="stopped")] * len(chunk)
            verdict: Outcome = Broken(reason=death.reason) if len(chunk) == 1 else Suspect(reason=death.reason)
            return [verdict] * len(chunk)
        finally:
            self._singles -= alone
            if alone and not self._singles:
                # Nobody is suspected any more: the extra processes end.
                spare, self._idle[True] = self._idle[True], []
                await asyncio.gather(*(self._retire(process) for process in spare))

    async def _ask(self, process: _Process, chunk: Sequence[Work]) -> list[Outcome]:
        frames = [pickle.dumps([Task(id=entry.id, raw=entry.raw) for entry in chunk], pickle.HIGHEST_PROTOCOL)]
        if process.policy_version != self._policy_version:
            process.policy_version = self._policy_version
            frames.insert(0, self._policy_frame)
        answer: list[tuple[int, Parsed | Broken | Lost]] = await process.ask(frames, self._limits.seconds)
        results = dict(answer)
        return [results[entry.id] for entry in chunk]

    @contextlib.asynccontextmanager
    async def _process(self, alone: bool) -> AsyncIterator[_Process]:
        """A process for one chunk; put back afterwards unless it died or has grown too big."""
        async with self._single if alone else self._ordinary:
            if self._stopped:
                raise CannotStart("the pool is stopped")
            idle = self._idle[alone]
            process = self._take(idle) or await self._spawn()
            self._busy += 1
            try:
                yield process
            except Dead as death:
                self._lose(process, death.reason)
                await self._refill(alone)
                raise
            except BaseException:
                # Cancelled in the middle of an answer: the stream is of no use any more.
                await process.kill("cancelled")
                self._alive.discard(process)
                raise
            finally:
                self._busy -= 1
            await self._put_back(process, idle)

    def _take(self, idle: list[_Process]) -> _Process | None:
        while idle:
            process = idle.pop()
            if process.lives:
                return process
            self._lose(process, "died idle")  # nobody's message is to blame
        return None

    async def _put_back(self, process: _Process, idle: list[_Process]) -> None:
        if self._stopped:
            await self._retire(process)
        elif process.resident() > self._limits.memory * RECYCLE_SHARE:
            await self._retire(process)
            await self._refill(idle is self._idle[True])
        else:
            idle.append(process)

    async def _retire(self, process: _Process) -> None:
        await process.close()
        self._alive.discard(process)

    async def _refill(self, alone: bool) -> None:
        """Ordinary processes are replaced at once; when that fails, the next chunk tries again."""
        if not alone and not self._stopped:
            with contextlib.suppress(CannotStart):
                self._idle[False].append(await self._spawn())

    def _lose(self, process: _Process, reason: str) -> None:
        self._alive.discard(process)
        if not self._stopped:
            self._restarts += 1
            self._on_loss(reason)
            log.warning("worker lost", reason=reason)

    async def _spawn(self) -> _Process:
        options = ["--blobs", str(self._blobs), "--memory", str(self._limits.memory), "--parent", str(os.getpid())]
        if self._parsers:
            options += ["--parsers", self._parsers]
        try:
            started = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gateway.worker",
                *options,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise CannotStart(f"cannot start a worker: {error.strerror}") from error
        process = _Process(started, self._limits)
        try:
            await process.ask([], START_SECONDS)
        except Dead as death:
            raise CannotStart(f"a worker does not start: {death.reason}") from death
        except BaseException:
            await process.kill("cancelled")
            raise
        self._alive.add(process)
        return process


def _ignore(_reason: str) -> None:
    return None
