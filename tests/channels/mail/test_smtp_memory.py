"""Big messages cost disk, not memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import sys
from pathlib import Path

import pytest

from tests.channels.mail.support import Client

CLIENTS, PIECES, PIECE = 50, 320, 64 * 1024
LIMIT = 600 * 1024 * 1024


def peak(pid: int) -> int:
    """Most resident memory the process ever had, in bytes (Linux)."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) * 1024


async def send_big(host: str, port: int, piece: bytes, all_begun: asyncio.Barrier) -> None:
    client = Client(*await asyncio.open_connection(host, port))
    await client.hello()
    await client.begin()
    # Every client is in the middle of its message before the first one ends.
    for _ in range(20):
        await client.send(piece)
    await all_begun.wait()
    for _ in range(PIECES - 20):
        await client.send(piece)
    await client.send(b".\r\n")
    # A gigabyte of others may be read and hashed first.
    assert (await client.reply(patience=300)).startswith("250 ")
    await client.close()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.timeout(400)
async def test_fifty_connections_of_20_mb_stay_under_600_mb(tmp_path: Path) -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("sink_server.py")), str(tmp_path),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        host, _, port = (await asyncio.wait_for(server.stdout.readline(), 90)).decode().strip().rpartition(":")
        piece = (b"m" * 1022 + b"\r\n") * (PIECE // 1024)
        barrier = asyncio.Barrier(CLIENTS)
        before = peak(server.pid)
        await asyncio.gather(*(send_big(host, int(port), piece, barrier) for _ in range(CLIENTS)))
        after = peak(server.pid)
        seen = {(await asyncio.wait_for(server.stdout.readline(), 90)).decode().strip() for _ in range(CLIENTS)}
    finally:
        server.stdin.close()
        await asyncio.wait_for(server.wait(), 90)
    assert seen == {f"{hashlib.sha256(piece * PIECES).hexdigest()} {PIECE * PIECES}"}
    print(f"resident before {before // 2**20} MB, at most {after // 2**20} MB")
    assert after < LIMIT
    assert list(tmp_path.iterdir()) == []
