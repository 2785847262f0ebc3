"""How long a caller waits for what comes next: the TwiML of the real `gateway serve` beside a bare aiohttp handler.

Each call tells a problem: language, menu, recording, call back; beside it come the news of the recording and of the
end. The bare handler answers a constant document to the same requests; ours has checked the signature and committed
the request, its filing and the answer. Both are processes of their own with uvloop, on loopback, with the callers on
the same machine; rounds alternate.

    at once    milliseconds to each document while so many calls never pause: every caller presses the moment they hear
    paced      the same while they take some seconds for each step, as people do
    CPU        microseconds a request, user and kernel: the bare handler; our main process

    python -m benchmarks.calls [--rounds 5] [--calls 50] [--each 10] [--pause 2] [--save]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parent))

from endtoend.machine import fsync_probe, spin, used
from endtoend.servers import HOLD_BACK, Gateway, Server

from gateway.demo.twilio_api.signing import signed_form

RESULTS = Path(__file__).parent / "results"
TOKEN = "0123456789abcdef0123456789abcdef"
SID = "AC" + "0" * 32
OURS = "+380440000001"
PUBLIC = "https://help.example.com"
PATH = "/channels/voice/bench"
GOAL = 100.0
"""Milliseconds to a document at the 99th percentile."""
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: ([0-9]+)\r\n")


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a call."""

    wire: bytes
    document: bool
    """Somebody waits for its answer."""
    last: bool = False
    """The answer hangs up."""


@dataclass(slots=True)
class Heard:
    """What the callers waited for."""

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    """Seconds to each document."""
    requests: int = 0
    late: int = 0
    """Calls that went another way: an answer was not there within a second, and the caller was recorded instead."""

    def wait(self, share: float) -> float:
        """Milliseconds within which this share of the documents was there."""
        return sorted(self.waits)[min(int(len(self.waits) * share), len(self.waits) - 1)] * 1000


@dataclass(frozen=True, slots=True)
class Round:
    """One round: the bare handler, then the gateway."""

    bare_rate: float
    rate: float
    bare_p50: float
    bare_p99: float
    p50: float
    p99: float
    worst: float
    late: int
    bare_cpu: float
    cpu: float
    spin: float
    fsync: float


class Bare(Server):
    """The counterpart."""

    def __init__(self, folder: Path) -> None:
        super().__init__([str(Path(__file__).parent / "endtoend" / "bare_calls.py")], folder / "bare.log")
        self.port = int(self.line())


def gateway(folder: Path, profile: Path | None) -> Gateway:
    """`gateway serve` with a number that can be called. Nothing goes out, and no recording is fetched."""
    (folder / "token").write_text(TOKEN)
    account = {
        "account_sid": SID, "auth_token": f"file:{folder / 'token'}", "numbers": [OURS], "public_url": PUBLIC,
        "outbound": "capture", "language": "uk",
    }  # fmt: skip
    return Gateway(folder, (*HOLD_BACK, f"channels.voice.bench={json.dumps(account)}"), profile)


def a_call(number: int) -> list[Request]:
    """The requests of one call, signed as Twilio signs them; each caller has a number of their own."""
    told = {"RecordingSid": f"RE{number:032x}", "RecordingDuration": "20"}
    steps: Sequence[tuple[str, dict[str, str]]] = (
        ("", {"CallStatus": "ringing"}),
        ("?s=1", {"Digits": "1", "msg": "Gather End"}),
        ("?s=2", {"Digits": "2", "msg": "Gather End"}),
        ("/recorded", {**told, "RecordingStatus": "completed"}),
        ("?s=3", {**told, "Digits": "#"}),
        ("?s=4", {"Digits": "1", "msg": "Gather End"}),
        ("/status", {"CallStatus": "completed", "CallDuration": "61"}),
    )
    caller = f"+38067{number:07}"
    common = {
        "CallSid": f"CA{number:032x}", "AccountSid": SID, "From": caller, "To": OURS, "Caller": caller, "Called": OURS,
        "ApiVersion": "2010-04-01", "Direction": "inbound", "CallStatus": "in-progress", "FromCountry": "UA",
        "ToCountry": "UA",
    }  # fmt: skip
    made = []
    for below, more in steps:
        body, headers = signed_form(TOKEN, PUBLIC + PATH + below, list({**common, **more}.items()))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {PATH}{below} HTTP/1.1\r\nHost: help.example.com\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        made.append(Request(head.encode() + body, document=not below.startswith("/"), last=below == "?s=4"))
    return made


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: bytes) -> bytes:
    """The body of the answer. Raises RuntimeError for one that is not 2xx."""
    writer.write(wire)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 20"):
        raise RuntimeError(f"a request was refused: {head[:200]!r}")
    length = _LENGTH.search(head)
    return await reader.readexactly(int(length[1])) if length is not None and int(length[1]) else b""


