"""From the wire to the ticket: the real `gateway serve` against a bare stock aiosmtpd sink, in the same run.

The sink answers 250 and drops. Both are processes of their own with their defaults, on loopback, with the senders on
the same machine; rounds alternate, so that a machine that changes its speed changes it for both. Ratios are medians
over the rounds of ours / the sink's next to it; absolute figures are worth little without the "spin" (a fixed Python
loop) and the fsync time beside them.

    accepted   mails a second whose 250 was read: ours are on disk then
    ticket     mails a second from the first byte to the last acknowledgement queued in a committed transaction
    drain      seconds from the last 250 until everything is a ticket with its acknowledgement queued
    CPU        microseconds a mail, user and kernel: the sink; our main process; our worker processes

Acknowledgements are queued and held back (`outbox.acknowledgement_delay`), except in the rows named "sent", where
they go out to files meanwhile and the time runs until the last is out.

    python benchmarks/end_to_end.py [--rounds 3] [--sessions 1 20 50] [--fill 1000000] [--profile FILE] [--save]
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

# The same modules, whether this runs as a script or by `python -m benchmarks.end_to_end`.
sys.path.insert(0, str(Path(__file__).parent))

from endtoend.fill import fill
from endtoend.letters import letters, templates
from endtoend.load import Sent, send
from endtoend.machine import Used, fsync_probe, spin, used
from endtoend.servers import HOLD_BACK, Gateway, Sink

RESULTS = Path(__file__).parent / "results"
SECONDS = 0.35
"""About how long the sink takes for one round of one load."""
RATES = {"plain": 1400, "mixed": 700}
"""Mails a second that the sink is taken to manage when the number of mails is chosen."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent in one row of the table."""

    kind: str
    sessions: int
    keep: bool
    held: bool = True

    @property
    def name(self) -> str:
        """As the table shows it."""
        row = f"{self.kind}, {self.sessions} {'kept' if self.keep else 'new'}"
        return row if self.held else f"{row}, sent"

    def count(self, scale: float) -> int:
        """How many mails."""
        slower = (1.0 if self.keep else 0.5) * (0.5 if self.sessions == 1 else 1.0)
        return max(self.sessions, int(RATES[self.kind] * slower * SECONDS * scale))


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one load: the sink, then the gateway."""

    sink_rate: float
    accepted: float
    ticket: float
    sink_p50: float
    sink_p99: float
    p50: float
    p99: float
    drain: float
    sink_cpu: float
    main_cpu: float
    worker_cpu: float
    spin: float
    fsync: float


class Bench:
    """The pair of servers of one run, and the mail."""

    def __init__(self, sink: Sink, gateway: Gateway, scale: float, *, apart: int = 0) -> None:
        """`apart` keeps the mails of several benches on one store from being the same."""
        self._sink, self._gateway, self._scale = sink, gateway, scale
        self._templates = {kind: templates(kind) for kind in RATES}
        # Two runs on one store must not send the same mails, or they would be repeats.
        self._next = time.time_ns() // 1_000_000 % 10**12 * 10 + apart * 10**13

    def _mails(self, load: Load) -> list[bytes]:
        count = load.count(self._scale)
        self._next += count
        return letters(self._templates[load.kind], self._next - count, count)

    def warm(self) -> None:
        """One round that is not counted: imports, caches, the first pages of the store."""
        self.round(Load("mixed", 5, True), Path(tempfile.gettempdir()))

    def round(self, load: Load, folder: Path) -> Round:
        """Send the same number of mails to both and see what it takes. Raises RuntimeError when a ticket is missing."""
        mails = self._mails(load)
        speed, disk = spin(), fsync_probe(folder)
        sink_before = used(self._sink.pid)
        sink = send(self._sink.port, mails, load.sessions, load.keep)
        sink_used = used(self._sink.pid).main - sink_before.main
        _, last = self._gateway.newest()
        before, began = used(self._gateway.pid), time.perf_counter()
        ours = send(self._gateway.port, mails, load.sessions, load.keep)
        self._gateway.wait_filed()
        if not load.held:
            self._gateway.wait_sent()
        took = time.perf_counter() - began
        after = used(self._gateway.pid)
        if (found := self._gateway.acknowledged(last)) != len(mails):
            raise RuntimeError(f"{len(mails)} mails became {found} acknowledgements")
        return _round(mails, sink, sink_used, ours, took, before, after, speed=speed, disk=disk)


def _round(
    mails: list[bytes],
    sink: Sent,
    sink_used: float,
    ours: Sent,
    took: float,
    before: Used,
    after: Used,
    *,
    speed: float,
    disk: float,
) -> Round:
    count = len(mails)
    return Round(
        sink_rate=count / sink.seconds,
        accepted=count / ours.seconds,
        ticket=count / took,
        sink_p50=sink.wait(0.5),
        sink_p99=sink.wait(0.99),
        p50=ours.wait(0.5),
        p99=ours.wait(0.99),
        drain=took - ours.seconds,
        sink_cpu=sink_used / count * 1e6,
        main_cpu=(after.main - before.main) / count * 1e6,
        worker_cpu=(after.children - before.children) / count * 1e6,
        spin=speed,
        fsync=disk,
    )


# -- the table ----------------------------------------------------------------------------

HEADER = (
    f"{'load':<24}{'sink/s':>8}{'accepted':>16}{'ticket':>16}{'drain s':>9}"
    f"{'250 p50/p99 ms':>16}{'(sink)':>12}{'CPU us sink':>13}{'main':>7}{'worker':>8}{'spin':>7}{'fsync':>7}"
)


def row(load: Load, rounds: list[Round]) -> str:
    """One line of the table: medians over the rounds, and the ratios of paired rounds."""
    mid = {name: statistics.median(getattr(each, name) for each in rounds) for name in Round.__slots__}
    accepted = statistics.median(each.accepted / each.sink_rate for each in rounds)
    ticket = statistics.median(each.ticket / each.sink_rate for each in rounds)
    return (
        f"{load.name:<24}{mid['sink_rate']:>8.0f}{mid['accepted']:>8.0f} x {accepted:<5.2f}"
        f"{mid['ticket']:>8.0f} x {ticket:<5.2f}{mid['drain']:>9.2f}"
        f"{mid['p50']:>9.1f}/{mid['p99']:<6.1f}{mid['sink_p50']:>6.1f}/{mid['sink_p99']:<5.1f}"
        f"{mid['sink_cpu']:>13.0f}{mid['main_cpu']:>7.0f}{mid['worker_cpu']:>8.0f}{mid['spin']:>7.1f}{mid['fsync']:>7.2f}"
    )


def loads(sessions: list[int], kinds: list[str], connections: list[str]) -> Iterator[Load]:
    """Every combination."""
    for kind, connection, many in product(kinds, connections, sessions):
        yield Load(kind, many, connection == "kept")


def measure(bench: Bench, wanted: list[Load], rounds: int, folder: Path) -> dict[str, list[Round]]:
    """All rounds, the loads in turn; each row is printed when it is complete."""
    found: dict[str, list[Round]] = {load.name: [] for load in wanted}
    for turn in range(rounds):
        for load in wanted:
            found[load.name].append(bench.round(load, folder))
            if turn == rounds - 1:
                print(row(load, found[load.name]), flush=True)
    return found


def run(given: argparse.Namespace, folder: Path, *, filled: int, held: bool) -> dict[str, object]:
    """One pair of servers on a store with `filled` old tickets."""
    name = f"store{filled}{'' if held else '-sent'}"
    place = folder / name
    place.mkdir()
    if filled:
        print(f"-- {filled:,} old tickets: made in {fill(place / 'var', filled):.0f} s", flush=True)
    sink = Sink(place)
    try:
        gateway = Gateway(place, HOLD_BACK if held else (), profile=given.profile)
        try:
            time.sleep(1.0)
            idle = used(gateway.pid)
            bench = Bench(sink, gateway, given.scale)
            bench.warm()
            if held:
                wanted = list(loads(given.sessions, given.kinds, given.connections))
            else:
                wanted = [Load("plain", 20, True, held=False)]
            found = measure(bench, wanted, given.rounds, place)
            loaded = used(gateway.pid)
        finally:
            gateway.stop()
    finally:
        sink.stop()
    size = sum(path.stat().st_size for path in (place / "var").glob("gateway.db*"))
    memory = {
        "idle": idle.resident, "idle_main": idle.main_resident, "loaded": loaded.resident,
        "loaded_main": loaded.main_resident,
    }  # fmt: skip
    print(
        f"   start {gateway.start_seconds:.2f} s; resident MB idle {idle.resident >> 20}"
        f" (main {idle.main_resident >> 20}), "
        f"after the load {loaded.resident >> 20} (main {loaded.main_resident >> 20}); store {size >> 20} MB",
        flush=True,
    )
    return {
        "filled": filled, "held": held, "start_seconds": gateway.start_seconds, "memory": memory, "store_bytes": size,
        "rounds": {name: [asdict(each) for each in rounds] for name, rounds in found.items()},
    }  # fmt: skip


def main() -> None:
    """Print the table; with --save also write benchmarks/results/<time>.json."""
    parser = argparse.ArgumentParser(description="the gateway against a bare SMTP sink")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer mails a round")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 20, 50])
    parser.add_argument("--kinds", nargs="+", default=["plain", "mixed"], choices=["plain", "mixed"])
    parser.add_argument("--connections", nargs="+", default=["kept", "new"], choices=["kept", "new"])
    parser.add_argument("--fill", type=int, nargs="+", default=[0], help="old tickets, a pair of servers for each")
    parser.add_argument("--no-sent", action="store_true", help="leave out the row in which notices go out")
    parser.add_argument("--profile", type=Path, help="write the server's cProfile here; it is slower then")
    parser.add_argument("--folder", type=Path, help="where the stores are made (default: a temporary folder)")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/*.json")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped, too
    print(HEADER)
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        done = [run(given, Path(name), filled=filled, held=True) for filled in given.fill]
        if not given.no_sent:
            done.append(run(given, Path(name), filled=given.fill[0], held=False))
    if given.save:
        RESULTS.mkdir(exist_ok=True)
        now = datetime.now(UTC)
        path = RESULTS / f"{now:%Y%m%d-%H%M%S}.json"
        path.write_text(json.dumps({"at": now.isoformat(), "runs": done}, indent=1) + "\n")
        print(f"written to {path}")


if __name__ == "__main__":
    main()
