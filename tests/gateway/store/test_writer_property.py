"""Any mixture of good and bad jobs, in any company: what was answered with a result is there, nothing else is."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import IntegrityError

from channels.contract import Unavailable
from gateway.store.database import Database, open_database
from gateway.store.dialect import is_postgresql
from gateway.store.schema import cursor

ROOM = 30
"""Pages that the database may still grow by."""


class Mine(Exception):
    """A job's own failure."""


def write(conn: Connection, name: str, value: str = "") -> None:
    conn.execute(insert(cursor).values(channel="c", account="a", name=name, value=value))


def good(conn: Connection, name: str) -> None:
    write(conn, name)


def taken(conn: Connection, name: str) -> None:
    write(conn, name)
    write(conn, name)


def full(conn: Connection, name: str) -> None:
    """There is no room on the disk for this one."""
    write(conn, name)
    if is_postgresql(conn):  # the server's own error of a full disk, which rolls nothing back by itself
        conn.execute(text("DO $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$"))
    write(conn, f"{name} big", "x" * 4096 * (ROOM + 10))


def raising(conn: Connection, name: str) -> None:
    write(conn, name)
    raise Mine


def undecided(conn: Connection, name: str) -> None:
    """Undoes a part of its work by a savepoint and keeps the rest."""
    write(conn, name)
    part = conn.begin_nested()
    write(conn, f"{name} undone")
    part.rollback()


def committing(conn: Connection, name: str) -> None:
    """Breaks the rules: ends the transaction that it shares."""
    write(conn, name)
    conn.rollback()


KINDS: dict[Callable[[Connection, str], None], type[BaseException] | None] = {
    good: None,
    undecided: None,
    taken: IntegrityError,
    full: Unavailable,
    raising: Mine,
    committing: Unavailable,
}
jobs = st.lists(st.tuples(st.sampled_from(list(KINDS)), st.booleans()), max_size=12)


Rounds = list[list[tuple[Callable[[Connection, str], None], bool]]]
EXAMPLES = {"sqlite": 40, "postgresql": 25}
"""Kind of database -> mixtures; one on PostgreSQL takes longer."""


def test_the_answer_is_the_truth(emptied: Callable[[], str], db_url: str) -> None:
    @settings(max_examples=EXAMPLES["sqlite" if db_url.startswith("sqlite") else "postgresql"], deadline=None)
    @given(st.lists(jobs, min_size=1, max_size=3))
    def check(rounds: Rounds) -> None:
        asyncio.run(play(emptied(), rounds))

    check()


async def play(url: str, rounds: Rounds) -> None:
    db = open_database(url, readers=1)
    try:
        if not db.shared:
            pages = await db.write(lambda conn: conn.execute(text("PRAGMA page_count")).scalar_one())
            await db.write(lambda conn: conn.execute(text(f"PRAGMA max_page_count={pages + ROOM}")))
        await _play(db, rounds)
    finally:
        await db.close()


async def _play(db: Database, rounds: Rounds) -> None:
    number = itertools.count()
    wanted: set[str] = set()
    for played in rounds:
        named = [(kind, urgent, str(next(number))) for kind, urgent in played]
        answers: list[Any] = await asyncio.gather(
            *(
                db.write(lambda conn, kind=kind, name=name: kind(conn, name), urgent=urgent)
                for kind, urgent, name in named
            ),
            return_exceptions=True,
        )
        for (kind, _, name), answer in zip(named, answers, strict=True):
            expected = KINDS[kind]
            assert isinstance(answer, expected) if expected else answer is None, (kind, answer)
            wanted |= set() if expected else {name}
        assert set(await db.read(lambda conn: conn.execute(select(cursor.c.name)).scalars().all())) == wanted
    assert db.healthy
