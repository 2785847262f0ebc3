"""An account's webhook of the real `gateway serve` against a bare aiohttp handler, and its answers while a host hangs.

The bare handler checks the signature by the same library, answers 200 and forgets; ours has committed the message when
it answers. Both are processes of their own with uvloop, on loopback, with the sender on the same machine; rounds
alternate.

    accepted   messages a second whose 200 was read, over so many connections that are kept
    200        milliseconds to it
    CPU        microseconds a message, user and kernel: the bare handler; our main process until the last 200
    hanging    milliseconds to the 200 of messages with a picture, at a fixed rate, while the pictures' host takes
               connections and never answers

    python -m benchmarks.twilio_intake [--rounds 5] [--messages 1500] [--connections 128] [--rate 50] [--save]
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parent))

from endtoend.bare_twilio import PATH
from endtoend.hooks import post, steadily
from endtoend.machine import fsync_probe, spin, used
from endtoend.servers import HOLD_BACK, Gateway, Server

from gateway.demo.twilio_api import Network
from gateway.demo.twilio_api.signing import signed_form

RESULTS = Path(__file__).parent / "results"
TOKEN = "0123456789abcdef0123456789abcdef"
SID = "AC" + "0" * 32
OURS = "+380440000001"
PUBLIC = "https://help.example.com"
TEXT = "Сервер {number} не отвечает с самого утра, страница не открывается, пишет ошибку 502."
PICTURE = "/2010-04-01/Accounts/{sid}/Messages/{message}/Media/ME{number:032x}"


@dataclass(frozen=True, slots=True)
class Round:
    """One round: the bare handler, then the gateway."""

    bare_rate: float
    accepted: float
    bare_p50: float
    bare_p99: float
    p50: float
    p99: float
    bare_cpu: float
    accept_cpu: float
    spin: float
    fsync: float


@dataclass(frozen=True, slots=True)
class Hanging:
    """Answers while the host of the files hangs."""

    rate: float
    count: int
    p50: float
    p99: float
    worst: float


class Bare(Server):
    """The counterpart."""

    def __init__(self, folder: Path) -> None:
        script = Path(__file__).parent / "endtoend" / "bare_twilio.py"
        super().__init__([str(script), TOKEN, PUBLIC], folder / "bare.log")
        self.port = int(self.line())


def gateway(folder: Path, host: str, profile: Path | None) -> Gateway:
    """`gateway serve` with an account whose REST API and files are at `host`. Nothing is sent."""
    (folder / "token").write_text(TOKEN)
    account = {
        "account_sid": SID, "auth_token": f"file:{folder / 'token'}", "numbers": [OURS], "public_url": PUBLIC,
        "api_url": host, "reconcile": "0s", "outbound": "capture", "language": "ru",
    }  # fmt: skip
    return Gateway(folder, (*HOLD_BACK, f"channels.sms.bench={json.dumps(account)}"), profile)


class Bench:
    """The pair of servers, and the host that hangs."""

    def __init__(self, bare: Bare, ours: Gateway, host: socket.socket, connections: int) -> None:
        self._bare, self._ours, self._host, self._connections = bare, ours, host, connections
        self._port = int(json.loads((ours.var / "listening.json").read_text())["http"].rpartition(":")[2])
        self._network = Network(account_sid=SID, token=TOKEN)
        self._next = 0

    def _requests(self, count: int, *, pictures: bool = False) -> list[bytes]:
        """Messages of as many people, one each, signed as Twilio signs them."""
        return [self._request(pictures) for _ in range(count)]

    def _request(self, picture: bool) -> bytes:
        self._next += 1
        more = {}
        if picture:
            path = PICTURE.format(sid=SID, message=self._network.new_sid("MM"), number=self._next)
            more = {"NumMedia": "1", "MediaUrl0": address(self._host) + path, "MediaContentType0": "image/jpeg"}
        sender, text = f"+38067{self._next:07}", TEXT.format(number=self._next)
        said = self._network.message(text, sender=sender, to=OURS, **more)
        body, headers = signed_form(TOKEN, PUBLIC + PATH, list(said.items()))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return (
            f"POST {PATH} HTTP/1.1\r\nHost: help.example.com\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    def round(self, count: int, folder: Path) -> Round:
        """The same messages to both. Raises RuntimeError when one of them is not in the journal."""
        requests = self._requests(count)
        speed, disk = spin(), fsync_probe(folder)
        bare_before = used(self._bare.pid).main
        bare = post(self._bare.port, requests, self._connections)
        bare_cpu = used(self._bare.pid).main - bare_before
        last, _ = self._ours.newest()
        before = used(self._ours.pid)
        ours = post(self._port, requests, self._connections)
        after = used(self._ours.pid)
        newest, _ = self._ours.newest()
        if newest - last != count:
            raise RuntimeError(f"{count} messages became {newest - last} entries")
        self._ours.wait_filed()
        return Round(
            bare_rate=count / bare.seconds, accepted=count / ours.seconds, bare_p50=bare.wait(0.5),
            bare_p99=bare.wait(0.99), p50=ours.wait(0.5), p99=ours.wait(0.99), bare_cpu=bare_cpu / count * 1e6,
            accept_cpu=(after.main - before.main) / count * 1e6, spin=speed, fsync=disk,
        )  # fmt: skip

    def hanging(self, rate: float, seconds: float) -> Hanging:
        """Messages with a picture. Raises RuntimeError when nobody asked for one."""
        requests = self._requests(int(rate * seconds), pictures=True)
        _, waits = uvloop.run(steadily(self._port, requests, rate))
        self._ours.wait_filed()
        self._host.settimeout(30)
        try:
            self._host.accept()[0].close()
        except TimeoutError:
            raise RuntimeError("no picture was asked for") from None
        ordered = sorted(wait * 1000 for wait in waits)
        return Hanging(
            rate=rate, count=len(ordered), p50=ordered[len(ordered) // 2], p99=ordered[int(len(ordered) * 0.99)],
            worst=ordered[-1],
        )  # fmt: skip


def address(host: socket.socket) -> str:
    """Of the host that hangs: it listens, so that connections are made, and takes none."""
    return f"http://127.0.0.1:{host.getsockname()[1]}"


def shown(rounds: list[Round], connections: int) -> str:
    """The line of the table: medians over the rounds, and the ratios of paired rounds."""
    mid = {name: statistics.median(getattr(each, name) for each in rounds) for name in Round.__slots__}
    ratios = [each.accepted / each.bare_rate for each in rounds]
    costs = [each.bare_cpu / each.accept_cpu for each in rounds]
    return (
        f"{connections} connections: bare {mid['bare_rate']:.0f}/s, accepted {mid['accepted']:.0f}/s"
        f" x {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}),"
        f" by CPU x {statistics.median(costs):.2f};"
        f" 200 p50/p99 {mid['p50']:.1f}/{mid['p99']:.1f} ms (bare {mid['bare_p50']:.1f}/{mid['bare_p99']:.1f});"
        f" CPU us bare {mid['bare_cpu']:.0f}, main {mid['accept_cpu']:.0f};"
        f" spin {mid['spin']:.1f} ms, fsync {mid['fsync']:.2f} ms"
    )


def main() -> None:
    """Print both lines; with --save also write benchmarks/results/twilio-<time>.json."""
    parser = argparse.ArgumentParser(description="an account's webhook against a bare aiohttp handler")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=1500, help="of a round")
    parser.add_argument("--connections", type=int, default=128)
    parser.add_argument("--rate", type=float, default=50.0, help="messages a second in the second part")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the second part lasts")
    parser.add_argument("--profile", type=Path, help="write the server's cProfile here; it is slower then")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/twilio-*.json")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped, too
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0), backlog=128) as host:
        folder = Path(name)
        bare = Bare(folder)
        try:
            ours = gateway(folder, address(host), given.profile)
            try:
                bench = Bench(bare, ours, host, given.connections)
                bench.round(200, folder)  # not counted: imports, caches, the first pages of the store
                rounds = [bench.round(given.messages, folder) for _ in range(given.rounds)]
                print(shown(rounds, given.connections), flush=True)
                hanging = bench.hanging(given.rate, given.seconds)
            finally:
                ours.stop()
        finally:
            bare.stop()
    print(
        f"a host hangs, {hanging.rate:.0f} a second, {hanging.count} messages: 200 p50/p99"
        f" {hanging.p50:.1f}/{hanging.p99:.1f} ms, worst {hanging.worst:.0f} ms"
    )
    if given.save:
        RESULTS.mkdir(exist_ok=True)
        now = datetime.now(UTC)
        path = RESULTS / f"twilio-{now:%Y%m%d-%H%M%S}.json"
        said = {"at": now.isoformat(), "rounds": [asdict(each) for each in rounds], "hanging": asdict(hanging)}
        path.write_text(json.dumps(said, indent=1) + "\n")
        print(f"written to {path}")


if __name__ == "__main__":
    main()
