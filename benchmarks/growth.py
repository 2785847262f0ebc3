"""Does a mail cost more when the store holds many old tickets? CPU of one mail's journal rows, filing and COMMIT.

A store of each size is filled in bulk. Then rounds alternate between the stores, in one process with nothing else in
it, and what is shown is the CPU of the thread that writes, user and kernel: a machine that others use, too, or that
changes its speed, changes it for all sizes alike. Ratios are medians over rounds of the bigger store's / the
smallest's next to it. "list" is the first page of tickets of the API, milliseconds on the wall.

    python benchmarks/growth.py [--sizes 10000 100000] [--rounds 9] [--mails 200] [--folder DIR] [--save]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# The same modules, whether this runs as a script or by `python -m benchmarks.growth`.
sys.path.insert(0, str(Path(__file__).parent))

from endtoend.fill import fill
from endtoend.letters import letters, templates
from endtoend.machine import spin
from sqlalchemy import Connection
from steps import CAPS, CHUNK, CONFIG, raw_message

from gateway.context import Context
from gateway.filing import file_entry
from gateway.keyring import Keyring
from gateway.settings_files import load
from gateway.store import journal, queries
from gateway.store.blobs import Blobs
from gateway.store.sqlite import driver_connection, make_engine
from gateway.worker import read_entry

RESULTS = Path(__file__).parent / "results"


@dataclass(slots=True)
class Store:
    """A store of one size, and what its mails cost."""

    size: int
    conn: Connection
    blobs: Blobs
    costs: list[float] = field(default_factory=list)
    """Microseconds of CPU of a mail, one figure a round."""
    lists: list[float] = field(default_factory=list)

    def round(self, ctx: Context, mails: Sequence[bytes]) -> None:
        """Take the mails in and file them, in transactions as the writer makes them."""
        now = datetime.now(UTC)
        raws = [raw_message(mail) for mail in mails]
        parsed = [read_entry(raw, ctx.policy, self.blobs) for raw in raws]
        cost = 0.0
        for start in range(0, len(raws), CHUNK):
            chunk = raws[start : start + CHUNK]
            began = time.thread_time()
            accepted = [journal.record(self.conn, [raw], None, now=now, blobs=self.blobs)[0] for raw in chunk]
            self.conn.commit()
            cost += time.thread_time() - began
            entries = journal.load(self.conn, [one.entry for one in accepted], self.blobs)
            self.conn.commit()
            began = time.thread_time()
            for entry, result in zip(entries, parsed[start : start + CHUNK], strict=True):
                file_entry(self.conn, ctx, entry, result, now)
            self.conn.commit()
            cost += time.thread_time() - began
        self.costs.append(cost / len(raws) * 1e6)
        began = time.perf_counter()
        queries.tickets(self.conn, queries.Filters(), contracts=None, before=None, limit=50)
        self.lists.append((time.perf_counter() - began) * 1e3)
        self.conn.commit()
        driver_connection(self.conn).execute("PRAGMA wal_checkpoint(TRUNCATE)")


def measure(sizes: Sequence[int], rounds: int, mails: int, folder: Path | None) -> list[dict[str, Any]]:
    """Fill, measure and print; for each size the CPU of a mail, each round's, and its ratio to the smallest store."""
    configuration = load(CONFIG, overrides=CAPS)
    ctx = Context(
        settings=configuration.settings, policy=configuration.policy, keyring=Keyring(bytes(range(32))),
        surveys=configuration.surveys, texts=configuration.texts,
    )  # fmt: skip
    made, stores = templates("plain"), []
    with tempfile.TemporaryDirectory(dir=folder) as name:
        for size in sizes:
            var = Path(name) / str(size)
            print(f"{size:>10,} old tickets made in {fill(var, size):.0f} s", flush=True)
            engine = make_engine(f"sqlite:///{var / 'gateway.db'}", "writer", busy_timeout=1.0)
            stores.append(Store(size, engine.connect(), Blobs(var / "blobs")))
        for turn in range(rounds + 1):
            for store in stores:
                store.round(ctx, [mail[:-3] for mail in letters(made, 1_000_000 + turn * mails, mails)])
            print(f"  round {turn}: " + ", ".join(f"{store.costs[-1]:.0f} us" for store in stores), flush=True)
        for store in stores:
            del store.costs[0], store.lists[0]  # imports, caches, the first pages
        found = []
        for store in stores:
            paired = [cost / first for cost, first in zip(store.costs, stores[0].costs, strict=True)]
            print(
                f"{store.size:>10,} tickets: CPU {statistics.median(store.costs):.0f} us a mail,"
                f" x {statistics.median(paired):.2f} ({min(paired):.2f}-{max(paired):.2f});"
                f" list {statistics.median(store.lists):.1f} ms; spin {spin():.1f} ms"
            )
            store.conn.close()
            found.append(
                {
                    "tickets": store.size,
                    "cpu": statistics.median(store.costs),
                    "ratio": statistics.median(paired),
                    "list_ms": statistics.median(store.lists),
                    "rounds": store.costs,
                }
            )
        return found


def main() -> None:
    """Print the table; with --save also write benchmarks/results/growth-<time>.json."""
    parser = argparse.ArgumentParser(description="what a mail costs on top of many old tickets")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--mails", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where the stores are made (default: a temporary folder)")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/growth-*.json")
    given = parser.parse_args()
    found = measure(given.sizes, given.rounds, given.mails, given.folder)
    if given.save:
        RESULTS.mkdir(exist_ok=True)
        now = datetime.now(UTC)
        path = RESULTS / f"growth-{now:%Y%m%d-%H%M%S}.json"
        path.write_text(json.dumps({"at": now.isoformat(), "rounds": given.rounds, "sizes": found}, indent=1) + "\n")
        print(f"written to {path}")


if __name__ == "__main__":
    main()
