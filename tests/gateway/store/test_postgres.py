"""PostgreSQL: what is not safe is refused, a lost connection is Unavailable, and what one says all hear."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, insert, select, text, update

from channels.contract import Unavailable
from gateway.store import journal, leases, wakeups
from gateway.store.blob_sweep import sweep
from gateway.store.blobs import Blobs
from gateway.store.database import Database, Limits, UnsafeDatabase, open_database
from gateway.store.dialect import database_clock, wake
from gateway.store.postgres import make_engine
from gateway.store.schema import blob, counter, entry, lease
from gateway.store.schema import raw as raw_table
from gateway.store.shared_blobs import CHUNK, SharedBlobs
from normalizer.message import InlineBody
from tests.gateway.conftest import START
from tests.gateway.store.mails import NOW, mail
from tests.postgres import Server, running


@pytest.mark.parametrize(
    ("option", "named"), [("fsync=off", "fsync=off"), ("synchronous_commit=off", "synchronous_commit=off")]
)
def test_a_server_that_may_lose_a_commit_is_refused(option: str, named: str) -> None:
    with running(option) as server, pytest.raises(UnsafeDatabase, match=named):
        open_database(server.url())


def test_a_role_that_may_lose_a_commit_is_refused(postgres: Server) -> None:
    postgres.run("CREATE ROLE careless SUPERUSER LOGIN")
    postgres.run("ALTER ROLE careless SET synchronous_commit = off")
    with pytest.raises(UnsafeDatabase, match="synchronous_commit=off"):
        open_database(postgres.url().replace("postgres@", "careless@"))


@pytest.mark.parametrize("url", ["postgresql+asyncpg://localhost/x", "postgresql+psycopg2://localhost/x"])
def test_another_driver_is_refused(url: str) -> None:
    with pytest.raises(UnsafeDatabase, match="psycopg"):
        open_database(url)


async def test_a_cut_connection_is_unavailable_and_heals(postgres: Server, pg_url: str) -> None:
    db = open_database(pg_url, limits=Limits(probe_first=0.01, probe_limit=0.05))
    try:
        pid = await db.write(lambda conn: conn.scalar(text("SELECT pg_backend_pid()")), urgent=True)

        def cut(conn: Connection) -> None:
            conn.execute(insert(counter).values(name="lost", bucket=0, count=1))
            postgres.run(f"SELECT pg_terminate_backend({pid})")

        with pytest.raises(Unavailable):
            await db.write(cut, urgent=True)
        async with asyncio.timeout(90):
            while not db.healthy:  # noqa: ASYNC110 - the writer's thread tells nobody
                await asyncio.sleep(0.01)
        assert await db.read(lambda conn: conn.execute(select(counter.c.name)).all()) == []
        await db.write(lambda conn: conn.execute(insert(counter).values(name="kept", bucket=0, count=1)), urgent=True)
    finally:
        await db.close()


async def test_a_job_that_hides_a_failed_statement_commits_nothing(pg_url: str) -> None:
    db = open_database(pg_url)
    try:

        def hides(conn: Connection) -> None:
            conn.execute(insert(counter).values(name="half", bucket=0, count=1))
            with pytest.raises(Exception, match="does not exist"):
                conn.execute(text("SELECT 1 FROM nowhere"))

        with pytest.raises(Unavailable):
            await db.write(hides)
        assert await db.read(lambda conn: conn.execute(select(counter.c.name)).all()) == []
    finally:
        await db.close()


async def test_two_that_lock_crosswise_both_get_through(pg_url: str) -> None:
    # The server finds out about them within a second; where it stands still meanwhile it must not give up first.
    db = open_database(pg_url, writers=3, busy_timeout=120.0)
    try:
        rows = [{"name": name, "bucket": 0, "count": 0} for name in "ab"]
        await db.write(lambda conn: conn.execute(insert(counter), rows))
        meet = threading.Barrier(2)
        met = threading.local()

        def crosswise(first: str, second: str) -> None:
            def job(conn: Connection) -> None:
                for name in (first, second):
                    conn.execute(update(counter).where(counter.c.name == name).values(count=counter.c.count + 1))
                    if name == first and not getattr(met, "yes", False):
                        met.yes = True
                        meet.wait(90)

            jobs.append(job)

        jobs: list[object] = []
        crosswise("a", "b")
        crosswise("b", "a")
        await asyncio.gather(*(db.write(job) for job in jobs))  # type: ignore[arg-type]
        assert [row.count for row in await db.read(lambda conn: conn.execute(select(counter)).all())] == [2, 2]
    finally:
        await db.close()


async def test_a_text_that_postgresql_cannot_keep_is_mended(pg_url: str) -> None:
    db = open_database(pg_url)
    try:
        await db.write(lambda conn: conn.execute(insert(counter).values(name="a\0b\ud800", bucket=0, count=1)))
        (row,) = await db.read(lambda conn: conn.execute(select(counter)).all())
        assert row.name.startswith("a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}")
    finally:
        await db.close()


async def test_a_lease_is_one_owners_until_it_runs_out(db: Database) -> None:
    length = timedelta(minutes=1)
    assert await db.write(lambda conn: leases.take(conn, "mail:support", "a", length))
    assert not await db.write(lambda conn: leases.take(conn, "mail:support", "b", length))
    assert await db.write(lambda conn: leases.renew(conn, ["mail:support"], "a", length)) == {"mail:support"}
    assert await db.write(lambda conn: leases.renew(conn, ["mail:support"], "b", length)) == frozenset()

    def run_out(conn: Connection) -> None:
        conn.execute(update(lease).values(until=database_clock(conn) - timedelta(seconds=1)))

    await db.write(run_out)
    assert await db.read(lambda conn: leases.holder(conn, "mail:support")) is None
    assert await db.write(lambda conn: leases.take(conn, "mail:support", "b", length))
    assert await db.write(lambda conn: leases.renew(conn, ["mail:support"], "a", length)) == frozenset()
    assert await db.read(lambda conn: leases.holder(conn, "mail:support")) == "b"


async def test_what_is_committed_wakes_every_node(pg_url: str) -> None:
    heard = asyncio.Event()
    listening = wakeups.Wakeups(pg_url, {"outbox": heard.set}, asyncio.get_running_loop())
    listening.start()
    db = open_database(pg_url)
    try:
        assert await asyncio.to_thread(listening.listening.wait, 90)
        async with asyncio.timeout(90):
            await heard.wait()  # whatever was said before it listened
            heard.clear()
            await db.write(lambda conn: wake(conn, "outbox"))
            await heard.wait()
    finally:
        await asyncio.to_thread(listening.stop)
        await db.close()


async def test_a_blob_put_on_one_node_is_read_on_another_and_swept_once(pg_url: str, tmp_path: Path) -> None:
    one, two = (SharedBlobs(tmp_path / name, pg_url) for name in "ab")
    db = open_database(pg_url)
    try:
        content = b"x" * (CHUNK + 1)
        name = await asyncio.to_thread(one.put, content)
        assert name == hashlib.sha256(content).hexdigest()
        assert not two.exists(name)
        assert (await asyncio.to_thread(two.local, name)).read_bytes() == content
        assert await asyncio.to_thread(two.put, content) == name

        def age(conn: Connection) -> None:
            conn.execute(update(blob).values(touched_at=database_clock(conn) - timedelta(days=2)))

        assert await sweep(db, one, now=START) == 0, "it was touched just now"
        await db.write(age)
        assert await sweep(db, one, now=START) == 1
        assert not one.exists(name)
        assert await sweep(db, two, now=START) == 0
    finally:
        await db.close()
        one.close()
        two.close()


def test_times_out_instead_of_waiting_for_ever(pg_url: str) -> None:
    engine = make_engine(pg_url, "writer")
    with engine.connect() as conn:
        assert conn.scalar(text("SHOW idle_in_transaction_session_timeout")) == "10s"
        assert conn.scalar(text("SHOW lock_timeout")) == "5s"
    engine.dispose()


async def test_accepts_that_share_a_turn_and_one_of_them_is_refused(pg_url: str, tmp_path: Path) -> None:
    db, blobs = open_database(pg_url), Blobs(tmp_path / "blobs")
    wanted = [mail(number) for number in range(20)]
    wanted[7] = mail(7, account="x" * 100)  # longer than its column
    wanted[9] = wanted[3]
    try:
        together = [db.write(journal.recording([raw], None, now=NOW, blobs=blobs), urgent=True) for raw in wanted]
        answers = await asyncio.gather(*together, return_exceptions=True)
        assert isinstance(answers[7], psycopg.errors.StringDataRightTruncation)
        good = [answer[0] for answer in answers if not isinstance(answer, BaseException)]
        assert len(good) == 19 and sum(one.duplicate for one in good) == 1
        kept = await db.read(lambda conn: conn.execute(select(entry.c.id, raw_table.c.content).join(raw_table)).all())
        bodies = [raw.body.content for raw in wanted if isinstance(raw.body, InlineBody)]
        assert sorted(row.content for row in kept) == sorted({*bodies[:7], *bodies[8:]})
        assert {one.entry for one in good} == {row.id for row in kept}
    finally:
        await db.close()
