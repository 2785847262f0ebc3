"""The worker pool: what a misbehaving parser can do to its process, and cannot do to anybody else."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.store.blobs import Blobs
from gateway.worker_process import STOOD_STILL, Awake
from gateway.worker_protocol import Broken, Lost, Parsed
from gateway.workers import CHUNK_BYTES, CHUNK_ENTRIES, Limits, Suspect, WorkerPool, chunks
from normalizer.message import InlineBody, Message, RawMessage, SpooledBody
from router.policy import NO_PHRASES, Policy, Rule
from tests.gateway.patience import PATIENCE, seen
from tests.gateway.planted import FORMAT, SPEC

SECONDS = 3.0
"""The limit where one is to be reached."""
MEMORY = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    id: int
    raw: RawMessage
    alone: bool = False


def work(number: int, text: str | bytes = "", *, alone: bool = False, peer: str | None = None, **values: Any) -> Work:
    content = text.encode() if isinstance(text, str) else text
    raw = RawMessage(
        channel="mail",
        account="support",
        format=FORMAT,
        external_id=f"{number}@client.example",
        fingerprint=str(number),
        peer=f"p{number}@client.example" if peer is None else peer,
        received_at=datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
        body=InlineBody(content=content),
    )
    return Work(id=number, raw=replace(raw, **values), alone=alone)


def good(number: int, **values: Any) -> Work:
    return work(number, "message " + json.dumps({"text": f"number {number}"}), **values)


@asynccontextmanager
async def limited(
    folder: Path, seconds: float, on_loss: Callable[[str], None] | None = None
) -> AsyncIterator[WorkerPool]:
    limits = Limits(seconds=seconds, memory=MEMORY)
    made = WorkerPool(count=1, limits=limits, blobs=folder / "blobs", policy=Policy(), parsers=SPEC, on_loss=on_loss)
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[WorkerPool]:
    """With a time limit that nothing reaches, however slow the machine is."""
    async with limited(tmp_path, PATIENCE) as made:
        yield made


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[WorkerPool]:
    """With a time limit that is reached soon."""
    async with limited(tmp_path, SECONDS) as made:
        yield made


async def test_a_chunk_comes_back_in_order_with_its_assignments(pool: WorkerPool) -> None:
    results = await pool.run([good(number) for number in range(1, 21)])
    texts = [
        result.event.text for result in results if isinstance(result, Parsed) and isinstance(result.event, Message)
    ]
    assert texts == [f"number {number}" for number in range(1, 21)]
    assert all(isinstance(result, Parsed) and result.assignment is not None for result in results)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("loop", "time limit"),
        ("allocate", "memory limit"),
        ("creep", "memory limit"),
        ("exit", "exit status 3"),
    ],
)
async def test_a_parser_that_kills_its_process_is_gone_within_the_limit(tmp_path: Path, body: str, reason: str) -> None:
    limit = SECONDS if body == "loop" else PATIENCE
    awake, lost = Awake(), list[float]()

    async def looking() -> None:
        while True:
            awake.look()
            await asyncio.sleep(0.05)

    async with limited(tmp_path, limit, lambda _reason: lost.append(awake.look())) as pool:
        began, looks = awake.look(), asyncio.create_task(looking())
        together = await pool.run([good(1), work(2, body), good(3)])
        looks.cancel()
        assert together == [Suspect(reason=reason)] * 3
        assert lost[0] - began < limit + 2.0

        alone = [replace(good(1), alone=True), work(2, body, alone=True), replace(good(3), alone=True)]
        first, culprit, third = await asyncio.gather(*(pool.run([one]) for one in alone))
        assert culprit == [Broken(reason=reason)]
        assert isinstance(first[0], Parsed)
        assert isinstance(third[0], Parsed)
        assert isinstance((await pool.run([good(4)]))[0], Parsed)
        assert pool.stats()["alive"] == 1


@pytest.mark.parametrize(("body", "error"), [("recurse", "RecursionError"), ("raise words", "ValueError")])
async def test_a_parser_that_raises_breaks_its_own_entry_only(pool: WorkerPool, body: str, error: str) -> None:
    first, broken, third = await pool.run([good(1), work(2, body), good(3)])
    assert isinstance(first, Parsed)
    assert isinstance(third, Parsed)
    assert isinstance(broken, Broken)
    assert broken.reason.startswith(f"{error} at planted.py:")
    assert pool.stats()["restarts"] == 0


async def test_no_process_is_left_behind(hasty: WorkerPool) -> None:
    [pid] = [process.pid for process in hasty._alive]
    await hasty.run([work(1, "loop", alone=True)])
    await hasty.run([work(2, "loop")])
    await hasty.stop()
    assert not is_alive(pid)
    assert hasty.stats()["alive"] == 0


def test_the_limit_is_time_that_the_machine_was_awake() -> None:
    times = iter([0.0, 0.5, 0.75, 3600.0, 3600.25])
    awake = Awake(lambda: next(times))
    assert [awake.look() for _ in range(4)] == [0.5, 0.75, 0.75 + STOOD_STILL, 1.0 + STOOD_STILL]


async def test_a_machine_that_stands_still_is_no_messages_fault(hasty: WorkerPool) -> None:
    [process] = hasty._alive
    await hasty.run([good(0)])  # it has its policy
    reading = asyncio.create_task(hasty.run([good(1)]))
    while not hasty.stats()["busy"]:  # noqa: ASYNC110 - a few turns of the loop
        await asyncio.sleep(0)
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(SECONDS + 0.5)  # noqa: ASYNC251 - this process stands still as well
    os.kill(process.pid, signal.SIGCONT)
    [result] = await reading
    assert isinstance(result, Parsed)
    assert hasty.stats()["restarts"] == 0


ORPHAN = """
import asyncio, os, signal, sys
from pathlib import Path
from gateway.workers import Limits, WorkerPool
from router.policy import Policy
from tests.gateway.planted import SPEC
from tests.gateway.test_workers import work

