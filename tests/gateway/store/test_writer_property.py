"""Any mixture of good and bad jobs, in any company: what was answered with a result is there, nothing else is."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, insert, select, text
from sqlalchemy.exc import IntegrityError

from channels.contract import Unavailable
from gateway.store.database import open_database
from gateway.store.schema import cursor, metadata

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
    write(conn, name)
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


@settings(max_examples=40, deadline=None)
@given(st.lists(jobs, min_size=1, max_size=3))
def test_the_answer_is_the_truth(rounds: list[list[tuple[Callable[[Connection, str], None], bool]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder), rounds))


async def play(folder: Path, rounds: list[list[tuple[Callable[[Connection, str], None], bool]]]) -> None:
    url = f"sqlite:///{folder / 'gateway.db'}"
    engine = create_engine(url)
    metadata.create_all(engine)
    engine.dispose()
    db = open_database(url, readers=1)
    pages = await db.write(lambda conn: conn.execute(text("PRAGMA page_count")).scalar_one())
    await db.write(lambda conn: conn.execute(text(f"PRAGMA max_page_count={pages + ROOM}")))
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
    await db.close()
