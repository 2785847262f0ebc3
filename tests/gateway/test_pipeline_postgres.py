"""The pipeline when PostgreSQL refuses: others hold a row, a row cannot be taken, the disk of the server is full."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import psycopg
import pytest

from gateway.store.blobs import Blobs
from gateway.store.database import Database, open_database
from tests.gateway.test_pipeline import message, running
from tests.postgres import TEMPLATE, Server

REFUSING = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.subject = 'unkept' THEN RAISE EXCEPTION 'it cannot be kept' USING ERRCODE = '{error}'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER refusing BEFORE INSERT ON ticket FOR EACH ROW EXECUTE FUNCTION refuse();
"""
"""The server refuses tickets with a certain subject, by an error of its own."""


@pytest.fixture
def own_database(postgres: Server) -> str:
    """The name of a database that the test may spoil."""
    return postgres.fresh(TEMPLATE)


@pytest.fixture
async def own(postgres: Server, own_database: str) -> AsyncIterator[Database]:
    """It, opened."""
    db = open_database(postgres.url(own_database), readers=2, busy_timeout=30.0)
    yield db
    await db.close()


@pytest.fixture
def refuse(postgres: Server, own_database: str) -> Callable[[str], None]:
    """Make the server refuse with this SQLSTATE."""
    return lambda error: postgres.run(REFUSING.format(error=error), own_database) and None


async def test_what_filing_cannot_take_is_counted_and_its_neighbours_are_filed(
    own: Database, refuse: Callable[[str], None], blobs: Blobs
) -> None:
    refuse("22000")  # data_exception
    async with running(own, blobs) as story:
        await story.pipeline.accept([message(1), message(2, subject="unkept"), message(3)])
        story.start()
        rows = await story.settled()
        assert [rows[name].state for name in "123"] == ["done", "quarantined", "done"]
        assert rows["2"].error.startswith("filing: ")
        assert (rows["1"].attempts, rows["3"].attempts) == (0, 0)


async def test_a_full_disk_counts_no_attempt_and_filing_goes_on_by_itself(
    own: Database, own_database: str, refuse: Callable[[str], None], blobs: Blobs, postgres: Server
) -> None:
    refuse("53100")  # disk_full
    async with running(own, blobs) as story:
        await story.pipeline.accept([message(number, subject="unkept") for number in range(3)])
        story.start()
        await story.until(lambda _rows: story.pipeline.paused)
        rows = await story.rows()
        assert {(row.state, row.attempts) for row in rows.values()} == {("pending", 0)}
        postgres.run("DROP TRIGGER refusing ON ticket", own_database)
        rows = await story.settled()
        assert {(row.state, row.attempts) for row in rows.values()} == {("done", 0)}


async def test_an_entry_whose_thread_others_hold_waits_alone(pg_url: str, postgres: Server, blobs: Blobs) -> None:
    db = open_database(pg_url, busy_timeout=1.0)
    try:
        async with running(db, blobs) as made:
            made.start()
            await made.pipeline.accept([message(1, peer="ann@client.example")])
            await made.settled()
            with psycopg.connect(postgres.url(pg_url.rpartition("/")[2]).replace("+psycopg", "")) as other:
                other.execute("SELECT * FROM conversation WHERE peer = 'ann@client.example' FOR UPDATE")
                await made.pipeline.accept([message(2, peer="ann@client.example")])
                await made.pipeline.accept([message(3, peer="bob@client.example")])
                rows = await made.until(lambda rows: rows["3"].state == "done" and rows["2"].not_before is not None)
                assert rows["2"].state == "pending" and rows["2"].attempts == 0
                assert not made.pipeline.paused, "only this one waits"
                other.rollback()
            rows = await made.settled()
            assert rows["2"].state == "done"
    finally:
        await db.close()
