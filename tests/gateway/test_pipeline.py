"""The pipeline over real worker processes, a real journal and a real database."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row, select, text

from channels.contract import Unavailable
from gateway import pipeline
from gateway.context import Context
from gateway.pipeline import Pipeline
from gateway.store import journal, schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.store.failpoints import FailPoint, nowhere
from gateway.workers import CHUNK_ENTRIES, Limits, Resized, WorkerPool
from normalizer.message import INLINE_LIMIT, InlineBody, RawMessage, SpooledBody
from router.policy import Policy
from tests.gateway.filing_desk import context
from tests.gateway.patience import PATIENCE, eventually
from tests.gateway.planted import FORMAT, SPEC

SECONDS = 3.0
"""The time limit of a worker where one is to be reached."""


def raw(number: int | str, body: str, *, peer: str | None = None, **changes: Any) -> RawMessage:
    content = body.encode()
    values: dict[str, Any] = {
        "channel": "mail",
        "account": "support",
        "format": FORMAT,
        "external_id": f"{number}@client.example",
        "fingerprint": hashlib.sha256(content).hexdigest(),
        "peer": f"p{number}@client.example" if peer is None else peer,
        "received_at": datetime.now(UTC),
        "body": InlineBody(content=content),
        "facts": {},
        "deliveries": (("support", "support@desk.example"),),
    }
    return RawMessage(**(values | changes))


def message(number: int | str, **values: Any) -> RawMessage:
    """A readable message."""
    peer = values.pop("peer", None)
    said = {"sender": peer or f"p{number}@client.example", "message_id": f"{number}@client.example", **values}
    return raw(number, "message " + json.dumps({"text": f"number {number}", **said}), peer=peer)


class Running:
    """A pipeline that runs, and ways to wait for what it does."""

    def __init__(
        self, db: Database, blobs: Blobs, pool: WorkerPool, ctx: Context, failpoint: FailPoint = nowhere
    ) -> None:
        self.db, self.pool = db, pool
        self.filed = asyncio.Event()
        self.answering: set[int] = set()
        self.pipeline = Pipeline(
            db=db, blobs=blobs, pool=pool, ctx=ctx, clock=lambda: datetime.now(UTC), after=self.filed.set,
            failpoint=failpoint, answering=self.answering,
        )  # fmt: skip
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self.pipeline.run(self._stop))

    async def stop(self) -> None:
        self._stop.set()
        if self._task is not None:
            await self._task

    async def rows(self) -> dict[str, Row[Any]]:
        """Entries by external id (its local part)."""
        found = await self.db.read(lambda conn: conn.execute(select(schema.entry)).all())
        return {row.external_id.partition("@")[0]: row for row in found}

    async def until(self, holds: Callable[[dict[str, Row[Any]]], bool]) -> dict[str, Row[Any]]:
        """Wait until the journal is in some state."""
        return await eventually(self.rows, holds, "a state of the journal")

    async def settled(self) -> dict[str, Row[Any]]:
        """Wait until nothing is pending."""
        return await self.until(lambda rows: all(row.state != "pending" for row in rows.values()))


@asynccontextmanager
async def running(
    db: Database,
    blobs: Blobs,
    ctx: Context | None = None,
    *,
    width: int = 1,
    failpoint: FailPoint = nowhere,
    seconds: float = PATIENCE,
    on_loss: Callable[[str], None] | None = None,
) -> AsyncIterator[Running]:
    """`seconds` that a worker may take; by default a limit that nothing reaches, however slow the machine is."""
    pool = WorkerPool(
        count=width, limits=Limits(seconds=seconds, memory=256 << 20), blobs=blobs.folder, policy=Policy(),
        parsers=SPEC, on_loss=on_loss,
    )  # fmt: skip
    await pool.start()
    made = Running(db, blobs, pool, ctx or context(journal={"backoff": "0s"}), failpoint)
    try:
        yield made
    finally:
        await made.stop()
        await pool.stop()


async def test_what_is_accepted_becomes_tickets(db: Database, blobs: Blobs) -> None:
    async with running(db, blobs) as story:
        story.start()
        await asyncio.gather(*(story.pipeline.accept([message(number)]) for number in range(100)))
        rows = await story.settled()
        assert {row.outcome["kind"] for row in rows.values()} == {"opened"}
        tickets = await db.read(lambda conn: conn.execute(select(schema.ticket.c.requester)).scalars().all())
        assert sorted(tickets) == sorted(f"p{number}@client.example" for number in range(100))
        assert story.filed.is_set()


async def test_what_others_are_filing_is_left_to_them_until_they_are_done(db: Database, blobs: Blobs) -> None:
    async with running(db, blobs) as story:
        [theirs] = await story.pipeline.accept([message("theirs")])
        story.answering.add(theirs.entry)
        story.start()
        await story.pipeline.accept([message("ours")])
        rows = await story.until(lambda rows: rows["ours"].state == "done")
        assert rows["theirs"].state == "pending"
        story.answering.clear()
        story.pipeline.wake()
        rows = await story.settled()
        assert rows["theirs"].outcome["kind"] == "opened"


async def test_filing_gives_way_to_messages_that_come_in(
    db: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "PATIENCE", 3600.0)
    safe = 0
    begun: list[int] = []
    async with running(db, blobs, failpoint=lambda _place: begun.append(safe)) as story:
        story.start()
        for number in range(200):  # one at once after the other, so that filing would have begun long before the last
            await story.pipeline.accept([message(number)])
            safe += 1
        await story.settled()
        assert begun[0] == 200


async def test_filing_takes_its_turns_when_messages_do_not_end(
    db: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "PATIENCE", 0.1)
    async with running(db, blobs) as story, asyncio.timeout(PATIENCE):
        story.start()
        for number in count():
            await story.pipeline.accept([message(number)])
            if story.filed.is_set():
                break


async def test_filing_does_not_give_way_while_somebody_waits_for_a_number(
    db: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "PATIENCE", 3600.0)
    async with running(db, blobs) as story:
        story.start()
        [first] = await story.pipeline.accept([message("first")])
        waiting = asyncio.create_task(story.pipeline.processed(first.entry, PATIENCE))
        for number in count():
            await story.pipeline.accept([message(number)])
            if waiting.done():
                break
        assert await waiting is not None


async def test_a_repeat_is_answered_from_its_row(db: Database, blobs: Blobs) -> None:
    async with running(db, blobs) as story:
        story.start()
        one = message(1)
        [first] = await story.pipeline.accept([one])
        [again] = await story.pipeline.accept([one])
        assert (first.duplicate, again.duplicate, again.entry) == (False, True, first.entry)
        assert len(await story.settled()) == 1


async def test_processed_waits_for_the_ticket_number(db: Database, blobs: Blobs) -> None:
    async with running(db, blobs) as story:
        [accepted] = await story.pipeline.accept([message(1)])
        assert await story.pipeline.processed(accepted.entry, 0.05) is None
        waiting = asyncio.create_task(story.pipeline.processed(accepted.entry, PATIENCE))
        story.start()
        number = await waiting
        assert number == (await story.settled())["1"].outcome["ticket"]
        assert await story.pipeline.processed(accepted.entry, PATIENCE) == number
        [robot] = await story.pipeline.accept([message(2, kind="auto_reply")])
        assert await story.pipeline.processed(robot.entry, PATIENCE) is None


@pytest.mark.parametrize("poison", ["loop", "raise words"])
async def test_a_poison_message_goes_to_quarantine_and_blocks_nothing(db: Database, blobs: Blobs, poison: str) -> None:
    await poisoned(db, blobs, poison)


@pytest.mark.sqlite  # more ways in which a worker process ends: no matter of the database
@pytest.mark.parametrize("poison", ["exit", "creep", "recurse"])
async def test_however_a_worker_ends_its_neighbours_are_filed(db: Database, blobs: Blobs, poison: str) -> None:
    await poisoned(db, blobs, poison)


async def poisoned(db: Database, blobs: Blobs, poison: str) -> None:
    """Ten messages and one that its worker does not survive."""
    async with running(db, blobs, seconds=SECONDS if poison == "loop" else PATIENCE) as story:
        await story.pipeline.accept([*(message(number) for number in range(5)), raw("poison", poison)])
        await story.pipeline.accept([message(number) for number in range(5, 10)])
        story.start()
        rows = await story.settled()
        bad = rows.pop("poison")
        assert (bad.state, bad.attempts) == ("quarantined", 3)
        assert "words" not in bad.error
        assert {(row.state, row.attempts) for row in rows.values()} == {("done", 0)}
        placeholder = await db.read(
            lambda conn: conn.execute(select(schema.ticket).where(schema.ticket.c.entry_id == bad.id)).one()
        )
        assert placeholder.tags == ["unreadable"]


async def test_neighbours_are_filed_while_a_poison_message_still_hangs(db: Database, blobs: Blobs) -> None:
    def lost(_reason: str) -> None:
        """From now on a suspect hangs for longer than the test waits, however slow the machine is."""
        pools[0].adopt(Resized(count=1, limits=Limits(seconds=1000.0, memory=256 << 20), processes=()))

    pools: list[WorkerPool] = []
    async with running(db, blobs, seconds=SECONDS, on_loss=lost) as story:
        pools.append(story.pool)
        try:
            await story.pipeline.accept([raw("poison", "loop"), *(message(number) for number in range(10))])
            story.start()
            rows = await story.until(lambda rows: sum(row.state == "done" for row in rows.values()) == 10)
            assert rows["poison"].state == "pending"
            await story.pipeline.accept([message("late")])
            rows = await story.until(lambda rows: rows["late"].state == "done")
            assert (rows["poison"].state, rows["poison"].attempts) == ("pending", 0), "it hangs still"
        finally:
            await story.pool.stop()  # the pipeline waits for what is under way


async def test_a_replay_after_a_fix_reads_it(db: Database, blobs: Blobs) -> None:
    async with running(db, blobs) as story:
        [accepted] = await story.pipeline.accept([raw("poison", "raise")])
        story.start()
        await story.settled()
        fixed = json.dumps({"sender": "ann@client.example", "subject": "Help"})
        await db.write(lambda conn: conn.execute(schema.raw.update().values(content=f"message {fixed}".encode())))
        await db.write(
            lambda conn: journal.replay(conn, [accepted.entry], reroute=False, notify=False, now=datetime.now(UTC))
        )
        story.pipeline.wake()
        rows = await story.until(lambda rows: rows["poison"].state == "done")
        assert rows["poison"].outcome["kind"] == "revised"
        [subject] = await db.read(lambda conn: conn.execute(select(schema.ticket.c.subject)).scalars().all())
        assert subject == "Help"


async def test_one_persons_messages_are_filed_in_order(db: Database, blobs: Blobs) -> None:
    async with running(db, blobs, width=2) as story:
        for number in range(80):
            await story.pipeline.accept([message(number, peer="ann@client.example"), message(f"x{number}")])
        story.start()
        await story.settled()
        query = select(schema.ticket.c.entry_id).where(schema.ticket.c.requester == "ann@client.example")
        order = await db.read(lambda conn: conn.execute(query.order_by(schema.ticket.c.id)).scalars().all())
        assert list(order) == sorted(order)
        assert len(order) == 80


@pytest.mark.sqlite  # PostgreSQL keeps such a text, mended: test_pipeline_postgres.py has what it cannot take
async def test_what_filing_cannot_take_is_counted_and_its_neighbours_are_filed(db: Database, blobs: Blobs) -> None:
    async with running(db, blobs) as story:
        await story.pipeline.accept([message(1), message(2, subject="\ud800"), message(3)])
        story.start()
        rows = await story.settled()
        assert [rows[name].state for name in "123"] == ["done", "quarantined", "done"]
        assert rows["2"].error.startswith("filing: ")
        assert (rows["1"].attempts, rows["3"].attempts) == (0, 0)


async def test_a_big_body_travels_as_a_path(db: Database, blobs: Blobs, tmp_path: Path) -> None:
    async with running(db, blobs) as story:
        content = ("message " + json.dumps({"text": "long " * (INLINE_LIMIT // 4)})).encode()
        path = tmp_path / "spooled"
        path.write_bytes(content)
        body = SpooledBody(path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest())
        await story.pipeline.accept([replace(message(1), body=body)])
        assert not path.exists()
        story.start()
        assert (await story.settled())["1"].outcome["kind"] == "opened"
        [kept] = await db.read(lambda conn: conn.execute(select(schema.message.c.sha256)).scalars().all())
        assert kept == body.sha256


async def test_a_disk_that_refuses_a_body_is_unavailable(db: Database, blobs: Blobs, tmp_path: Path) -> None:
    async with running(db, blobs) as story:
        body = SpooledBody(path=tmp_path / "gone", size=10, sha256="0" * 64)
        with pytest.raises(Unavailable):
            await story.pipeline.accept([replace(message(1), body=body)])
        assert await story.rows() == {}


# -- failures of ours --------------------------------------------------------------------------


async def test_a_pool_that_cannot_start_counts_no_attempt(db: Database, blobs: Blobs) -> None:
    broken = WorkerPool(count=1, limits=Limits(), blobs=blobs.folder, policy=Policy(), parsers="no.such.module:TABLE")
    story = Running(db, blobs, broken, context())
    await story.pipeline.accept([message(1)])
    story.start()
    await story.until(lambda _rows: story.pipeline.paused)
    [row] = (await story.rows()).values()
    assert (row.state, row.attempts) == ("pending", 0)
    await story.stop()
    await broken.stop()

    async with running(db, blobs) as mended:
        mended.start()
        assert (await mended.settled())["1"].state == "done"


async def test_a_blob_folder_that_refuses_counts_no_attempt_and_goes_on_by_itself(db: Database, blobs: Blobs) -> None:
    async with running(db, blobs) as story:
        obstacle = blobs.folder / hashlib.sha256(b"b" * 100_000).hexdigest()[:2]
        obstacle.write_text("a file where a folder belongs")
        await story.pipeline.accept([raw(1, "big 100000")])
        story.start()
        await story.until(lambda _rows: story.pipeline.paused)
        [row] = (await story.rows()).values()
        assert (row.state, row.attempts) == ("pending", 0)
        obstacle.unlink()
        assert (await story.settled())["1"].state == "done"


@pytest.mark.sqlite  # by a limit on its pages; of PostgreSQL in test_pipeline_postgres.py
async def test_a_full_database_counts_no_attempt_and_goes_on_by_itself(db: Database, blobs: Blobs) -> None:
    async with running(db, blobs) as story:
        long = {"text": "x" * 200_000}
        await story.pipeline.accept([message(number, **long) for number in range(3)])
        pages = await db.write(lambda conn: conn.execute(text("PRAGMA page_count")).scalar_one())
        await db.write(lambda conn: conn.execute(text(f"PRAGMA max_page_count={pages + 5}")).scalar_one())
        story.start()
        await story.until(lambda _rows: story.pipeline.paused)
        rows = await story.rows()
        assert {row.attempts for row in rows.values()} == {0}
        assert "pending" in {row.state for row in rows.values()}
        await db.write(lambda conn: conn.execute(text("PRAGMA max_page_count=1000000")).scalar_one())
        rows = await story.settled()
        assert {(row.state, row.attempts) for row in rows.values()} == {("done", 0)}


async def test_stopping_finishes_what_is_under_way_and_the_rest_waits(db: Database, blobs: Blobs) -> None:
    async with running(db, blobs) as story:
        await story.pipeline.accept([raw("slow", "sleep 0.3"), *(message(number) for number in range(200))])
        story.start()
        await story.until(lambda rows: any(row.state == "done" for row in rows.values()))
    async with running(db, blobs) as again:
        again.start()
        rows = await again.settled()
        assert {(row.state, row.attempts) for row in rows.values()} == {("done", 0)}
        count = await db.read(lambda conn: len(conn.execute(select(schema.ticket.c.id)).all()))
        assert count == 201


async def test_a_filing_transaction_holds_the_writer_for_a_moment_only(db: Database, blobs: Blobs) -> None:
    async with running(db, blobs) as story:
        await story.pipeline.accept([message(number) for number in range(300)])
        story.start()
        await story.settled()
        # 300 entries came at once. A transaction takes jobs for a moment only, so they are many commits, not one;
        # the moment itself is held with a clock of the test's own in store/test_writer.py.
        filed = db.stats.commits - db.stats.urgent_commits
        assert filed >= 300 // CHUNK_ENTRIES


async def test_text_with_a_nul_is_filed(db: Database, blobs: Blobs) -> None:
    async with running(db, blobs) as made:
        made.start()
        await made.pipeline.accept([message(1, text="before\0after", subject="a\0b", peer="nul\0@client.example")])
        rows = await made.settled()
        assert rows["1"].state == "done"
    (text_,) = await db.read(lambda conn: conn.scalars(select(schema.message.c.text)).all())
    assert text_.startswith("before") and text_.endswith("after")
