"""Text messages by Kannel under the contract suite: its post-url in, its sendsms out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from channels.contract import Intake, Sender
from gateway.demo.twilio_api import Mishap as Trouble
from gateway.demo.twilio_api.network import post
from normalizer.message import Address
from tests.contract.channel_adapter import Behaviour, Mishap
from tests.kannel.wires import ANNA, OURS, SECRET, mounted, sender_for

MISHAPS: frozenset[Mishap] = frozenset({"late", "twice", "half", "never", "lost", "reset"})
REPEATS = 5


class NumberWire:
    """Somebody who writes to our number. Acknowledged is what is answered with 200 or 202."""

    def __init__(self, url: str, patience: float) -> None:
        self._url, self._patience = url, patience
        self._plan: list[Trouble] = []

    def plan(self, mishap: Trouble) -> None:
        self._plan.append(mishap)

    def body(self, number: int) -> bytes:
        return f"Заявка {number}".encode()

    async def deliver(self, number: int) -> bool:
        url = f"{self._url}?secret={SECRET}&id=message-{number}&from=%2B{ANNA[1:]}&to=%2B{OURS[1:]}&coding=0"
        headers = {"Content-Type": 'text/plain; charset="UTF-8"'}
        planned, repeats = bool(self._plan), 0
        while True:
            mishap = self._plan.pop(0) if self._plan else None
            copies = range(2 if mishap == "twice" else 1)
            answers = await asyncio.gather(
                *(post(url, self.body(number), headers, mishap=mishap, seconds=self._patience) for _ in copies)
            )
            if any(status in (200, 202) for status in answers):
                return True
            repeats += 1
            if not planned or repeats > REPEATS:
                return False


@asynccontextmanager
async def wire(folder: Path, intake: Intake, patience: float) -> AsyncIterator[NumberWire]:
    async with mounted(folder, intake) as url:
        yield NumberWire(url, patience)


class Sendsms:
    """The far side of sendsms."""

    ANSWERS: ClassVar[Mapping[Behaviour, tuple[int, str]]] = {
        "accepts": (202, "0: Accepted for delivery"),
        "late": (202, "3: Queued for later delivery"),
        "later": (503, "Temporal failure, try again later."),
        "refuses": (400, "Coding field misformed, rejected"),
        "unreachable": (400, "Number(s) has/have been denied by white- and/or black-lists."),
    }
    sender: Sender

    def __init__(self) -> None:
        self._plan: list[Behaviour] = []
        self._got: list[str] = []
        self._on = asyncio.Event()

    def plan(self, *behaviours: Behaviour) -> None:
        self._plan += behaviours

    def received(self) -> Sequence[str]:
        return self._got

    def go_on(self) -> None:
        self._on.set()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
            body = await reader.readexactly(int(fields["content-length"]))
            behaviour = self._plan.pop(0)
            if behaviour in ("accepts", "late", "half", "never"):
                self._got.append(f"{fields['x-kannel-to']} {body.decode()}")
            if behaviour in ("late", "never"):
                await self._on.wait()
            if behaviour != "half":
                status, words = self.ANSWERS[behaviour]
                said = f"HTTP/1.1 {status} X\r\nContent-Length: {len(words)}\r\nConnection: close\r\n\r\n{words}"
                writer.write(said.encode())
            else:
                writer.write(b"HTTP/1.1 202 Acc")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the sender has gone
        finally:
            writer.close()


@asynccontextmanager
async def far_side(folder: Path) -> AsyncIterator[Sendsms]:
    far = Sendsms()
    tasks: set[asyncio.Task[None]] = set()
    server = await asyncio.start_server(
        lambda reader, writer: tasks.add(asyncio.create_task(far.talk(reader, writer))), "127.0.0.1", 0
    )
    keys = count(1)
    port = server.sockets[0].getsockname()[1]
    far.sender = sender_for(f"http://127.0.0.1:{port}/cgi-bin/sendsms", lambda: f"key{next(keys):09d}", timeout=50.0)
    try:
        yield far
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


INBOUND: Mapping[str, Any] = {"kannel": (wire, MISHAPS)}
SENDERS: Mapping[str, Any] = {"kannel": (far_side, frozenset({*Sendsms.ANSWERS, "half", "never"}))}
NOTICE: Mapping[str, Any] = {"recipient": Address(address=ANNA), "destination": {"to": ANNA, "from": OURS}}
