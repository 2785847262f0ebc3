"""Bad input from the wire to the ticket: the SMTP port, the journal, real parsers and a real database."""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from channels.mail.listener import SmtpListener
from channels.mail.settings import SmtpOptions
from gateway.store import schema
from gateway.store.blobs import Blobs
from gateway.store.database import Database, Limits, open_database
from gateway.workers import Limits as WorkerLimits
from gateway.workers import WorkerPool
from router.policy import Policy
from tests.channels.mail.support import ACCOUNTS, Client, letter
from tests.gateway.filing_desk import context
from tests.gateway.patience import PATIENCE, eventually
from tests.gateway.test_pipeline import Running

HEAD = b"From: a@client.example\r\nMessage-ID: <%s@client.example>\r\n"
BAD = {
    "NUL": HEAD % b"nul" + b"Subject: a\x00b\r\n\r\n\x00\x00\r\n",
    "a 1 MB header": HEAD % b"big" + b"Subject: " + b"h" * 1_000_000 + b"\r\n\r\nbody\r\n",
    "no From, no Message-ID": b"Subject: who\r\n\r\nbody\r\n",
    "an empty body": HEAD % b"empty" + b"\r\n",
    "nothing at all": b"",
    "an unknown charset": HEAD % b"cs"
    + b"Content-Type: text/plain; charset=x-no-such\r\n\r\n\xcf\xf0\xe8\xe2\xe5\xf2\r\n",
    "lone surrogates": HEAD % b"sur" + b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xed\xa0\x80 \xff\xfe\r\n",
    "surrogates of UTF-7": HEAD % b"u7" + b"Subject: =?utf-7?Q?+2AA-?=\r\n\r\n\r\n",
    "bad base64": HEAD % b"b64" + b"Content-Transfer-Encoding: base64\r\n\r\n====!!!!\r\n",
    "10,000 nested parts": HEAD % b"nest" + b'Content-Type: multipart/mixed; boundary="a"\r\n\r\n--a\r\n' * 10_000,
    "100,000 nested div": HEAD % b"div" + b"Content-Type: text/html\r\n\r\n" + b"<div>" * 100_000 + b"\r\n",
    "1,000 recipients": HEAD % b"to"
    + b"To: "
    + b",\r\n ".join(b"u%d@far.example" % n for n in range(1000))
    + b"\r\n\r\n",
    "a file with a hostile name": HEAD % b"name"
    + b'Content-Type: application/x; name="../../\x00\xed\xa0\x80etc/passwd"\r\n\r\nroot\r\n',
}


@asynccontextmanager
async def desk(db: Database, blobs: Blobs, spool: Path, **options: Any) -> AsyncIterator[tuple[Running, Client]]:
    """A port whose mail becomes tickets; `options` are the port's."""
    pool = WorkerPool(count=1, limits=WorkerLimits(seconds=PATIENCE), blobs=blobs.folder, policy=Policy())
    await pool.start()
    story, numbers = Running(db, blobs, pool, context()), itertools.count(1)
    listener = SmtpListener(
        ACCOUNTS,
        SmtpOptions.model_validate({"port": 0, **options}),
        clock=lambda: datetime.now(UTC),
        spool=spool,
        unique=lambda: f"u{next(numbers)}",
    )
    await listener.start(story.pipeline.accept)
    host, _, port = listener.listening()["smtp"].rpartition(":")
    client = await Client.to(host, int(port))
    await client.hello()
    story.start()
    try:
        yield story, client
    finally:
        await client.close()
        await listener.stop()
        await story.stop()
        await pool.stop()


async def test_whatever_comes_is_answered_and_stands_in_one_ticket(db: Database, blobs: Blobs, tmp_path: Path) -> None:
    async with desk(db, blobs, tmp_path / "spool") as (story, client):
        for content in BAD.values():
            assert (await client.mail(content)).startswith("250 ")
        rows = await story.settled()
    assert {row.state for row in rows.values()} == {"done"}
    kept = await db.read(lambda conn: conn.execute(select(schema.message.c.sha256)).scalars().all())
    assert sorted(kept) == sorted(hashlib.sha256(content).hexdigest() for content in BAD.values())


async def test_a_locked_database_is_451_and_the_repeat_is_taken_in(db_url: str, blobs: Blobs, tmp_path: Path) -> None:
    db = open_database(db_url, readers=1, busy_timeout=0.05, limits=Limits(probe_first=0.01, probe_limit=0.02))
    try:
        async with desk(db, blobs, tmp_path / "spool") as (story, client):
            other = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            assert (await client.mail(letter(1))).startswith("451 4.3.0 ")
            assert await story.rows() == {}
            other.execute("ROLLBACK")
            other.close()
            await eventually(lambda: client.mail(letter(1)), lambda answer: answer.startswith("250 "), "250")
            rows = await story.settled()
            assert [row.state for row in rows.values()] == ["done"]
    finally:
        await db.close()
