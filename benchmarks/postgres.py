"""Durable accepts a second of the journal on PostgreSQL, beside bare psycopg in the same run.

    python -m benchmarks.postgres [--rounds 3] [--seconds 2] [--size 4096]

A server of its own in a temporary folder, fsync on. One round measures bare psycopg (one row of the same size and a
unique key per transaction, with 1 and 8 connections in threads), then the journal with 1, 10 and 50 senders that each
wait for their COMMIT. "spin" is the time of a fixed loop beside each figure. Medians over the rounds are shown.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from gateway.store import journal
from gateway.store.blobs import Blobs
from gateway.store.database import open_database
from normalizer.message import InlineBody, RawMessage
from tests.postgres import TEMPLATE, Server, with_template


def spin() -> float:
    """Milliseconds of a fixed piece of work."""
    began = time.perf_counter()
    sum(number * number for number in range(100_000))
    return (time.perf_counter() - began) * 1000


def bare(server: Server, database: str, connections: int, seconds: float, size: int) -> float:
    """Rows a second of psycopg alone, one a transaction."""
    server.run("CREATE TABLE IF NOT EXISTS bare (id bigserial PRIMARY KEY, key bytea UNIQUE, content bytea)", database)
    end = time.perf_counter() + seconds

    def one() -> int:
        done = 0
        with psycopg.connect(host="127.0.0.1", port=server.port, user="postgres", dbname=database) as conn:
            while time.perf_counter() < end:
                conn.execute("INSERT INTO bare (key, content) VALUES (%s, %s)", (os.urandom(32), os.urandom(size)))
                conn.commit()
                done += 1
        return done

    with ThreadPoolExecutor(connections) as pool:
        return sum(each.result() for each in [pool.submit(one) for _ in range(connections)]) / seconds


async def ours(url: str, folder: Path, senders: int, seconds: float, size: int) -> tuple[float, float, float]:
    """(accepts a second, accepts a commit, p99 in milliseconds) of the journal with so many senders at once."""
    db, blobs, now = open_database(url), Blobs(folder / "blobs"), datetime.now(UTC)
    template = RawMessage(
        channel="mail", account="support", format="mail/1", external_id="", fingerprint="0" * 64, received_at=now,
        peer="person@sender.example", body=InlineBody(content=b""), facts={"transport": "smtp", "tls": False},
        deliveries=(("support", "support@desk.example"),),
    )  # fmt: skip
    waits: list[float] = []
    end = time.perf_counter() + seconds

    async def sender() -> None:
        while (began := time.perf_counter()) < end:
            raw = replace(template, external_id=os.urandom(16).hex(), body=InlineBody(content=os.urandom(size)))
            await db.write(journal.recording([raw], None, now=now, blobs=blobs), urgent=True)
            waits.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(sender() for _ in range(senders)))
    took, stats = time.perf_counter() - began, db.stats
    await db.close()
    waits.sort()
    return len(waits) / took, stats.urgent_jobs / stats.urgent_commits, waits[len(waits) * 99 // 100] * 1000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=2.0)
    options.add_argument("--size", type=int, default=4096)
    given = options.parse_args()
    found: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    with with_template() as server, tempfile.TemporaryDirectory() as name:
        database = server.fresh(TEMPLATE)
        for _ in range(given.rounds):
            for connections in (1, 8):
                rate = bare(server, database, connections, given.seconds, given.size)
                found[f"psycopg, {connections} connections"].append((rate, 1.0, 0.0, spin()))
            for senders in (1, 10, 50):
                work = ours(server.url(database), Path(name), senders, given.seconds, given.size)
                found[f"journal, {senders} senders"].append((*asyncio.run(work), spin()))
    best = max(statistics.median(row[0] for row in rows) for key, rows in found.items() if key.startswith("psycopg"))
    for key, rows in found.items():
        rate, together, p99, turn = (statistics.median(column) for column in zip(*rows, strict=True))
        print(
            f"{key:24} {rate:8.0f}/s  {rate / best:5.2f} x psycopg  {together:5.1f} a commit"
            f"  p99 {p99:6.1f} ms  spin {turn:.1f} ms"
        )


if __name__ == "__main__":
    main()
