"""A thread that writes: jobs that wait together are committed together (rule 2).

SQLite has one such thread, PostgreSQL a few, each with a connection and queues of its own.
Urgent jobs (accepts) and normal jobs (filing) take turns, each kind in transactions of its own.
A job that fails in company makes the thread roll back and run every job of that transaction alone.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sqlalchemy import Connection, Engine

from channels.contract import Unavailable
from gateway.store.checkpoints import Gate
from gateway.store.dialect import Contended, is_contention, is_trouble, lost_out
from gateway.store.failpoints import FailPoint
from gateway.store.prepared import TransactionLost
from gateway.store.together import Together


class Backend(Protocol):
    """What the thread asks of a kind of database."""

    def connect(self) -> Engine:
        """An engine for one connection, made anew after each failure. Raises what keeps it from opening."""
        ...

    def in_transaction(self, conn: Connection) -> bool:
        """Would a COMMIT still commit everything since `begin`?"""
        ...

    def rolled_back(self, conn: Connection) -> bool:
        """Is the connection outside any transaction and fit for the next one?"""
        ...

    def before_commit(self, conn: Connection) -> None:
        """Called inside each transaction after its last job."""
        ...

    def probe(self, conn: Connection) -> None:
        """Write something harmless inside a transaction."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How the writer shares its time. Seconds, except where said."""

    urgent_batch: int = 256
    """Urgent jobs in one transaction."""
    normal_batch: int = 64
    normal_hold: float = 0.010
    """A transaction of normal jobs takes no further job after this."""
    gather: float = 0.004
    """The longest wait for company when several urgent jobs have lately been under way at once."""
    probe_first: float = 0.1
    """Pause before the first probe after a failed COMMIT; doubles."""
    probe_limit: float = 5.0
    queue: int = 20_000
    """Jobs waiting; above it a write is refused as Unavailable."""
    again: int = 5
    """How often a job that lost a race (a deadlock, a serialization failure, `TryAgain`) is run again at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterStats:
    """What the writer has done since the start."""

    commits: int = 0
    jobs: int = 0
    urgent_commits: int = 0
    urgent_jobs: int = 0
    rollbacks: int = 0
    failed_commits: int = 0
    longest_hold: float = 0.0
    """Seconds from BEGIN to the end of COMMIT, normal jobs."""


@dataclass(slots=True, kw_only=True)
class Job:
    """One function that waits for its transaction."""

    run: Callable[[Connection], Any]
    urgent: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    alone: bool = False
    tries: int = 0
    """Races lost."""
    result: Any = None
    error: Exception | None = None


class Writer:
    """Owns the writing connection; everything but `submit` and `stop` happens in its thread."""

    def __init__(
        self,
        backend: Backend,
        *,
        limits: Limits,
        failpoint: FailPoint,
        monotonic: Callable[[], float],
        committed: Callable[[], None],
    ) -> None:
        """`committed` is called after each COMMIT."""
        self._backend = backend
        self._limits = limits
        self._failpoint = failpoint
        self._monotonic = monotonic
        self._committed = committed
        self._urgent: deque[Job] = deque()
        self._normal: deque[Job] = deque()
        self._wake = threading.Condition()
        self._wanted = 1
        """Urgent jobs that must wait before a submit wakes the thread; while gathering more than one."""
        self._company = 1.0
        """Urgent jobs lately under way at once; decays."""
        self._outstanding = 0
        self._last_urgent = False
        self._stopping = False
        self._healthy = True
        self._probe_at = 0.0
        self._probe_pause = limits.probe_first
        self.stats = WriterStats()
        self.gate = Gate()
        """Passed by each transaction; a checkpoint may close it."""
        self._engine: Engine | None = None
        self._conn: Connection | None = None
        self._open()
        self._thread = threading.Thread(target=self._run, name="db-writer", daemon=True)
        self._thread.start()

    # -- from other threads -----------------------------------------------------------------

    @property
    def healthy(self) -> bool:
        """False from a failed BEGIN or COMMIT until a probe has committed."""
        return self._healthy

    @property
    def waiting(self) -> int:
        """Jobs that wait for this thread."""
        return len(self._urgent) + len(self._normal)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Put jobs of one loop, in its thread, in their queue: all urgent or all not. Those for which nothing can be
        written now are answered: Unavailable."""
        queue = self._urgent if jobs[0].urgent else self._normal
        with self._wake:
            refusal = self._refusal()
            room = 0 if refusal else max(self._limits.queue - len(queue), 0)
            taken = jobs[:room]
            queue.extend(taken)
            if jobs[0].urgent:
                self._outstanding += len(taken)
                self._company = max(self._company, float(self._outstanding))
            if taken and (not jobs[0].urgent or len(queue) >= self._wanted):
                self._wake.notify()
        for job in jobs[room:]:
            if not job.future.done():
                job.future.set_exception(Unavailable(refusal or "too many writes are waiting"))

    def _refusal(self) -> str:
        """Why nothing can be written now; "" when it can."""
        if self._stopping:
            return "the database is closed"
        return "" if self._healthy else "the database cannot commit"

    def stop(self) -> None:
        """Run what waits, then end the thread. Blocks."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    # -- the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._wait():
                    break
                urgent = self._choose()
            if urgent is None:
                self._probe()
                continue
            taken: list[Job] = []
            try:
                with self.gate.passed():
                    jobs = self._transaction(self._take(urgent), taken)
            except Exception as error:  # noqa: BLE001 - without this thread everybody would wait for ever
                jobs = self._fail(taken, error)
            self._answer(jobs)
        self._close()

    def _wait(self) -> bool:
        """Wait for work, a probe or the end. Returns False at the end."""
        while not (self._urgent or self._normal):
            if self._stopping:
                return False
            if self._healthy:
                self._wake.wait()
                continue
            pause = self._probe_at - self._monotonic()
            if pause <= 0:
                return True
            self._wake.wait(pause)
        return True

    def _choose(self) -> bool | None:
        """Which queue is next: True urgent, False normal, None a probe. Urgent jobs may first gather company."""
        if not (self._urgent or self._normal):
            return None
        if self._urgent and not (self._last_urgent and self._normal):
            if not self._urgent[0].alone and not self._stopping:
                self._gather()
            self._last_urgent = True
            return True
        self._last_urgent = False
        return False

    def _gather(self) -> None:
        """Wait a little for others when several urgent jobs have lately been under way at once."""
        wanted = min(int(self._company + 0.5), self._limits.urgent_batch)
        if wanted > len(self._urgent):
            self._wanted = wanted
            self._wake.wait_for(lambda: len(self._urgent) >= wanted or self._stopping, self._limits.gather)
            self._wanted = 1
        self._company = max(1.0, self._company * 0.9)

    def _take(self, urgent: bool) -> Iterator[Job]:
        """Jobs for one transaction: one that must be alone, or as many as may be together."""
        queue = self._urgent if urgent else self._normal
        most = self._limits.urgent_batch if urgent else self._limits.normal_batch
        began = self._monotonic()
        for taken in range(most):
            with self._wake:
                if not queue or (taken and queue[0].alone):
                    return
                job = queue.popleft()
            yield job
            if job.alone or (not urgent and self._monotonic() - began >= self._limits.normal_hold):
                return

    def _transaction(self, jobs: Iterator[Job], taken: list[Job]) -> list[Job]:
        """Run jobs in one transaction, noting them in `taken`.

        Returns those that have an answer; a failed batch is put back to run alone.
        """
        began = self._monotonic()
        try:
            conn = self._begin()
        except Exception as error:  # noqa: BLE001 - whatever keeps us from beginning: the callers must hear of it
            taken.extend(jobs)
            return self._fail(taken, error)
        transaction = conn.get_transaction()
        for group in self._groups(_noted(jobs, taken)):
            try:
                _run_all(conn, group)
                # A job that ended the transaction that it shares took the work of those before it along.
                if conn.get_transaction() is not transaction or not self._backend.in_transaction(conn):
                    raise TransactionLost("the database rolled the transaction back")
            except Exception as error:  # noqa: BLE001 - it belongs to the job's caller
                return self._rollback(conn, taken, error)
        try:
            self._backend.before_commit(conn)
            self._failpoint("before-commit")
            conn.commit()
        except Exception as error:  # noqa: BLE001 - the outcome is unknown, whatever it was
            self.stats = replace(self.stats, failed_commits=self.stats.failed_commits + 1)
            return self._fail(taken, error)
        self._failpoint("after-commit")
        self._count(taken, self._monotonic() - began)
        self._committed()
        return taken

    def _groups(self, jobs: Iterator[Job]) -> Iterator[list[Job]]:
        """Neighbours that are one call; else each by itself."""
        group: list[Job] = []
        for job in jobs:
            if group and not _same(group[-1], job):
                yield group
                group = []
            if isinstance(job.run, Together):
                group.append(job)
            else:
                yield [job]
        if group:
            yield group

    def _begin(self) -> Connection:
        self._failpoint("before-begin")
        conn = self._conn or self._open()
        conn.begin()
        return conn

    def _rollback(self, conn: Connection, taken: list[Job], error: Exception) -> list[Job]:
        """Undo the transaction. A lone job has its answer; company is put back, each to run alone."""
        self.stats = replace(self.stats, rollbacks=self.stats.rollbacks + 1)
        try:
            conn.rollback()
            if not self._backend.rolled_back(conn):
                raise TransactionLost("the transaction cannot be rolled back")
        except Exception as trouble:  # noqa: BLE001 - a connection that cannot roll back is thrown away
            return self._fail(taken, trouble)
        lost_race = is_contention(error)
        if len(taken) == 1 and not (lost_race and taken[0].tries < self._limits.again):
            taken[0].error = as_unavailable(error)
            return taken
        queue = self._urgent if taken[0].urgent else self._normal
        for job in taken:
            job.alone, job.result = True, None
        taken[-1].tries += lost_race
        with self._wake:
            queue.extendleft(reversed(taken))
        return []

    def _fail(self, taken: list[Job], error: Exception) -> list[Job]:
        """The database is in trouble: everybody who waits hears so, the connection is thrown away, probes begin."""
        with self._wake:
            self._healthy = False
            self._probe_pause = self._limits.probe_first
            self._probe_at = self._monotonic() + self._probe_pause
            taken = [*taken, *self._urgent, *self._normal]
            self._urgent.clear()
            self._normal.clear()
        self._close()
        for job in taken:
            job.error = Unavailable(f"the database cannot commit: {type(error).__name__}")
            job.error.__cause__ = error
        return taken

    def _probe(self) -> None:
        """Try to commit something; on success writing goes on."""
        try:
            with self.gate.passed():
                self._commit_probe()
        except Exception:  # noqa: BLE001 - any failure means not yet
            self._close()
            self._probe_pause = min(self._probe_pause * 2, self._limits.probe_limit)
            self._probe_at = self._monotonic() + self._probe_pause
            return
        with self._wake:
            self._healthy = True

    def _commit_probe(self) -> None:
        conn = self._begin()
        self._backend.probe(conn)
        self._failpoint("before-commit")
        conn.commit()

    def _count(self, taken: list[Job], held: float) -> None:
        stats, urgent = self.stats, taken[0].urgent if taken else False
        self.stats = replace(
            stats,
            commits=stats.commits + 1,
            jobs=stats.jobs + len(taken),
            urgent_commits=stats.urgent_commits + urgent,
            urgent_jobs=stats.urgent_jobs + (len(taken) if urgent else 0),
            longest_hold=stats.longest_hold if urgent else max(stats.longest_hold, held),
        )

    def _answer(self, jobs: list[Job]) -> None:
        with self._wake:
            self._outstanding -= sum(job.urgent for job in jobs)
        loops = {id(job.loop): job.loop for job in jobs}
        for key, loop in loops.items():
            mine = [job for job in jobs if id(job.loop) == key]
            # A loop that was closed meanwhile has nobody left who waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, mine)

    def _open(self) -> Connection:
        self._engine = self._backend.connect()
        self._conn = self._engine.connect()
        return self._conn

    def _close(self) -> None:
        engine, conn, self._engine, self._conn = self._engine, self._conn, None, None
        if conn is not None:
            conn.invalidate()  # closes the driver's connection whatever state it is in
            conn.close()
        if engine is not None:
            engine.dispose()


def _noted(jobs: Iterator[Job], taken: list[Job]) -> Iterator[Job]:
    """Each job is noted when it leaves its queue: who looks ahead for neighbours must not lose one."""
    for job in jobs:
        taken.append(job)
        yield job


def _same(one: Job, other: Job) -> bool:
    return isinstance(one.run, Together) and isinstance(other.run, Together) and one.run.run is other.run.run


def _run_all(conn: Connection, group: Sequence[Job]) -> None:
    """Give each job its result."""
    first = group[0]
    if isinstance(first.run, Together) and len(group) > 1:
        wanted = [job.run.wanted for job in group if isinstance(job.run, Together)]
        for job, result in zip(group, first.run.run(conn, wanted), strict=True):
            job.result = result
        return
    first.result = first.run(conn)


def as_unavailable(error: Exception) -> Exception:
    """The error as the caller of a write or read gets it."""
    if isinstance(error, TransactionLost) or is_trouble(error):
        kind = Contended if lost_out(error) else Unavailable
        unavailable = kind(f"the database is in trouble: {type(error).__name__}")
        unavailable.__cause__ = error
        return unavailable
    return error


def _settle(jobs: list[Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
