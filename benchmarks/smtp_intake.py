"""What one mail costs on the SMTP port: ours against a bare stock aiosmtpd sink, in the same run.

All answer 250 and drop the message; rounds alternate, so that a machine that changes its speed changes it for all.
"dialogue" is our SMTP dialogue alone, as the stock sink is; "ours" adds what a message costs until it is handed to
the journal: fingerprint, identity, spool file with its digest.
CPU is the server process's, user and kernel. "spin" is the time of a fixed Python loop beside each round.

    python benchmarks/smtp_intake.py [--rounds 5] [--messages 1500] [--sessions 10]
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing as mp
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import uvloop
from aiosmtpd.smtp import SMTP

sys.path.insert(0, str(Path(__file__).parent.parent))

from channels.contract import Accepted
from channels.mail.listener import SmtpListener
from channels.mail.settings import MailAccount, SmtpOptions
from channels.spool import Spool
from normalizer.message import RawMessage

KINDS = ("stock", "dialogue", "ours")
ENVELOPE = b"MAIL FROM:<anna@client.example>\r\nRCPT TO:<support@desk.example>\r\nDATA\r\n"


class Sink:
    """The handler of the stock server."""

    async def handle_DATA(self, *_: Any) -> str:
        return "250 OK"


class Dialogue(SmtpListener):
    """The port without anything behind it."""

    async def accept(self, _connection: Any, spool: Spool) -> str:
        spool.discard()
        return "250 OK"


async def drop(raws: Sequence[RawMessage], *_: Any) -> Sequence[Accepted]:
    return [Accepted(entry=1, duplicate=False) for _ in raws]


async def serve_stock() -> int:
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    loop, sink = asyncio.get_running_loop(), Sink()
    server = await loop.create_server(
        lambda: SMTP(sink, hostname="desk.example", loop=loop), "127.0.0.1", 0, backlog=500
    )
    return int(server.sockets[0].getsockname()[1])


async def serve_ours(folder: str, kind: type[SmtpListener] = SmtpListener) -> int:
    numbers = count()
    listener = kind(
        {"support": MailAccount.model_validate({"addresses": ["support@desk.example"]})},
        SmtpOptions.model_validate({"port": 0}),
        clock=lambda: datetime.now(UTC),
        spool=Path(folder),
        unique=lambda: str(next(numbers)),
    )
    await listener.start(drop)
    return int(listener.listening()["smtp"].rpartition(":")[2])


def server(kind: str, loop: str, folder: str, pipe: Pipe) -> None:
    """A server process: says its port, then its CPU seconds whenever it is asked."""

    async def run() -> None:
        match kind:
            case "stock":
                port = await serve_stock()
            case "dialogue":
                port = await serve_ours(folder, Dialogue)
            case _:
                port = await serve_ours(folder)
        pipe.send(port)
        while await asyncio.to_thread(pipe.recv):
            used = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send(used.ru_utime + used.ru_stime)

    (uvloop.run if loop == "uvloop" else asyncio.run)(run())


@dataclass
class Server:
    """A running server process."""

    process: Any
    pipe: Pipe
    port: int

    def cpu(self) -> float:
        self.pipe.send(True)
        return float(self.pipe.recv())

    def stop(self) -> None:
        self.pipe.send(False)
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()


def start(kind: str, loop: str, folder: str) -> Server:
    context = mp.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=server, args=(kind, loop, folder, there), daemon=True)
    process.start()
    return Server(process, here, here.recv())


def letter(number: int, size: int) -> bytes:
    text = b"The quick brown fox jumps over the lazy dog, again and again.\r\n"
    head = (
        "Received: from mx.client.example (mx.client.example [192.0.2.1])\r\n by mx.desk.example with ESMTPS;"
        " Mon, 4 May 2026 09:00:00 +0000\r\nFrom: Anna <anna@client.example>\r\nTo: support@desk.example\r\n"
        f"Subject: request {number}\r\nMessage-ID: <{number}@client.example>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nDate: Mon, 4 May 2026 09:00:00 +0000\r\n\r\n"
    ).encode()
    return head + text * max(1, (size - len(head)) // len(text)) + b".\r\n"


async def session(port: int, letters: Sequence[bytes], keep: bool) -> None:
    reader = writer = None
    for each in letters:
        if writer is None or reader is None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await reader.readline()
            writer.write(b"EHLO client.example\r\n")
            while (await reader.readline())[3:4] == b"-":
                pass
        for command in ENVELOPE.splitlines(keepends=True):
            writer.write(command)
            await reader.readline()
        writer.write(each)
        answer = await reader.readline()
        if not answer.startswith(b"250"):
            raise RuntimeError(answer)
        if not keep:
            writer.write(b"QUIT\r\n")
            await reader.readline()
            writer.close()
            writer = None
    if writer is not None:
        writer.close()


async def load(port: int, letters: list[bytes], sessions: int, keep: bool) -> None:
    await asyncio.gather(*(session(port, letters[at::sessions], keep) for at in range(sessions)))


def spin() -> float:
    """Milliseconds of a fixed loop."""
    begun, total = time.perf_counter(), 0
    for number in range(200_000):
        total += number & 3
    return (time.perf_counter() - begun) * 1000


def compare(name: str, size: int, messages: int, sessions: int, keep: bool, rounds: int, loop: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        servers = {kind: start(kind, loop, folder) for kind in KINDS}
        letters = [letter(number, size) for number in range(messages)]
        cost: dict[str, list[float]] = {kind: [] for kind in servers}
        rate: dict[str, list[float]] = {kind: [] for kind in servers}
        spins: list[float] = []
        try:
            for _ in range(rounds):
                for kind, each in servers.items():
                    spins.append(spin())
                    cpu, begun = each.cpu(), time.perf_counter()
                    uvloop.run(load(each.port, letters, sessions, keep))
                    rate[kind].append(messages / (time.perf_counter() - begun))
                    cost[kind].append((each.cpu() - cpu) / messages * 1e6)
        finally:
            for each in servers.values():
                each.stop()
    base = cost["stock"]
    shown = [f"{name:<26} {loop:<7}"]
    for kind in KINDS:
        ratio = statistics.median(mine / theirs for mine, theirs in zip(cost[kind], base, strict=True))
        times = "" if kind == "stock" else f" x {ratio:.2f}"
        shown.append(f"{kind} {statistics.median(cost[kind]):.0f} us{times}, {statistics.median(rate[kind]):.0f}/s")
    print(" | ".join([*shown, f"spin {statistics.median(spins):.1f} ms"]))


def main() -> None:
    """Print one line per load: CPU a message, messages a second, and the ratio of the two servers."""
    parser = argparse.ArgumentParser(description="SMTP intake against stock aiosmtpd")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=1500)
    parser.add_argument("--sessions", type=int, default=10)
    given = parser.parse_args()
    for loop in ("asyncio", "uvloop"):
        for name, size, share, keep in (
            ("4 KB, kept connection", 4200, 1.0, True),
            ("4 KB, new connection each", 4200, 0.5, False),
            ("64 KB, kept connection", 65_000, 0.3, True),
            ("1 MB, kept connection", 1_000_000, 0.03, True),
        ):
            messages = max(given.sessions, int(given.messages * share))
            compare(name, size, messages, given.sessions, keep, given.rounds, loop)


if __name__ == "__main__":
    main()