async def _caller(
    port: int,
    calls: Sequence[Sequence[Request]],
    heard: Heard,
    checked: bool,
    pauses: random.Random | None,
    mean: float,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for request in (one for call in calls for one in call):
            if pauses is not None and request.document:
                await asyncio.sleep(pauses.uniform(0, 2 * mean))
            began = time.perf_counter()
            body = await _answer(reader, writer, request.wire)
            heard.requests += 1
            if request.document:
                heard.waits.append(time.perf_counter() - began)
            heard.late += checked and request.last and b"<Hangup" not in body
    finally:
        writer.close()


async def _all(port: int, calls: Sequence[Sequence[Request]], at_once: int, checked: bool, pause: float = 0.0) -> Heard:
    heard, began = Heard(), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for at in range(at_once):
            pauses = random.Random(at) if pause else None
            group.create_task(_caller(port, calls[at::at_once], heard, checked, pauses, pause))
    heard.seconds = time.perf_counter() - began
    return heard


class Bench:
    """The pair of servers."""

    def __init__(self, bare: Bare, ours: Gateway, at_once: int) -> None:
        self._bare, self._ours, self._at_once = bare, ours, at_once
        self._port = int(json.loads((ours.var / "listening.json").read_text())["http"].rpartition(":")[2])
        self._next = 0

    def _calls(self, each: int) -> list[list[Request]]:
        first, self._next = self._next, self._next + each * self._at_once
        return [a_call(number) for number in range(first, self._next)]

    def round(self, each: int, folder: Path) -> Round:
        """The same calls to both."""
        calls = self._calls(each)
        speed, disk = spin(), fsync_probe(folder)
        bare_before = used(self._bare.pid).main
        bare = uvloop.run(_all(self._bare.port, calls, self._at_once, checked=False))
        bare_cpu = used(self._bare.pid).main - bare_before
        before = used(self._ours.pid).main
        ours = uvloop.run(_all(self._port, calls, self._at_once, checked=True))
        cpu = used(self._ours.pid).main - before
        self._ours.wait_filed()
        return Round(
            bare_rate=bare.requests / bare.seconds, rate=ours.requests / ours.seconds, bare_p50=bare.wait(0.5),
            bare_p99=bare.wait(0.99), p50=ours.wait(0.5), p99=ours.wait(0.99), worst=max(ours.waits) * 1000,
            late=ours.late, bare_cpu=bare_cpu / bare.requests * 1e6, cpu=cpu / ours.requests * 1e6, spin=speed,
            fsync=disk,
        )  # fmt: skip

    def paced(self, each: int, pause: float) -> tuple[Heard, Heard]:
        """Calls of people who take so many seconds for a step, on average: the bare handler's, then ours."""
        calls = self._calls(each)
        bare = uvloop.run(_all(self._bare.port, calls, self._at_once, checked=False, pause=pause))
        heard = uvloop.run(_all(self._port, calls, self._at_once, checked=True, pause=pause))
        self._ours.wait_filed()
        return bare, heard


def shown(rounds: list[Round], at_once: int) -> str:
    """The line of the table: medians over the rounds."""
    mid = {name: statistics.median(getattr(each, name) for each in rounds) for name in Round.__slots__}
    return (
        f"{at_once} calls that never pause: bare {mid['bare_rate']:.0f}/s, ours {mid['rate']:.0f}/s;"
        f" TwiML p50/p99 {mid['p50']:.1f}/{mid['p99']:.1f} ms, worst {mid['worst']:.0f}"
        f" and {mid['late']:.0f} calls recorded instead (bare {mid['bare_p50']:.1f}/{mid['bare_p99']:.1f});"
        f" CPU us a request bare {mid['bare_cpu']:.0f},"
        f" main {mid['cpu']:.0f}; spin {mid['spin']:.1f} ms, fsync {mid['fsync']:.2f} ms"
    )


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the TwiML of a call against a bare aiohttp handler")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=50, help="at once")
    parser.add_argument("--each", type=int, default=6, help="calls of each caller in a round, one after another")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds of a step in the second part, on average")
    parser.add_argument("--profile", type=Path, help="write the server's cProfile here; it is slower then")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/calls-*.json")
    return parser.parse_args()


def main() -> None:
    """Print both lines; with --save also write benchmarks/results/calls-<time>.json."""
    given = _words()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped, too
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = Bare(folder)
        try:
            ours = gateway(folder, given.profile)
            try:
                bench = Bench(bare, ours, given.calls)
                bench.round(1, folder)  # not counted: imports, caches, the first pages of the store
                rounds = [bench.round(given.each, folder) for _ in range(given.rounds)]
                print(shown(rounds, given.calls), flush=True)
                bare_paced, paced = bench.paced(2, given.pause)
            finally:
                ours.stop()
        finally:
            bare.stop()
    found = {
        "requests": paced.requests / paced.seconds,
        "late": paced.late,
        "p50": paced.wait(0.5),
        "p99": paced.wait(0.99),
        "bare_p50": bare_paced.wait(0.5),
        "bare_p99": bare_paced.wait(0.99),
        "worst": max(paced.waits) * 1000,
    }
    print(
        f"{given.calls} calls with {given.pause:.0f} s a step, {paced.requests / paced.seconds:.0f} requests a second:"
        f" TwiML p50/p99 {found['p50']:.1f}/{found['p99']:.1f} ms, worst {found['worst']:.0f},"
        f" {paced.late} recorded instead (bare {found['bare_p50']:.1f}/{found['bare_p99']:.1f}; goal {GOAL:.0f})"
    )
    if given.save:
        RESULTS.mkdir(exist_ok=True)
        now = datetime.now(UTC)
        path = RESULTS / f"calls-{now:%Y%m%d-%H%M%S}.json"
        said = {
            "at": now.isoformat(),
            "calls": given.calls,
            "rounds": [asdict(each) for each in rounds],
            "paced": found,
        }
        path.write_text(json.dumps(said, indent=1) + "\n")
        print(f"written to {path}")


if __name__ == "__main__":
    main()