async def main():
    pool = WorkerPool(
        count=1, limits=Limits(seconds=60, memory=1 << 30), blobs=Path(sys.argv[1]), policy=Policy(), parsers=SPEC
    )
    await pool.start()
    asyncio.create_task(pool.run([work(1, "loop")]))
    await asyncio.sleep(0.2)
    print(*(process.pid for process in pool._alive), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_hanging_worker_does_not_outlive_a_gateway_that_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ORPHAN, str(tmp_path / "blobs")]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    [pid] = map(int, done.stdout.split())
    await seen(lambda: is_alive(pid), lambda alive: not alive, f"the end of process {pid}")


def is_alive(pid: int) -> bool:
    """Runs; a zombie that nobody has waited for does not count."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_hanging_suspect_holds_up_nobody(tmp_path: Path) -> None:
    # A limit that this test cannot reach: the others are done while the suspect still hangs, however slow the machine.
    limits = Limits(seconds=1000.0, memory=MEMORY)
    pool = WorkerPool(count=1, limits=limits, blobs=tmp_path / "blobs", policy=Policy(), parsers=SPEC)
    await pool.start()
    try:
        hanging = asyncio.create_task(pool.run([work(1, "loop", alone=True)]))
        await asyncio.sleep(0)  # it takes its place first
        assert isinstance((await pool.run([good(2)]))[0], Parsed)
        assert isinstance((await pool.run([good(3)]))[0], Parsed)
        assert not hanging.done()
    finally:
        await pool.stop()
    assert isinstance((await hanging)[0], Lost)


async def test_a_process_that_dies_while_idle_is_nobodys_fault(pool: WorkerPool) -> None:
    [process] = pool._alive
    os.kill(process.pid, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE):
        await process._process.wait()
    assert isinstance((await pool.run([good(1)]))[0], Parsed)


async def test_no_process_can_be_started_is_ours(tmp_path: Path) -> None:
    pool = WorkerPool(
        count=1, limits=Limits(), blobs=tmp_path / "blobs", policy=Policy(), parsers="no.such.module:TABLE"
    )
    [result] = await pool.run([good(1)])
    assert isinstance(result, Lost)
    await pool.stop()


async def test_a_stray_print_does_not_end_up_between_the_frames(pool: WorkerPool) -> None:
    [result] = await pool.run([work(1, "print hello")])
    assert isinstance(result, Parsed)


async def test_big_attachments_become_blobs_and_do_not_travel(pool: WorkerPool, tmp_path: Path) -> None:
    [result] = await pool.run([work(1, "big 100000")])
    assert isinstance(result, Parsed)
    assert isinstance(result.event, Message)
    small, big = result.event.attachments
    assert small.content == b"s" * 10
    assert big.content is None
    assert Blobs(tmp_path / "blobs").path(big.sha256).read_bytes() == b"b" * 100_000


async def test_a_blob_folder_that_refuses_is_ours(pool: WorkerPool, tmp_path: Path) -> None:
    name = hashlib.sha256(b"b" * 100_000).hexdigest()
    (tmp_path / "blobs" / name[:2]).write_text("a file where a folder belongs")
    [result] = await pool.run([work(1, "big 100000")])
    assert isinstance(result, Lost)


async def test_a_spooled_body_is_read_from_its_blob(pool: WorkerPool, tmp_path: Path) -> None:
    content = b'message {"text": "' + b"long " * 100_000 + b'"}'
    path = tmp_path / "body"
    path.write_bytes(content)
    body = SpooledBody(path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    [result] = await pool.run([work(1, body=body)])
    assert isinstance(result, Parsed)
    missing = SpooledBody(path=tmp_path / "none", size=5, sha256="0" * 64)
    assert await pool.run([work(1, body=missing)]) == [Broken(reason="the stored body is missing")]


async def test_the_policy_travels_once_per_version(pool: WorkerPool) -> None:
    rule = Rule(id="all", why="all of it", tags=("new-policy",))
    await pool.run([good(1)])
    pool.use(Policy(version="2", rules=(rule,)))
    [first] = await pool.run([good(2)])
    assert isinstance(first, Parsed)
    assert first.assignment is not None
    assert "new-policy" in first.assignment.tags
    [process] = pool._alive
    assert process.policy_version == 2


class Exploding:
    """A classifier that fails on everything it is asked for a message."""

    concepts = NO_PHRASES

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("boom")

    def __reduce__(self) -> tuple[Any, ...]:
        return (Exploding, ())


class Unreadable:
    """A part of a policy that pickles here and cannot be read there."""

    concepts = NO_PHRASES

    def __reduce__(self) -> tuple[Any, ...]:
        return (int, ("no number",))


async def test_a_policy_that_fails_leaves_the_message_to_the_first_line(pool: WorkerPool) -> None:
    pool.use(Policy(classifier=cast(Any, Exploding())))
    [result] = await pool.run([good(1)])
    assert isinstance(result, Parsed)
    assert result.assignment is not None
    assert (result.assignment.line, result.assignment.tags) == ("L1", ("routing-failed",))


async def test_a_policy_that_cannot_be_read_is_no_messages_fault(pool: WorkerPool) -> None:
    pool.use(Policy(classifier=cast(Any, Unreadable())))
    [result] = await pool.run([good(1)])
    assert isinstance(result, Lost)
    pool.use(Policy())
    [result] = await pool.run([good(1)])
    assert isinstance(result, Parsed)


# -- chunks -------------------------------------------------------------------------------


def ids(made: list[list[Work]]) -> list[list[int]]:
    return [[entry.id for entry in chunk] for chunk in made]


def test_chunks_have_32_entries_at_most() -> None:
    made = chunks([good(number) for number in range(70)])
    assert [len(chunk) for chunk in made] == [CHUNK_ENTRIES, CHUNK_ENTRIES, 6]


def test_chunks_have_one_megabyte_at_most() -> None:
    third = b"x" * (CHUNK_BYTES // 3)
    assert ids(chunks([work(number, third) for number in range(5)])) == [[0, 1, 2], [3, 4]]


def test_big_bodies_and_suspects_are_alone(tmp_path: Path) -> None:
    big = work(2, body=SpooledBody(path=tmp_path / "x", size=9, sha256="0"))
    made = chunks([good(1), big, good(3), good(4, alone=True), good(5)])
    assert ids(made) == [[1], [2], [3], [4], [5]]


def test_one_peer_is_in_one_chunk_only() -> None:
    entries = [good(number, peer="p") for number in range(40)]
    assert ids(chunks(entries)) == [list(range(32))]
    assert ids(chunks([good(1, peer="p", alone=True), good(2, peer="p"), good(3)])) == [[1], [3]]
    assert ids(chunks([good(1, peer=""), good(2, peer="", alone=True), good(3, peer="")])) == [[1], [2], [3]]


def test_a_peer_of_an_earlier_chunk_waits_for_a_later_claim() -> None:
    entries = [good(0, peer="p"), *(good(number) for number in range(1, 32)), good(32), good(33, peer="p"), good(34)]
    assert ids(chunks(entries)) == [list(range(32)), [32, 34]]


def test_suspects_are_limited() -> None:
    assert ids(chunks([good(number, alone=True) for number in range(5)], suspects=2)) == [[0], [1]]
