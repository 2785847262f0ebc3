"""A bot's webhook of the real `gateway serve` against a bare aiohttp handler, and how long an update takes to a ticket.

The bare handler compares the secret, answers 200 and forgets; ours has committed the update when it answers. Both are
processes of their own with uvloop, on loopback, with the sender on the same machine; rounds alternate. The requests are
plain and arrive whole, as a bot's do, so ours pass by the web framework (`gateway/web/short_way.py`).

    accepted   updates a second whose 200 was read, over so many connections that are kept
    200        milliseconds to it
    ticket     milliseconds from the first byte of an update to the commit of its ticket, at a fixed rate
    CPU        microseconds an update, user and kernel: the bare handler; our main process until the last 200, and until
               the last ticket; our worker processes

    python -m benchmarks.telegram_intake [--rounds 5] [--updates 1500] [--connections 128] [--rate 50] [--save]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parent))

from endtoend.hooks import deliver, requests_of, steadily, updates
from endtoend.machine import fsync_probe, spin, used
from endtoend.servers import HOLD_BACK, Gateway, Server

RESULTS = Path(__file__).parent / "results"
SECRET = "a-secret-of-the-benchmark"
TOKEN = "100200300:benchmark-token-of-no-worth"
LOOK = 0.004
"""Seconds between two looks at the tickets; the error of the times to a ticket."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round: the bare handler, then the gateway."""

    bare_rate: float
    accepted: float
    bare_p50: float
    bare_p99: float
    p50: float
    p99: float
    drain: float
    bare_cpu: float
    accept_cpu: float
    main_cpu: float
    worker_cpu: float
    spin: float
    fsync: float


@dataclass(frozen=True, slots=True)
class Steady:
    """Updates at a fixed rate."""

    rate: float
    count: int
    p50: float
    p99: float
    worst: float
    main_cpu: float
    worker_cpu: float


class Bare(Server):
    """The counterpart."""

    def __init__(self, folder: Path) -> None:
        super().__init__([str(Path(__file__).parent / "endtoend" / "bare_hook.py"), SECRET], folder / "bare.log")
        self.port = int(self.line())


def gateway(folder: Path, profile: Path | None) -> Gateway:
    """`gateway serve` with a bot whose updates come by webhook. Nothing is sent: its Bot API answers nobody."""
    (folder / "token").write_text(TOKEN)
    (folder / "secret").write_text(SECRET)
    account = {
        "token": f"file:{folder / 'token'}", "secret": f"file:{folder / 'secret'}", "mode": "webhook",
        "api_url": "http://127.0.0.1:9", "language": "ru",
    }  # fmt: skip
    return Gateway(folder, (*HOLD_BACK, f"channels.telegram.bench={json.dumps(account)}"), profile)


