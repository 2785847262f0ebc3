"""A notice that takes several wire calls: a row for each, in order, and nothing of its lane between them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, select

from gateway.capture import CaptureSender
from gateway.circuit import FAILURES
from gateway.metrics import Metrics
from gateway.outbox import Outbox
from gateway.store import outbox, schema
from gateway.store.database import Database
from gateway.store.outbox import Row
from normalizer.message import Delivery, Notice, Receipt
from tests.gateway.conftest import FrozenClock
from tests.gateway.outgoing import ScriptedProber, Told, context, draft, open_ticket, render
from tests.gateway.patience import PATIENCE

MAIL = ("mail", "support")


class Divided:
    """Sends a notice word by word; a word can be planned to fail once."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.plan: dict[str, list[Receipt]] = {}
        self.words: dict[str, str] = {}
        """Text of a notice (its row's key) -> what it says; a part's row has the key of the first one before "#"."""

    def divide(self, notice: Notice) -> Sequence[Notice]:
        words = self.words.get(notice.text.partition("#")[0], notice.text).split()
        return [replace(notice, text=word, part=part) for part, word in enumerate(words)]

    async def send(self, notice: Notice) -> Receipt:
        if self.plan.get(notice.text):
            return self.plan[notice.text].pop(0)
        self.sent.append(notice.text)
        return Receipt(delivery=Delivery.SENT, external_ids=(f"mail:support:1:{len(self.sent)}",), detail="ok")


class Bench:
    """A database with an engine that sends word by word."""

    def __init__(self, db: Database, clock: FrozenClock, folder: Path) -> None:
        self.db, self.clock, self.sender = db, clock, Divided()
        self._folder = folder
        self.engine = self.another()

    def another(self, prober: ScriptedProber | None = None) -> Outbox:
        return Outbox(
            self.db, context(), senders={MAIL: self.sender}, capture=CaptureSender(self._folder), render=render,
            clock=self.clock, random=Random(1), owner="host:1", metrics=Metrics(), compose=Told(),
            probers={} if prober is None else {MAIL: prober},
        )  # fmt: skip

    async def once(self) -> None:
        while await self.engine.claim():
            await self.engine.finish(PATIENCE)

    async def put(self, ticket: int, key: str, words: str = "", **values: Any) -> None:
        if words:
            self.sender.words[key] = words
        made = draft(key, ticket_id=ticket, **{"lane": "ann", **values})
        await self.db.write(lambda conn: outbox.put(conn, made, self.clock()))

    async def ticket(self) -> int:
        return await self.db.write(lambda conn: open_ticket(conn, self.clock()))

    async def rows(self) -> list[Row]:
        return await self.db.read(outbox.listing)

    async def keys(self, ticket: int) -> list[tuple[str, str, bool, str | None]]:
        def read(conn: Connection) -> list[tuple[str, str, bool, str | None]]:
            table = schema.thread_key
            wanted = select(table.c.kind, table.c.value, table.c.issued, table.c.recipient)
            rows = conn.execute(wanted.where(table.c.ticket_id == ticket).order_by(table.c.value))
            return [tuple(row) for row in rows]  # type: ignore[misc]

        return await self.db.read(read)


@pytest.fixture
async def bench(db: Database, clock: FrozenClock, tmp_path: Path) -> AsyncIterator[Bench]:
    yield Bench(db, clock, tmp_path)


async def test_each_part_is_a_row_put_when_the_one_before_is_sent(bench: Bench) -> None:
    ticket = await bench.ticket()
    await bench.put(ticket, "reply:1", "one two three", repeatable=True, automatic=False)
    assert await bench.engine.claim() == 1
    await bench.engine.finish(PATIENCE)
    first, second = await bench.rows()
    assert (first.key, first.state, first.part) == ("reply:1", "sent", 0)
    assert (second.key, second.state, second.part, second.lane) == ("reply:1#1", "waiting", 1, "ann")
    assert (second.repeatable, second.automatic, second.replaces) == (True, False, None)
    await bench.once()
    assert bench.sender.sent == ["one", "two", "three"]
    assert [row.key for row in await bench.rows()] == ["reply:1", "reply:1#1", "reply:1#2"]
    as_of = {row.variables.get("as_of") for row in (await bench.rows())[1:]}
    assert as_of == {first.sending_at.isoformat() if first.sending_at else None}


