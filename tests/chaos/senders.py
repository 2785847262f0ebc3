"""SMTP clients that behave as mail servers do: they repeat until they have read a 250."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Record:
    """What the far side may rely on: the SHA-256 of every message that was answered with 250."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the bytes -> Message-ID."""
    answers: int = 0
    """250s read, repeats included."""
    drops: int = 0


def letter(sender: int, number: int, chance: random.Random) -> tuple[str, bytes]:
    """A message of its own: Message-ID and bytes. One in forty is big enough to be spooled."""
    message_id = f"chaos-{sender}-{number}-{chance.getrandbits(64):016x}@client.example"
    size = 300_000 if chance.random() < 0.025 else chance.randrange(200, 6000)
    text = base64.encodebytes("Сервер не отвечает. ".encode() + chance.randbytes(size * 3 // 4)).replace(b"\n", b"\r\n")
    head = (
        f"From: Client {sender} <client{sender}.{number}@client.example>\r\nTo: support@desk.example\r\n"
        f"Subject: request {sender}/{number}\r\nMessage-ID: <{message_id}>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    return message_id, head.encode() + text


async def send_all(
    port: Callable[[], int | None], sender: int, seed: int, record: Record, done: asyncio.Event, most: int
) -> None:
    """Send up to `most` messages until `done`, each repeated until it is acknowledged."""
    chance = random.Random(seed)
    for number in range(most):
        if done.is_set():
            return
        message_id, content = letter(sender, number, chance)
        while not await _try(port(), sender, number, content, record):
            record.drops += 1
            # A refused connection returns at once: without a pause this would spin while the server starts.
            await asyncio.sleep(0.05)
        record.acknowledged[hashlib.sha256(content).hexdigest()] = message_id
        if chance.random() < 0.1:
            # The answer got lost on the way: the same message again, as RFC 5321 section 4.5.4.1 allows.
            await _try(port(), sender, number, content, record)


async def _try(port: int | None, sender: int, number: int, content: bytes, record: Record) -> bool:
    if port is None:
        return False
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        async with asyncio.timeout(60):
            for line, wanted in (
                (None, b"220"),
                (b"EHLO mx.client.example", b"250"),
                (b"MAIL FROM:<client%d.%d@client.example>" % (sender, number), b"250"),
                (b"RCPT TO:<support@desk.example>", b"250"),
                (b"DATA", b"354"),
                (content + b".", b"250"),
            ):
                if line is not None:
                    writer.write(line + b"\r\n")
                    await writer.drain()
                if not (await _reply(reader)).startswith(wanted):
                    return False
        record.answers += 1
        return True
    except (OSError, asyncio.IncompleteReadError, TimeoutError):
        return False
    finally:
        writer.close()


async def _reply(reader: asyncio.StreamReader) -> bytes:
    while True:
        line = await reader.readuntil(b"\r\n")
        if line[3:4] != b"-":
            return line
