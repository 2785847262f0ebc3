"""Durable accepts a second of the journal, beside bare sqlite3 in the same run.

    python -m benchmarks.journal [--rounds 5] [--seconds 2] [--size 4096] [--fill 0]

One round measures bare sqlite3 (one row of the same size and a unique key per transaction, and ten), then the
journal with 1, 10 and 50 senders that each wait for their COMMIT. "spin" is the time of a fixed loop: the speed of
the core beside each figure. Medians over the rounds are shown at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from gateway.store import journal
from gateway.store.blobs import Blobs
from gateway.store.database import migrate, open_database
from normalizer.message import InlineBody, RawMessage

Figures = dict[str, float]


def spin() -> float:
    """Milliseconds of a fixed piece of work."""
    began = time.perf_counter()
    sum(number * number for number in range(100_000))
    return (time.perf_counter() - began) * 1000


def bare(folder: Path, rows: int, seconds: float, size: int) -> Figures:
    """sqlite3 alone, `rows` a transaction."""
    conn = sqlite3.connect(folder / "bare.db", isolation_level=None)
    conn.execute("PRAGMA journal_mode=WAL")
    conn.execute("PRAGMA synchronous=FULL")
    conn.execute("CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, key BLOB UNIQUE, content BLOB)")
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        conn.execute("BEGIN IMMEDIATE")
        for _ in range(rows):
            conn.execute("INSERT INTO entry (key, content) VALUES (?, ?)", (os.urandom(32), os.urandom(size)))
        conn.execute("COMMIT")
        done += rows
    took = time.perf_counter() - began
    conn.close()
    return {"rate": done / took, "per commit": rows}


def fill(path: Path, rows: int) -> None:
    """Entries of the past, all filed."""
    conn = sqlite3.connect(path)
    conn.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO entry (channel, "
        "account, format, external_id, fingerprint, dedupe, peer, received_at, accepted_at, size, sha256, facts, state)"
        " SELECT 'mail', 'support', 'mail/1', hex(randomblob(16)), '', randomblob(32), 'person' || i, i, i, 0, '', "
        "'{}', 'done' FROM n",
        (rows,),
    )
    conn.commit()
    conn.close()


async def ours(folder: Path, senders: int, seconds: float, size: int, rows: int = 0) -> Figures:
    """The journal with so many senders at once, on top of so many rows."""
    url = f"sqlite:///{folder / f'gateway{rows}.db'}"
    if migrate(url, backup_to=folder) == "" and rows:
        fill(folder / f"gateway{rows}.db", rows)
    db, blobs = open_database(url), Blobs(folder / "blobs")
    now = datetime.now(UTC)
    template = RawMessage(
        channel="mail", account="support", format="mail/1", external_id="", fingerprint="0" * 64, received_at=now,
        peer="person@sender.example", body=InlineBody(content=b""), facts={"transport": "smtp", "tls": False},
        deliveries=(("support", "support@desk.example"),),
    )  # fmt: skip
    waits: list[float] = []
    end = time.perf_counter() + seconds

    async def sender() -> None:
        while (began := time.perf_counter()) < end:
            body = InlineBody(content=os.urandom(size))
            raw = replace(template, external_id=os.urandom(16).hex(), body=body)
            await db.write(partial(journal.record, raws=[raw], cursor=None, now=now, blobs=blobs), urgent=True)
            waits.append(time.perf_counter() - began)

    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(sender() for _ in range(senders)))
    cpu, took = time.process_time() - cpu, time.perf_counter() - began
    stats = db.stats
    await db.close()
    waits.sort()
    return {
        "rate": len(waits) / took,
        "per commit": stats.urgent_jobs / stats.urgent_commits,
        "CPU us": cpu / len(waits) * 1e6,
        "p50 ms": waits[len(waits) // 2] * 1000,
        "p99 ms": waits[len(waits) * 99 // 100] * 1000,
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=2.0)
    options.add_argument("--size", type=int, default=4096)
    options.add_argument("--fill", type=int, default=0, help="also measure on top of so many entries")
    given = options.parse_args()
    found: dict[str, list[Figures]] = defaultdict(list)
    for turn in range(given.rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for rows in (1, 10):
                found[f"bare sqlite3, {rows} a commit"].append(bare(folder, rows, given.seconds, given.size))
            for senders in (1, 10, 50):
                found[f"journal, {senders} senders"].append(
                    asyncio.run(ours(folder, senders, given.seconds, given.size))
                )
            if given.fill:
                filled = asyncio.run(ours(folder, 50, given.seconds, given.size, given.fill))
                found[f"50 senders, {given.fill:,} entries"].append(filled)
        print(f"round {turn + 1}: spin {spin():.1f} ms", flush=True)
    base = statistics.median(figures["rate"] for figures in found["bare sqlite3, 1 a commit"])
    for what, rounds in found.items():
        medians = {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}
        shown = "  ".join(f"{name} {value:,.1f}" for name, value in medians.items())
        print(f"{what:28} x {medians['rate'] / base:5.2f}  {shown}")


if __name__ == "__main__":
    main()
