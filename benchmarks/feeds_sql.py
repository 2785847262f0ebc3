"""Tickets a second that the feed to a desk's tables makes, beside bare INSERTs of the same rows in a loop.

A ticket is a row with ten columns and its first message another one, durable. The bare loop makes each in a transaction
of its own; it knows no keys, no maps and no lengths: it has one connection of the driver alone, and forgets. The feed
makes as many tickets at a time as its settings say by default (8), which share a transaction when they wait at the
same time, and in another column one at a time. What the queue before a feed costs is not in it. All three databases are
real, in a temporary folder, with their defaults of durability; rounds alternate, medians are shown.

    python -m benchmarks.feeds_sql [--rounds 5] [--tickets 300] [--save]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import psycopg
from endtoend.machine import fsync_probe, spin

from gateway.feeds.contract import Open, Outcome, Person, Said, Ticket
from gateway.feeds.kind import Wiring
from gateway.feeds.registry import FEEDS
from gateway.feeds.sql_table_settings import SqlSettings
from tests import postgres

RESULTS = Path(__file__).parent / "results"
TEXT = "Сервер не отвечает с самого утра, страница не открывается, пишет ошибку 502. " * 8
MAPPING: dict[str, Any] = {
    "kind": "sql",
    "tickets": {
        "table": "ticket", "id": "id",
        "columns": {
            "ext_key": "key", "subject": "subject", "caller": "requester", "state": "status", "severity": "class",
            "queue": "line", "company": "contract", "opened": "opened_at", "changed": {"field": "now", "way": "out"},
        },
        "constants": {"source": "api"}, "changed": "changed",
    },
    "messages": {
        "table": "message", "id": "id", "ticket": {"ticket_id": "id"},
        "columns": {"ext_key": "key", "body": "text", "who": "author_name", "visible": "public", "written": "at"},
    },
}  # fmt: skip
TABLES = (
    "CREATE TABLE ticket (id {serial}, ext_key VARCHAR(40) UNIQUE, subject VARCHAR(200), caller VARCHAR(200),"
    " state VARCHAR(20), severity INTEGER, queue VARCHAR(20), company VARCHAR(40), opened {time}, changed {time},"
    " source VARCHAR(20))",
    "CREATE TABLE message (id {serial}, ext_key VARCHAR(60) UNIQUE, ticket_id {id} NOT NULL REFERENCES ticket (id),"
    " body TEXT, who VARCHAR(100), visible INTEGER, written {time})",
)
TICKET = (
    "INSERT INTO ticket (ext_key, subject, caller, state, severity, queue, company, opened, changed, source)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
MESSAGE = "INSERT INTO message (ext_key, ticket_id, body, who, visible, written) VALUES (%s, %s, %s, %s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Round:
    """Tickets a second."""

    database: str
    bare: float
    feed: float
    alone: float
    spin: float
    fsync: float


@dataclass(frozen=True, slots=True)
class Store:
    """A database with the two tables."""

    name: str
    url: str
    bare: Callable[[Sequence[int]], None]


def writes(numbers: Sequence[int]) -> list[Open]:
    """As many tickets."""
    now, person = datetime.now(UTC), Person(address="olena@client.example", name="Олена")
    made = []
    for number in numbers:
        key = f"0badcafe-{number}"
        ticket = Ticket(
            key=key, number=str(number), subject=f"Сервер {number}", requester=person, copies=(), status="new",
            class_=2, line="L1", onsite=False, contract="acme", assignee="", language="ru", tags=(), result="",
            opened_at=now, updated_at=now, reaction_due=None, resolution_due=None, url="",
        )  # fmt: skip
        said = Said(key=f"{key}-1", author=person, text=TEXT, at=now, public=True, inward=True)
        made.append(Open(key=key, ticket=ticket, first=said))
    return made


async def _pushed(url: str, opens: Sequence[Open], at_once: int) -> float:
    """Tickets a second, of all but the first. Raises RuntimeError when one is not taken."""
    given = SqlSettings.model_validate({**MAPPING, "url": url, "concurrency": at_once})
    wiring = Wiring(clock=lambda: datetime.now(UTC), random=Random(1), public_url="")
    feed = FEEDS["sql"].build("bench", given, wiring)
    await feed.open()
    waiting = iter(opens[1:])

    async def some() -> None:
        for each in waiting:
            done = await feed.push(each)
            if done.outcome is not Outcome.DONE:
                raise RuntimeError(done.detail)

    try:
        await feed.push(opens[0])  # not counted: connections, the tables' columns
        began = time.perf_counter()
        await asyncio.gather(*(some() for _ in range(at_once)))
        return (len(opens) - 1) / (time.perf_counter() - began)
    finally:
        await feed.close()


def _inserted(cursor: Any, numbers: Sequence[int], mark: str, *, returns: bool) -> None:
    """The bare loop, on a connection that commits by hand."""
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    at = str(now) if mark == "?" else now
    ticket = TICKET.replace("%s", mark) + (" RETURNING id" if returns else "")
    message = MESSAGE.replace("%s", mark)
    for number in numbers:
        cursor.execute(
            ticket,
            (f"bare-{number}", f"Сервер {number}", "olena@client.example", "new", 2, "L1", "acme", at, at, "api"),
        )
        made = cursor.fetchone()[0] if returns else cursor.lastrowid
        cursor.execute(message, (f"bare-{number}-1", made, TEXT, "Олена", 1, at))
        cursor.connection.commit()


@contextmanager
def sqlite_store(folder: Path) -> Iterator[Store]:
    """A file."""
    path = folder / "desk.db"
    with closing(sqlite3.connect(path)) as conn:
        for each in TABLES:
            conn.execute(each.format(serial="INTEGER PRIMARY KEY", id="INTEGER", time="DATETIME"))

    def bare(numbers: Sequence[int]) -> None:
        with closing(sqlite3.connect(path)) as conn:
            _inserted(conn.cursor(), numbers, "?", returns=False)

    yield Store("sqlite", f"sqlite:///{path}", bare)


@contextmanager
def postgres_store(_folder: Path) -> Iterator[Store]:
    """A server."""
    with postgres.running() as server:
        for each in TABLES:
            server.run(each.format(serial="BIGSERIAL PRIMARY KEY", id="BIGINT", time="TIMESTAMP"))

        def bare(numbers: Sequence[int]) -> None:
            with psycopg.connect(host="127.0.0.1", port=server.port, user="postgres", dbname="postgres") as conn:
                _inserted(conn.cursor(), numbers, "%s", returns=True)

        yield Store("postgresql", server.url(), bare)


@contextmanager
def mariadb_store(_folder: Path) -> Iterator[Store]:
    """A server."""
    import pymysql

    from tests.feeds import servers_mariadb

    with servers_mariadb.running() as server:
        name = server.fresh()
        made = [
            each.format(serial="BIGINT AUTO_INCREMENT PRIMARY KEY", id="BIGINT", time="DATETIME") for each in TABLES
        ]
        server.run(made, name)

        def bare(numbers: Sequence[int]) -> None:
            with closing(
                pymysql.connect(host="127.0.0.1", port=server.port, user="root", database=name, charset="utf8mb4")
            ) as conn:
                _inserted(conn.cursor(), numbers, "%s", returns=False)

        yield Store("mariadb", server.url(name), bare)


def round_of(store: Store, count: int, first: int, folder: Path) -> Round:
    """The same number of tickets by each way."""
    speed, disk = spin(), fsync_probe(folder)
    began = time.perf_counter()
    store.bare(range(first, first + count))
    bare = count / (time.perf_counter() - began)
    default = SqlSettings.model_fields["concurrency"].default
    feed = asyncio.run(_pushed(store.url, writes(range(first, first + count + 1)), default))
    alone = asyncio.run(_pushed(store.url, writes(range(first + count + 1, first + 2 * (count + 1))), 1))
    return Round(database=store.name, bare=bare, feed=feed, alone=alone, spin=speed, fsync=disk)


def shown(rounds: Sequence[Round]) -> str:
    """A line: medians, and the ratios of paired rounds."""
    mid = {name: statistics.median(getattr(each, name) for each in rounds) for name in Round.__slots__[1:]}
    ratios, alone = [each.feed / each.bare for each in rounds], [each.alone / each.bare for each in rounds]
    return (
        f"{rounds[0].database}: bare loop {mid['bare']:.0f}/s, feed {mid['feed']:.0f}/s"
        f" x {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}),"
        f" one at a time {mid['alone']:.0f}/s x {statistics.median(alone):.2f} ({min(alone):.2f}-{max(alone):.2f});"
        f" spin {mid['spin']:.1f} ms, fsync {mid['fsync']:.2f} ms"
    )


def main() -> None:
    """Print a line for each database; with --save also write benchmarks/results/feeds-sql-<time>.json."""
    parser = argparse.ArgumentParser(description="the feed to a desk's tables against bare INSERTs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tickets", type=int, default=300, help="of a round")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/feeds-sql-*.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        stores = [stack.enter_context(make(folder)) for make in (sqlite_store, postgres_store, mariadb_store)]
        for store in stores:
            round_of(store, 30, 1_000, folder)  # not counted: imports, caches, the first pages of the store
        rounds: dict[str, list[Round]] = {store.name: [] for store in stores}
        for turn in range(given.rounds):
            for store in stores:
                rounds[store.name].append(round_of(store, given.tickets, 10_000 * (turn + 1), folder))
        for each in rounds.values():
            print(shown(each), flush=True)
    if given.save:
        RESULTS.mkdir(exist_ok=True)
        now = datetime.now(UTC)
        path = RESULTS / f"feeds-sql-{now:%Y%m%d-%H%M%S}.json"
        said = {"at": now.isoformat(), "rounds": [asdict(each) for found in rounds.values() for each in found]}
        path.write_text(json.dumps(said, indent=1) + "\n")
        print(f"written to {path}")


if __name__ == "__main__":
    main()
