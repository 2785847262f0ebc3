"""The old tickets that benchmarks measure on are what filing would have left."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from benchmarks.endtoend.fill import fill
from gateway.store import journal, people, tickets
from gateway.store.blobs import Blobs
from gateway.store.database import open_database
from gateway.ticket_numbers import is_number, number_for
from tests.gateway.conftest import FrozenClock
from tests.gateway.filing_desk import Desk, context, said

pytestmark = pytest.mark.sqlite  # the benchmark writes these rows by SQLite's own functions
COUNT = 120


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    var = tmp_path / "filled"
    fill(var, COUNT)
    return var / "gateway.db"


def test_rows_refer_to_each_other_and_nothing_waits(filled: Path) -> None:
    conn = sqlite3.connect(filled)
    try:
        assert conn.execute("PRAGMA foreign_key_check").fetchall() == []
        assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        counts = {
            name: conn.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in ("entry", "raw", "delivery", "ticket", "message", "conversation", "event", "outbox", "contact")
        }
        assert counts == dict.fromkeys(counts, COUNT)
        assert conn.execute("SELECT count(*) FROM entry WHERE state <> 'done'").fetchone() == (0,)
        numbers = [number for (number,) in conn.execute("SELECT number FROM ticket ORDER BY id")]
    finally:
        conn.close()
    assert numbers[0] == number_for(1) and all(map(is_number, numbers))


async def test_filing_goes_on_behind_them(filled: Path, clock: FrozenClock, tmp_path: Path) -> None:
    db = open_database(f"sqlite:///{filled}")
    try:
        desk = Desk(db, Blobs(tmp_path / "blobs"), clock, context())
        new = await desk.mail(message_id="new@client.example")
        assert (new.kind, new.ticket_id) == ("opened", COUNT + 1)

        old = await db.read(lambda conn: tickets.get(conn, 7))
        known = await db.read(lambda conn: people.find(conn, "mail", old.requester))
        assert (old.status, known and known.contact_id) == ("closed", 7)
        assert (await db.read(journal.backlog))[0] == 0
        answer = said(
            sender="old7@client.example", message_id="more@client.example", in_reply_to=("old.7@client.example",)
        )
        assert (await desk.receive(answer)).ticket_id == 7
    finally:
        await db.close()