async def test_what_each_part_is_called_there_is_a_key_that_we_issued(bench: Bench) -> None:
    ticket = await bench.ticket()
    await bench.put(ticket, "reply:1", "one two")
    await bench.once()
    assert await bench.keys(ticket) == [
        ("external", "mail:support:1:1", True, "ann@client.example"),
        ("external", "mail:support:1:2", True, "ann@client.example"),
    ]


async def test_nothing_of_the_lane_comes_between_the_parts(bench: Bench) -> None:
    ticket = await bench.ticket()
    await bench.put(ticket, "reply:1", "one two three")
    await bench.put(ticket, "reply:2", "next")
    await bench.put(ticket, "other", lane="bob")
    await bench.once()
    ours = [word for word in bench.sender.sent if word != "other"]
    assert ours == ["one", "two", "three", "next"]


async def test_a_part_that_must_wait_holds_its_lane_and_is_not_sent_twice(bench: Bench) -> None:
    ticket = await bench.ticket()
    bench.sender.plan["two"] = [Receipt(delivery=Delivery.RETRY, detail="later", retry_after=30.0)]
    await bench.put(ticket, "reply:1", "one two three")
    await bench.put(ticket, "reply:2", "next")
    await bench.once()
    assert bench.sender.sent == ["one"]
    bench.clock.forward(timedelta(seconds=31))
    await bench.once()
    assert bench.sender.sent == ["one", "two", "three", "next"]


async def test_a_part_that_is_refused_ends_the_notice_and_frees_the_lane(bench: Bench) -> None:
    ticket = await bench.ticket()
    bench.sender.plan["two"] = [Receipt(delivery=Delivery.REFUSED, detail="no")]
    await bench.put(ticket, "reply:1", "one two three")
    await bench.put(ticket, "reply:2", "next")
    await bench.once()
    assert bench.sender.sent == ["one", "next"]
    assert [(row.key, row.state) for row in await bench.rows()] == [
        ("reply:1", "sent"),
        ("reply:2", "sent"),
        ("reply:1#1", "refused"),
    ]


async def test_after_a_crash_the_next_part_is_sent_and_none_before_it(bench: Bench) -> None:
    ticket = await bench.ticket()
    await bench.put(ticket, "reply:1", "one two three", repeatable=True)
    await bench.engine.claim()
    await bench.engine.finish(PATIENCE)
    bench.engine = bench.another()
    await bench.engine.recover()
    await bench.once()
    assert bench.sender.sent == ["one", "two", "three"]


@pytest.mark.parametrize("crashed", [True, False])
async def test_a_part_that_is_found_at_the_far_side_is_followed_by_the_next(bench: Bench, crashed: bool) -> None:
    ticket = await bench.ticket()
    found = Receipt(delivery=Delivery.SENT, external_ids=("mail:support:1:9",), detail="found")
    prober = ScriptedProber({"one": found, "two": found, "three": found})
    bench.engine = bench.another(prober)
    await bench.put(ticket, "ack:1", "one two three", repeatable=False)
    if crashed:
        (row,) = await bench.rows()
        await bench.db.write(lambda conn: outbox.claim(conn, [row.id], "dead", bench.clock()))
        await bench.engine.recover()
        await bench.engine.finish(PATIENCE)
    else:
        bench.sender.plan["one"] = [Receipt(delivery=Delivery.RETRY, detail="lost", uncertain=True)]
    await bench.once()
    assert prober.asked == ["one"], "asked for the part, not for the whole"
    assert bench.sender.sent == ["two", "three"]
    assert [row.state for row in await bench.rows()] == ["sent"] * 3


async def test_a_text_that_became_shorter_meanwhile_is_at_its_end(bench: Bench) -> None:
    ticket = await bench.ticket()
    await bench.put(ticket, "reply:1", "one two")
    await bench.engine.claim()
    await bench.engine.finish(PATIENCE)
    bench.sender.words["reply:1"] = "one"
    await bench.once()
    assert bench.sender.sent == ["one"]
    assert [row.state for row in await bench.rows()] == ["sent", "sent"]


async def test_a_sender_that_keeps_to_a_pace_says_nothing_about_its_far_side(bench: Bench) -> None:
    ticket = await bench.ticket()
    for number in range(FAILURES + 1):
        bench.sender.plan[f"n{number}"] = [Receipt(delivery=Delivery.RETRY, detail="a moment", retry_after=2.0)]
        await bench.put(ticket, f"n{number}", lane=f"{number}")
    await bench.once()
    assert bench.engine.paused == frozenset()
    bench.clock.forward(timedelta(seconds=3))
    await bench.once()
    assert len(bench.sender.sent) == FAILURES + 1
