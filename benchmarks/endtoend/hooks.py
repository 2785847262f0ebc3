"""Telegram as a sender: updates made here, posted over so many connections at once, or at a fixed rate."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

import uvloop

from endtoend.bare_hook import HEADER, PATH
from endtoend.load import Sent

TEXT = "Сервер {number} не отвечает с самого утра, страница не открывается, пишет ошибку 502. Посмотрите, пожалуйста. "


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
    """One request on a kept connection. Raises RuntimeError for another answer than an empty 200."""
    writer.write(request)
    answer = await reader.readuntil(b"\r\n\r\n")
    if not answer.startswith(b"HTTP/1.1 200") or b"Content-Length: 0" not in answer:
        raise RuntimeError(f"an update was refused: {answer[:200]!r}")


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


def deliver(port: int, posted: Sequence[bytes], connections: int, secret: str) -> Sent:
    """Post every update over kept connections, each waiting for its answer before it goes on."""
    return uvloop.run(_all(port, [_request(update, secret) for update in posted], connections))


async def steadily(port: int, posted: Sequence[bytes], rate: float, secret: str) -> list[float]:
    """Post `rate` updates a second, whatever the answers take. Returns `perf_counter` of each one's first byte."""
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    begins: list[float] = []

    async def one(request: bytes) -> None:
        kept = free.pop() if free else await asyncio.open_connection("127.0.0.1", port)
        await _post(*kept, request)
        free.append(kept)

    first = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as group:
            for number, update in enumerate(posted):
                await asyncio.sleep(first + number / rate - time.perf_counter())
                begins.append(time.perf_counter())
                group.create_task(one(_request(update, secret)))
    finally:
        for _, writer in free:
            writer.close()
    return begins
