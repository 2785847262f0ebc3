"""Filing when the world has changed meanwhile: an account that is gone, a clock that went back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from gateway.filing import file_entry
from gateway.store import journal, tickets
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.store.sqlite import driver_connection
from gateway.worker_protocol import Parsed
from normalizer.message import DeliveryReport, ReportedRecipient
from tests.gateway.conftest import FrozenClock
from tests.gateway.filing_desk import Desk, context
from tests.gateway.planted import said

ANN = "ann@client.example"
GONE: dict[str, Any] = {"account": "former", "deliveries": (("former", "former@desk.example"),)}


@pytest.fixture
def desk(db: Database, blobs: Blobs, clock: FrozenClock) -> Desk:
    return Desk(db, blobs, clock, context())


async def test_entries_of_an_account_that_was_removed_are_filed_without_an_answer(desk: Desk) -> None:
    filed = await desk.receive(said(sender=ANN, message_id="g1@client.example"), **GONE)
    assert filed.kind == "opened"
    assert (await desk.ticket(filed.ticket_id)).language == "en"
    assert await desk.to(ANN) == []
    ours = await desk.issued(filed.ticket_id)
    await desk.set_status(filed.ticket_id, "resolved")
    assert (await desk.receive(said(sender=ANN, in_reply_to=[ours], message_id="g2@client.example"), **GONE)).kind == (
        "appended"
    )
    report = DeliveryReport(
        recipients=(ReportedRecipient(address=ANN, action="failed", status="5.1.1", diagnostic=""),),
        original_message_id=ours,
        thread_keys=(),
    )
    assert (await desk.receive(report, **GONE)).kind == "bounce"
    assert await desk.to(ANN) == []


async def test_an_unreadable_entry_of_an_account_that_was_removed_is_kept_for_staff(desk: Desk) -> None:
    entry = await desk.accept(said(sender=ANN), **GONE)
    while not await desk.give_up(await desk.entry(entry.id)):
        pass
    [quarantined] = await desk.db.read(lambda conn: journal.quarantined(conn, 10))
    assert quarantined.id == entry.id
    assert await desk.to(ANN) == []


async def test_a_clock_that_goes_back_holds_nothing_for_longer(desk: Desk, clock: FrozenClock) -> None:
    """What failed before the jump is tried again soon after it, and so is what waits behind it."""
    first = await desk.accept(said(sender=ANN, message_id="c1@client.example"))
    await desk.give_up(first)
    clock.forward(-timedelta(hours=5))
    second = await desk.accept(said(sender=ANN, message_id="c2@client.example"))
    clock.forward(timedelta(seconds=1))
    now, blobs = clock(), desk.blobs
    waiting = await desk.db.read(lambda conn: journal.pending(conn, blobs=blobs, now=now, limit=10))
    assert [entry.id for entry in waiting] == [first.id, second.id]


async def test_a_replay_asked_for_before_the_clock_went_back_is_read(desk: Desk, clock: FrozenClock) -> None:
    message = said(sender=ANN, message_id="c3@client.example")
    entry = await desk.accept(message)
    await desk.file(entry, message)
    await desk.replay(entry.id)
    now, blobs = clock.forward(-timedelta(hours=5)), desk.blobs
    waiting = await desk.db.read(lambda conn: journal.pending(conn, blobs=blobs, now=now, limit=10))
    assert [found.id for found in waiting] == [entry.id]


@pytest.mark.sqlite  # counts the steps of its virtual machine
async def test_a_long_history_is_not_read_again_for_each_message(desk: Desk) -> None:
    """A robot that goes on for ever in one ticket must not hold the writer longer each time."""
    filed = await desk.mail(sender=ANN, message_id="l1@client.example")
    assert filed.ticket_id is not None
    ticket_id, ours, now = filed.ticket_id, await desk.issued(filed.ticket_id), desk.clock()

    def said_before(conn: Connection) -> None:
        for number in range(1000):
            data, key = {"message": number}, f"earlier:{number}"
            tickets.add_event(conn, ticket_id, at=now, actor="requester", kind="message", data=data, key=key)

    await desk.do(said_before)
    message = said(sender=ANN, message_id="l2@client.example", in_reply_to=[ours])
    entry, read = await desk.accept(message), Parsed(event=message)
    assert await desk.do(lambda conn: _steps_of(conn, lambda: file_entry(conn, desk.ctx, entry, read, now))) < 5000


def _steps_of(conn: Connection, job: Callable[[], object]) -> int:
    """Instructions of SQLite's virtual machine, in hundreds of them; a row that is read takes several."""
    count = 0

    def counting() -> None:
        nonlocal count
        count += 100

    driver_connection(conn).set_progress_handler(counting, 100)
    try:
        job()
    finally:
        driver_connection(conn).set_progress_handler(None, 0)
    return count