class Bench:
    """The pair of servers."""

    def __init__(self, bare: Bare, ours: Gateway, connections: int) -> None:
        self._bare, self._ours, self._connections = bare, ours, connections
        self._port = int(json.loads((ours.var / "listening.json").read_text())["http"].rpartition(":")[2])
        self._next = 1

    def _updates(self, count: int) -> list[bytes]:
        self._next += count
        return updates(self._next - count, count)

    def round(self, count: int, folder: Path) -> Round:
        """The same updates to both. Raises RuntimeError when one of them is not answered as a ticket should be."""
        posted = self._updates(count)
        speed, disk = spin(), fsync_probe(folder)
        bare_before = used(self._bare.pid).main
        bare = deliver(self._bare.port, posted, self._connections, SECRET)
        bare_cpu = used(self._bare.pid).main - bare_before
        _, last = self._ours.newest()
        before, began = used(self._ours.pid), time.perf_counter()
        ours = deliver(self._port, posted, self._connections, SECRET)
        accepted = used(self._ours.pid)
        self._ours.wait_filed()
        took = time.perf_counter() - began
        after = used(self._ours.pid)
        if (found := self._ours.acknowledged(last)) != count:
            raise RuntimeError(f"{count} updates became {found} acknowledgements")
        return Round(
            bare_rate=count / bare.seconds, accepted=count / ours.seconds, bare_p50=bare.wait(0.5),
            bare_p99=bare.wait(0.99), p50=ours.wait(0.5), p99=ours.wait(0.99), drain=took - ours.seconds,
            bare_cpu=bare_cpu / count * 1e6, accept_cpu=(accepted.main - before.main) / count * 1e6,
            main_cpu=(after.main - before.main) / count * 1e6,
            worker_cpu=(after.children - before.children) / count * 1e6, spin=speed, fsync=disk,
        )  # fmt: skip

    def steady(self, rate: float, seconds: float) -> Steady:
        """Updates at a fixed rate, and when each was a ticket."""
        posted = self._updates(int(rate * seconds))
        first = self._next - len(posted)
        before = used(self._ours.pid)
        begins, ends = uvloop.run(self._watched(posted, rate))
        after = used(self._ours.pid)
        waits = sorted((ends[first + at] - begun) * 1000 for at, begun in enumerate(begins))
        return Steady(
            rate=rate, count=len(waits), p50=waits[len(waits) // 2], p99=waits[int(len(waits) * 0.99)],
            worst=waits[-1], main_cpu=(after.main - before.main) / len(waits) * 1e6,
            worker_cpu=(after.children - before.children) / len(waits) * 1e6,
        )  # fmt: skip

    async def _watched(self, posted: list[bytes], rate: float) -> tuple[list[float], dict[int, float]]:
        db = sqlite3.connect(f"file:{self._ours.var / 'gateway.db'}?mode=ro", uri=True, isolation_level=None)
        try:
            (newest,) = db.execute("SELECT coalesce(max(id), 0) FROM ticket").fetchone()
            sending = asyncio.create_task(steadily(self._port, requests_of(posted, SECRET), rate))
            ends: dict[int, float] = {}
            gives_up = time.perf_counter() + len(posted) / rate + 60
            while len(ends) < len(posted):
                await asyncio.sleep(LOOK)
                asked = "SELECT t.id, e.external_id FROM ticket t JOIN entry e ON e.id = t.entry_id WHERE t.id > ?"
                now = time.perf_counter()
                for ticket, external_id in db.execute(asked, (newest,)).fetchall():
                    newest = max(newest, ticket)
                    ends[int(external_id.rpartition(":")[2])] = now
                if now > gives_up or (sending.done() and sending.exception() is not None):
                    sending.cancel()
                    raise RuntimeError(f"{len(posted)} updates became {len(ends)} tickets") from sending.exception()
            begins, _ = await sending
            return begins, ends
        finally:
            db.close()


def shown(rounds: list[Round], connections: int) -> str:
    """The lines of the table: medians over the rounds, and the ratio of paired rounds."""
    mid = {name: statistics.median(getattr(each, name) for each in rounds) for name in Round.__slots__}
    ratios = [each.accepted / each.bare_rate for each in rounds]
    return (
        f"{connections} connections: bare {mid['bare_rate']:.0f}/s, accepted {mid['accepted']:.0f}/s"
        f" x {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f});"
        f" 200 p50/p99 {mid['p50']:.1f}/{mid['p99']:.1f} ms (bare {mid['bare_p50']:.1f}/{mid['bare_p99']:.1f});"
        f" drain {mid['drain']:.2f} s;"
        f" CPU us bare {mid['bare_cpu']:.0f}, main {mid['accept_cpu']:.0f} and {mid['main_cpu']:.0f},"
        f" worker {mid['worker_cpu']:.0f};"
        f" spin {mid['spin']:.1f} ms, fsync {mid['fsync']:.2f} ms"
    )


def main() -> None:
    """Print both lines; with --save also write benchmarks/results/telegram-<time>.json."""
    parser = argparse.ArgumentParser(description="a bot's webhook against a bare aiohttp handler")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=1500, help="of a round")
    parser.add_argument("--connections", type=int, default=128)
    parser.add_argument("--rate", type=float, default=50.0, help="updates a second in the second part")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the second part lasts")
    parser.add_argument("--profile", type=Path, help="write the server's cProfile here; it is slower then")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/telegram-*.json")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped, too
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = Bare(folder)
        try:
            ours = gateway(folder, given.profile)
            try:
                bench = Bench(bare, ours, given.connections)
                bench.round(200, folder)  # not counted: imports, caches, the first pages of the store
                rounds = [bench.round(given.updates, folder) for _ in range(given.rounds)]
                print(shown(rounds, given.connections), flush=True)
                steady = bench.steady(given.rate, given.seconds)
            finally:
                ours.stop()
        finally:
            bare.stop()
    print(
        f"{steady.rate:.0f} a second, {steady.count} updates: ticket p50/p99 {steady.p50:.0f}/{steady.p99:.0f} ms,"
        f" worst {steady.worst:.0f} ms; CPU us main {steady.main_cpu:.0f}, worker {steady.worker_cpu:.0f}"
    )
    if given.save:
        RESULTS.mkdir(exist_ok=True)
        now = datetime.now(UTC)
        path = RESULTS / f"telegram-{now:%Y%m%d-%H%M%S}.json"
        said = {"at": now.isoformat(), "rounds": [asdict(each) for each in rounds], "steady": asdict(steady)}
        path.write_text(json.dumps(said, indent=1) + "\n")
        print(f"written to {path}")


if __name__ == "__main__":
    main()
