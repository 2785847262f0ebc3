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
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from gateway.log import get_logger
from gateway.worker_process import Dead, Process
from gateway.worker_protocol import Broken, Lost, Parsed, Task, UsePolicy, packed
from normalizer.message import RawMessage, SpooledBody
from router.policy import Policy

CHUNK_ENTRIES = 32
CHUNK_BYTES = 1024 * 1024
SUSPECT_PROCESSES = 2
"""One may hang; the entries that were in its company go on in the other."""
START_SECONDS = 30.0
"""How long a new process may take until it is ready."""
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
    """Wall time of one chunk; what a machine stood still does not count."""
    memory: int = 1024 * 1024 * 1024
    """Bytes resident."""


class CannotStart(Exception):
    """No worker process can be started: trouble of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resized:
    """Another size of a pool, with its processes running; see `WorkerPool.prepare`."""

    count: int
    limits: Limits
    processes: Sequence[Process]


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
        self._idle: dict[bool, list[Process]] = {False: [], True: []}
        self._alive: set[Process] = set()
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
        self._policy_frame = packed(frame)

    async def start(self) -> None:
        """Start the ordinary processes. Raises CannotStart."""
        self._stopped = False
        started = await asyncio.gather(*(self._spawn(self._limits) for _ in range(self._count)))
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

    async def prepare(self, count: int, limits: Limits) -> Resized | None:
        """Start what another count or other limits need; None when nothing would change. Raises CannotStart.

        Nothing has changed until `adopt`; what is not adopted is given to `discard`.
        """
        if (count, limits) == (self._count, self._limits):
            return None
        started: list[Process] = []
        try:
            for _ in range(count):
                started.append(await self._spawn(limits))
        except BaseException:
            await self.discard(Resized(count=count, limits=limits, processes=started))
            raise
        return Resized(count=count, limits=limits, processes=started)

    def adopt(self, fresh: Resized) -> Callable[[], Awaitable[None]]:
        """Work with these from the next chunk on; what is under way ends in its old process and under its old limits.

        Returns what ends the processes that wait for work now.
        """
        self._count, self._limits = fresh.count, fresh.limits
        # Whoever holds a place in the old one gives it back there.
        self._ordinary = asyncio.Semaphore(fresh.count)
        idle = [process for processes in self._idle.values() for process in processes]
        self._idle = {False: list(fresh.processes), True: []}

        async def end() -> None:
            await asyncio.gather(*(self._retire(process) for process in idle))

        return end

    async def discard(self, fresh: Resized) -> None:
        """End processes that were prepared for nothing."""
        await asyncio.gather(*(self._retire(process) for process in fresh.processes))

    async def run(self, chunk: Sequence[Work]) -> list[Outcome]:
        """Read one chunk (see `chunks`); one outcome per entry, in order. Never raises for what went wrong."""
        alone = len(chunk) == 1 and chunk[0].alone
        self._singles += alone
        try:
            async with self._process(alone) as process:
                await self._instruct(process)
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

    async def _instruct(self, process: Process) -> None:
        """Give the present policy to a process that has another. Raises CannotStart: no message is to blame."""
        version = self._policy_version
        if process.policy_version != version:
            try:
                await process.ask(self._policy_frame, START_SECONDS)
            except Dead as death:
                await process.kill(death.reason)
                self._alive.discard(process)
                raise CannotStart(f"a worker does not take the policy: {death.reason}") from death
            process.policy_version = version

    async def _ask(self, process: Process, chunk: Sequence[Work]) -> list[Outcome]:
        tasks = packed([Task(id=entry.id, raw=entry.raw) for entry in chunk])
        answer: list[tuple[int, Parsed | Broken | Lost]] = await process.ask(tasks, self._limits.seconds)
        results = dict(answer)
        return [results[entry.id] for entry in chunk]

    @contextlib.asynccontextmanager
    async def _process(self, alone: bool) -> AsyncIterator[Process]:
        """A process for one chunk; put back afterwards unless it died or has grown too big."""
        async with self._single if alone else self._ordinary:
            if self._stopped:
                raise CannotStart("the pool is stopped")
            process = self._take(self._idle[alone]) or await self._spawn(self._limits)
            await self._refuse_if_stopped(process)  # while it was starting
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
            await self._put_back(process, alone)

    async def _refuse_if_stopped(self, process: Process) -> None:
        if self._stopped:
            await self._retire(process)
            raise CannotStart("the pool is stopped")

    def _take(self, idle: list[Process]) -> Process | None:
        while idle:
            process = idle.pop()
            if process.lives:
                return process
            self._lose(process, "died idle")  # nobody's message is to blame
        return None

    async def _put_back(self, process: Process, alone: bool) -> None:
        idle = self._idle[alone]
        if self._stopped or process.memory != self._limits.memory or (not alone and len(idle) >= self._count):
            await self._retire(process)  # the last two: the pool was resized meanwhile
        elif process.resident() > self._limits.memory * RECYCLE_SHARE:
            await self._retire(process)
            await self._refill(alone)
        else:
            idle.append(process)

    async def _retire(self, process: Process) -> None:
        await process.close()
        self._alive.discard(process)

    async def _refill(self, alone: bool) -> None:
        """Ordinary processes are replaced at once; when that fails, the next chunk tries again."""
        if not alone and not self._stopped and len(self._idle[False]) < self._count:
            with contextlib.suppress(CannotStart):
                self._idle[False].append(await self._spawn(self._limits))

    def _lose(self, process: Process, reason: str) -> None:
        self._alive.discard(process)
        if not self._stopped:
            self._restarts += 1
            self._on_loss(reason)
            log.warning("worker lost", reason=reason)

    async def _spawn(self, limits: Limits) -> Process:
        options = ["--blobs", str(self._blobs), "--memory", str(limits.memory), "--parent", str(os.getpid())]
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
        process = Process(started, limits.memory)
        try:
            await process.ask(b"", START_SECONDS)
        except Dead as death:
            raise CannotStart(f"a worker does not start: {death.reason}") from death
        except BaseException:
            await process.kill("cancelled")
            raise
        self._alive.add(process)
        return process


def _ignore(_reason: str) -> None:
    return None
