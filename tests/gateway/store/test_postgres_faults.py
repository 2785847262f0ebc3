"""Rule 2 on PostgreSQL when a COMMIT fails, the wire is cut in the middle of one, or the server crashes under load."""

from __future__ import annotations

import asyncio
import signal
import threading
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, text

from channels.contract import Unavailable
from gateway.store.blobs import Blobs
from gateway.store.database import Database, Limits, migrate, open_database
from gateway.store.dialect import Contended
from gateway.store.shared_blobs import SharedBlobs
from tests.gateway.store.mails import accept, digests, mail, recording
from tests.gateway.store.test_writer import PATIENCE, count_up, healthy_again, names, together
from tests.postgres import TEMPLATE, Server, running
from tests.services.cutter import cutter

SOON = Limits(probe_first=0.01, probe_limit=0.05)


async def test_a_failed_commit_is_unknown_to_everybody_in_it(postgres: Server, blobs: Blobs) -> None:
    name = postgres.fresh(TEMPLATE)
    foreign = "SELECT conname FROM pg_constraint WHERE conrelid = 'raw'::regclass AND contype = 'f'"
    ((key,),) = postgres.run(foreign, name)
    postgres.run(f"ALTER TABLE raw ALTER CONSTRAINT {key} DEFERRABLE INITIALLY DEFERRED", name)
    db = open_database(postgres.url(name), readers=1, limits=SOON)

    def breaks_the_commit(conn: Connection) -> None:
        conn.execute(text("INSERT INTO raw (entry_id, content) VALUES (4711, '')"))  # of an entry that is not there

    try:
        results = await together(db, [recording(mail(1), blobs), breaks_the_commit, recording(mail(2), blobs)])
        assert all(isinstance(result, Unavailable) for result in results), results
        assert db.stats.failed_commits == 1
        await healthy_again(db)
        assert await db.read(lambda conn: digests(conn, blobs)) == {}
        for number in (1, 2):  # the senders repeat
            assert not (await accept(db, blobs, mail(number))).duplicate
        assert len(await db.read(lambda conn: digests(conn, blobs))) == 2
    finally:
        await db.close()


@pytest.mark.parametrize(("way", "written"), [("on_client", 0), ("on_server", 5)])
async def test_a_wire_cut_in_the_middle_of_a_commit_is_unknown_and_a_repeat_is_safe(
    postgres: Server, pg_url: str, blobs: Blobs, way: str, written: int
) -> None:
    """The server never hears of the COMMIT; or it has committed, and its answer is lost."""
    mails = [mail(number) for number in range(5)]
    with cutter(postgres.port) as wire:
        db = open_database(pg_url.replace(f":{postgres.port}/", f":{wire.port}/"), readers=1, limits=SOON)

        def cut(data: bytes) -> bool:
            if b"COMMIT\0" not in data:  # and not "READ COMMITTED"
                return False
            setattr(wire, way, None)
            return True

        try:
            await accept(db, blobs, mail("before"))
            setattr(wire, way, cut)
            results = await together(db, [recording(one, blobs) for one in mails])
            assert all(isinstance(result, Unavailable) for result in results), results
            assert (db.stats.failed_commits, wire.cuts) == (1, 1)
            await healthy_again(db)
            again = [await accept(db, blobs, one) for one in mails]
            assert sum(one.duplicate for one in again) == written
            kept = await db.read(lambda conn: digests(conn, blobs))
            assert kept == {one.external_id: one.body.sha256 for one in [mail("before"), *mails]}
        finally:
            await db.close()


async def test_a_server_that_crashes_under_load_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    with running() as server:
        url = server.url()
        await asyncio.to_thread(migrate, url, backup_to=tmp_path)
        db, blobs = open_database(url, limits=SOON), SharedBlobs(tmp_path / "blobs", url)
        acknowledged: dict[str, str] = {}
        refused, enough = 0, asyncio.Event()

        async def sender(name: str) -> None:
            nonlocal refused
            number = 0
            while not enough.is_set():
                one = mail(f"{name}.{number}")
                try:
                    await accept(db, blobs, one)
                except Unavailable:
                    refused += 1
                    await asyncio.sleep(0.02)
                else:
                    acknowledged[one.external_id] = one.body.sha256
                    number += 1

        async def more(count: int) -> None:
            wanted = len(acknowledged) + count
            while len(acknowledged) < wanted:  # noqa: ASYNC110 - the senders tell nobody
                await asyncio.sleep(0.01)

        senders = [asyncio.create_task(sender(f"s{number}")) for number in range(8)]
        try:
            async with asyncio.timeout(200):
                for _ in range(2):
                    await more(100)
                    await asyncio.to_thread(server.stop, signal.SIGQUIT)  # as if it crashed
                    await asyncio.to_thread(server.start)
                await more(100)
            enough.set()
            await asyncio.gather(*senders)
            assert refused
            kept = await db.read(lambda conn: digests(conn, blobs))
            assert acknowledged.items() <= kept.items()
            assert len(kept) - len(acknowledged) <= len(senders), "what was refused is there at most where it was asked"
        finally:
            enough.set()
            await asyncio.gather(*senders, return_exceptions=True)
            await db.close()
            blobs.close()


async def test_what_others_lock_concerns_only_who_needs_it(postgres: Server, pg_url: str) -> None:
    db = open_database(pg_url, readers=1, busy_timeout=0.05, limits=SOON)
    try:
        await db.write(count_up("locked"))
        with psycopg.connect(pg_url.replace("+psycopg", "")) as other:
            other.execute("SELECT * FROM counter WHERE name = 'locked' FOR UPDATE")

            def needs_it(conn: Connection) -> None:
                conn.execute(text("UPDATE counter SET count = 2 WHERE name = 'locked'"))

            results = await together(db, [count_up("one"), needs_it, count_up("two")])
            assert [isinstance(result, Contended) for result in results] == [False, True, False], results
            assert db.healthy
            other.rollback()
        await db.write(needs_it)
        assert await names(db) == {"locked", "one", "two"}
    finally:
        await db.close()


async def test_accepts_do_not_wait_for_filing(pg_url: str) -> None:
    db: Database = open_database(pg_url, readers=1)
    begun, go_on = threading.Event(), threading.Event()

    def long_work(conn: Connection) -> None:
        conn.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))  # it is meant to stand still
        begun.set()
        assert go_on.wait(PATIENCE)

    filing = [asyncio.ensure_future(db.write(long_work)) for _ in range(4)]
    try:
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        async with asyncio.timeout(PATIENCE):
            await db.write(count_up("accept"), urgent=True)
        assert not any(task.done() for task in filing)
        assert await names(db) == {"accept"}
    finally:
        go_on.set()
        await asyncio.gather(*filing)
        await db.close()
