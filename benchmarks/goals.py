"""The goals of speed, each beside what this machine shows now: 20 kept sessions, mails of 4 KB.

Run it while nothing else runs: a busy machine takes more from three processes that share two cores than from one.
The figures are those of `end_to_end.py` and `growth.py`; how to read them stands in README.md.

    python benchmarks/goals.py [--rounds 7] [--tickets 1000000] [--save]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

# The same modules, whether this runs as a script or by `python -m benchmarks.goals`.
sys.path.insert(0, str(Path(__file__).parent))

from end_to_end import HEADER, RESULTS, Bench, Load, Round, row
from endtoend.machine import used
from endtoend.servers import HOLD_BACK, Gateway, Sink
from growth import measure

BURST = Load("plain", 20, True)
LONG = 8.0
"""How many times longer the second load lasts: filing has to take its turns then."""


def rounds_of(place: Path, rounds: int) -> tuple[dict[str, list[Round]], float]:
    """Rounds of a burst and of a long load by turns, and the resident bytes of the idle server."""
    place.mkdir()
    sink = Sink(place)
    try:
        gateway = Gateway(place, HOLD_BACK)
        try:
            time.sleep(2.0)
            idle = used(gateway.pid).resident
            burst, long = Bench(sink, gateway, 1.0), Bench(sink, gateway, LONG, apart=1)
            burst.warm()
            found: dict[str, list[Round]] = {"burst": [], "long": []}
            for _ in range(rounds):
                found["burst"].append(burst.round(BURST, place))
                found["long"].append(long.round(BURST, place))
            return found, idle
        finally:
            gateway.stop()
    finally:
        sink.stop()


def goals(found: Mapping[str, Sequence[Round]], idle: float, growth: float | None) -> list[tuple[str, str, str]]:
    """(what, goal, what was found)."""

    def median(kind: str, name: str) -> float:
        return statistics.median(getattr(each, name) for each in found[kind])

    def ratio(kind: str, name: str) -> str:
        return f"x {statistics.median(getattr(each, name) / each.sink_rate for each in found[kind]):.2f}"

    return [
        ("durable accept", ">= x 1.5 of the sink", ratio("burst", "accepted")),
        ("durable accept, long load", "", ratio("long", "accepted")),
        ("mail to ticket", ">= x 0.8 of the sink", ratio("burst", "ticket")),
        ("mail to ticket, long load", "", ratio("long", "ticket")),
        ("p99 of the 250", "<= 50 ms", f"{median('burst', 'p99'):.0f} ms"),
        ("CPU of the main process", "<= 0.5 ms", f"{median('burst', 'main_cpu') / 1000:.2f} ms"),
        ("CPU of the worker", "<= 0.6 ms", f"{median('burst', 'worker_cpu') / 1000:.2f} ms"),
        ("CPU of the sink", "", f"{median('burst', 'sink_cpu') / 1000:.2f} ms"),
        ("resident memory, idle", "<= 150 MB", f"{idle / 2**20:.0f} MB"),
        ("growth of CPU a mail", "<= x 1.25", "not measured" if growth is None else f"x {growth:.2f}"),
        ("spin, fsync", "", f"{median('burst', 'spin'):.1f} ms, {median('burst', 'fsync'):.2f} ms"),
    ]


def main() -> None:
    """Print the goals; with --save also write benchmarks/results/goals-<time>.json."""
    parser = argparse.ArgumentParser(description="the goals of speed and where they stand")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tickets", type=int, default=1_000_000, help="of the bigger store; 0: growth is left out")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/goals-*.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found, idle = rounds_of(Path(name) / "desk", given.rounds)
        print(HEADER)
        for kind, rounds in found.items():
            print(f"{row(BURST, rounds)}  {kind}")
        sizes = (10_000, given.tickets)
        grown = measure(sizes, 15, 160, Path(name)) if given.tickets else []
    table = goals(found, idle, grown[-1]["ratio"] if grown else None)
    print("\n".join(f"{what:<28}{goal:<24}{shown}" for what, goal, shown in table))
    if given.save:
        RESULTS.mkdir(exist_ok=True)
        now = datetime.now(UTC)
        path = RESULTS / f"goals-{now:%Y%m%d-%H%M%S}.json"
        kept = {kind: [asdict(each) for each in rounds] for kind, rounds in found.items()}
        record = {"at": now.isoformat(), "goals": table, "growth": grown, "idle": idle, "rounds": kept}
        path.write_text(json.dumps(record, indent=1) + "\n")
        print(f"written to {path}")


if __name__ == "__main__":
    main()
