"""Telegram as a sender: updates made here; and requests posted over so many connections at once, or at a fixed rate."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Sequence

import uvloop

from endtoend.bare_hook import HEADER, PATH
from endtoend.load import Sent

TEXT = "Сервер {number} не отвечает с самого утра, страница не открывается, пишет ошибку 502. Посмотрите, пожалуйста. "
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: ([0-9]+)\r\n")


def updates(first: int, count: int) -> list[bytes]:
    """Messages of as many people, one each, as Telegram writes them: about 600 bytes."""
    now = int(time.time())
    made = []
    for number in range(first, first + count):
        user = 5_000_000_000 + number
        person = {"id": user, "is_bot": False, "first_name": "Анна", "last_name": "Коваль", "language_code": "ru"}
        chat = {"id": user, "first_name": "Анна", "last_name": "Коваль", "type": "private"}
        text = TEXT.format(number=number)
        message = {"message_id": number, "from": person, "chat": chat, "date": now, "text": text}
        made.append(json.dumps({"update_id": number, "message": message}).encode())
    return made


def _request(update: bytes, secret: str) -> bytes:
    return (
        f"POST {PATH} HTTP/1.1\r\nHost: help.example.com\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(update)}\r\n{HEADER}: {secret}\r\nConnection: keep-alive\r\n\r\n"
    ).encode() + update


async def _post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    """One request on a kept connection. Raises RuntimeError for another answer than 200."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if not head.startswith(b"HTTP/1.1 200") or length is None:
        raise RuntimeError(f"a request was refused: {head[:200]!r}")
    if size := int(length[1]):
        await reader.readexactly(size)


async def _connection(port: int, requests: Sequence[bytes], waits: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for request in requests:
            began = time.perf_counter()
            await _post(reader, writer, request)
            waits.append(time.perf_counter() - began)
    finally:
        writer.close()


async def _all(port: int, requests: Sequence[bytes], connections: int) -> Sent:
    sent, began = Sent(), time.perf_counter()
    await asyncio.gather(*(_connection(port, requests[at::connections], sent.waits) for at in range(connections)))
    sent.seconds = time.perf_counter() - began
    return sent


def post(port: int, requests: Sequence[bytes], connections: int) -> Sent:
    """Post every request over kept connections, each waiting for its answer before it goes on."""
    return uvloop.run(_all(port, requests, connections))


def deliver(port: int, posted: Sequence[bytes], connections: int, secret: str) -> Sent:
    """The same for updates."""
    return post(port, requests_of(posted, secret), connections)


def requests_of(posted: Sequence[bytes], secret: str) -> list[bytes]:
    """Updates as they go over the wire."""
    return [_request(update, secret) for update in posted]


async def steadily(port: int, requests: Sequence[bytes], rate: float) -> tuple[list[float], list[float]]:
    """Post `rate` requests a second, whatever the answers take.

    Returns `perf_counter` of each one's first byte, and the seconds to each answer.
    """
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    begins: list[float] = []
    waits: list[float] = []

    async def one(request: bytes, began: float) -> None:
        kept = free.pop() if free else await asyncio.open_connection("127.0.0.1", port)
        await _post(*kept, request)
        waits.append(time.perf_counter() - began)
        free.append(kept)

    first = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as group:
            for number, request in enumerate(requests):
                await asyncio.sleep(first + number / rate - time.perf_counter())
                begins.append(time.perf_counter())
                group.create_task(one(request, begins[-1]))
    finally:
        for _, writer in free:
            writer.close()
    return begins, waits
