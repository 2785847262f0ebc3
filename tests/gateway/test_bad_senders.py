"""Senders that give up, send too much or meet a full disk: the answer, and what the database and the spool hold."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from gateway.store import schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database, Limits, open_database
from tests.channels.mail.support import Client, letter, stuffed, until
from tests.channels.mail.test_smtp_promises import STAGES
from tests.gateway.test_bad_input import desk
from tests.gateway.test_pipeline import Running

BIG = b"b" * 76 + b"\r\n"


async def nothing_is_there(story: Running, spool: Path) -> None:
    """No entry, no ticket, no file."""
    assert await story.rows() == {}
    assert await story.db.read(lambda conn: conn.execute(select(func.count()).select_from(schema.ticket)).scalar()) == 0
    assert not [path.name for path in spool.iterdir() if path.name.startswith("smtp-")]


async def another(client: Client) -> Client:
    """A second connection to the port of the first."""
    return await Client.to(*client.writer.get_extra_info("peername")[:2])


@pytest.mark.parametrize("polite", [True, False], ids=["FIN", "RST"])
async def test_a_client_that_drops_before_the_dot_leaves_nothing(
    db: Database, blobs: Blobs, tmp_path: Path, polite: bool
) -> None:
    async with desk(db, blobs, tmp_path / "spool") as (story, witness):
        for stage, sent in STAGES.items():
            client = await another(witness)
            await client.reply()
            await client.send(sent)
            if sent:
                await client.reply()
            if polite:
                client.writer.write_eof()
                await client.reader.read()
                await client.close()
            else:
                client.drop()
            await until(lambda: not [path for path in (tmp_path / "spool").iterdir() if path.name.startswith("smtp-")])
            assert await story.rows() == {}, stage
        # The port is as it was: the next mail is taken in.
        assert (await witness.mail(letter(1))).startswith("250 ")
        assert [row.state for row in (await story.settled()).values()] == ["done"]


async def test_a_client_that_drops_behind_the_dot_is_taken_in_and_its_repeat_is_known(
    db: Database, blobs: Blobs, tmp_path: Path
) -> None:
    async with desk(db, blobs, tmp_path / "spool") as (story, witness):
        client = await another(witness)
        await client.hello()
        await client.begin()
        await client.send(stuffed(letter(1)))
        await story.until(lambda rows: len(rows) == 1)
        client.drop()
        assert (await witness.mail(letter(1))).startswith("250 ")
        await story.settled()
        kept = await db.read(lambda conn: conn.execute(select(schema.message.c.sha256)).scalars().all())
        assert kept == [hashlib.sha256(letter(1)).hexdigest()]


async def test_over_the_limit_is_552_and_nothing_is_there(db: Database, blobs: Blobs, tmp_path: Path) -> None:
    async with desk(db, blobs, tmp_path / "spool", message_size="1MB") as (story, client):
        assert (await client.mail(BIG * 15_000)).startswith("552 5.3.4 ")
        assert (await client.say("MAIL FROM:<a@client.example> SIZE=2000000")).startswith("552 5.3.4 ")
        await nothing_is_there(story, tmp_path / "spool")
        assert (await client.mail(letter(1))).startswith("250 ")
        await story.settled()


async def test_one_message_id_with_two_contents_stands_twice(db: Database, blobs: Blobs, tmp_path: Path) -> None:
    contents = [letter(1, body) for body in (b"The printer is dead.\r\n", b"The server is dead.\r\n")]
    async with desk(db, blobs, tmp_path / "spool") as (story, client):
        for content in (*contents, contents[0]):
            assert (await client.mail(content)).startswith("250 ")
        await story.settled()
        states = await db.read(lambda conn: conn.execute(select(schema.entry.c.state)).scalars().all())
        kept = await db.read(lambda conn: conn.execute(select(schema.message.c.sha256)).scalars().all())
    assert states == ["done", "done"]
    assert Counter(kept) == Counter(hashlib.sha256(content).hexdigest() for content in contents)


async def test_a_full_database_is_a_temporary_refusal_and_the_repeat_is_taken_in(
    db_url: str, blobs: Blobs, tmp_path: Path
) -> None:
    db = open_database(db_url, readers=1, busy_timeout=1.0, limits=Limits(probe_first=0.01, probe_limit=0.02))
    content = letter(1, BIG * 2_000)  # kept in a row, and more than the pages that are left
    try:
        async with desk(db, blobs, tmp_path / "spool") as (story, client):
            pages = await db.read(lambda conn: conn.execute(text("PRAGMA page_count")).scalar_one())
            await db.write(lambda conn: conn.execute(text(f"PRAGMA max_page_count={pages + 4}")).scalar_one())
            answer = await client.mail(content)
            assert answer.startswith(("451 4.3.0 ", "452 4.3.1 ")), answer
            await nothing_is_there(story, tmp_path / "spool")
            await db.write(lambda conn: conn.execute(text("PRAGMA max_page_count=1000000")).scalar_one())
            assert (await client.mail(content)).startswith("250 ")
            await story.settled()
            kept = await db.read(lambda conn: conn.execute(select(schema.message.c.sha256)).scalars().all())
            assert kept == [hashlib.sha256(content).hexdigest()]
    finally:
        await db.close()
