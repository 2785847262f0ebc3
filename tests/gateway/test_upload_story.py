"""Uploads through the whole gateway as a process: filed with their files, flat in memory, safe from kill -9."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import signal
import smtplib
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.gateway.patience import PATIENCE, eventually, seen

ROOT = Path(__file__).parents[2]
MEGABYTE = 1024 * 1024
BIG, GROWTH = 150 * MEGABYTE, 60 * MEGABYTE

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("upload-story")]


class Server:
    """The gateway as a child process."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def start(self, *failpoint: str) -> None:
        listening = self.var / "listening.json"
        listening.unlink(missing_ok=True)
        with (self.var / "server.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, str(ROOT / "tests" / "chaos" / "server.py"), str(ROOT / "config"), str(self.var),
                *failpoint, stdout=log, stderr=log, start_new_session=True, cwd=ROOT,
            )  # fmt: skip
        try:
            async with asyncio.timeout(PATIENCE):
                while not listening.exists():
                    assert self.process.returncode is None, (self.var / "server.log").read_text()
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise AssertionError(f"it does not listen: {(self.var / 'server.log').read_text()[-3000:]}") from error
        self.url = f"http://{json.loads(listening.read_text())['http']}"

    async def stop(self) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), PATIENCE)

    def resident(self, which: str) -> int:
        """VmRSS or VmHWM of the main process, in bytes."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(rf"{which}:\s+(\d+) kB", status)[0]) * 1024

    async def filed(self) -> None:
        """Wait until nothing is pending."""
        pending = "SELECT * FROM entry WHERE state = 'pending'"
        await seen(lambda: self.rows(pending), lambda rows: not rows, "an end of what is pending")

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.var / "gateway.db", timeout=PATIENCE)) as conn:
            return conn.execute(query).fetchall()


@asynccontextmanager
async def running(var: Path, *failpoint: str) -> AsyncIterator[Server]:
    server = Server(var)
    try:
        await server.start(*failpoint)
        yield server
    finally:
        if server.process is not None:
            await server.stop()


def part(name: str, value: str = "", more: str = "") -> bytes:
    return f'--XX\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}'.encode()


async def sent(size: int, address: str = "anna@client.example") -> AsyncIterator[bytes]:
    """A form with one file of so many bytes."""
    yield part("address", address) + b"\r\n" + part("text", "The file is too big for a mail.") + b"\r\n"
    yield part("files", more='; filename="../dump.bin"')
    piece = bytes(range(256)) * 256
    for _ in range(size // len(piece)):
        yield piece
    yield b"\r\n--XX--\r\n"


async def with_number(session: aiohttp.ClientSession, page: aiohttp.ClientResponse) -> str:
    """The number of the ticket: the page shows it as soon as there is one, and is looked at again until then."""

    async def look() -> str:
        async with session.get(page.url, headers={"Accept-Language": "en"}) as answer:
            return await answer.text()

    shown = await eventually(look, lambda text: re.search(r"ticket number is (\d{7,})", text), "the ticket's number")
    return re.findall(r"ticket number is (\d{7,})", shown)[0]


async def post(session: aiohttp.ClientSession, server: Server, content: Any) -> aiohttp.ClientResponse:
    """The page at the end, as a browser gets it."""
    headers = {"Content-Type": "multipart/form-data; boundary=XX", "Accept-Language": "en"}
    answer = await session.post(f"{server.url}/channels/mail/support/upload", data=content, headers=headers)
    await answer.read()
    return answer


def refused_by_smtp(server: Server) -> str:
    """What SMTP says to a mail over its limit."""
    host, _, port = json.loads((server.var / "listening.json").read_text())["smtp"].rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=PATIENCE) as client:
        client.ehlo("client.example")
        code, words = client.docmd("MAIL", f"FROM:<anna@client.example> SIZE={BIG}")
    return f"{code} {words.decode()}"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
async def test_150_mb_are_filed_with_their_file_and_memory_stays_flat(tmp_path: Path) -> None:
    digest = hashlib.sha256(bytes(range(256)) * (BIG // 256)).hexdigest()
    async with running(tmp_path) as server, aiohttp.ClientSession() as session:
        small = await post(session, server, sent(MEGABYTE, "first@client.example"))
        assert small.status == 200, await small.text()
        number = await with_number(session, small)
        before = server.resident("VmRSS")
        answer = await post(session, server, sent(BIG))
        assert answer.status == 200, await answer.text()
        assert "We have your files" in await answer.text()
        await server.filed()
        grown = server.resident("VmHWM") - before
        filed = server.rows("SELECT filename, size, sha256 FROM attachment ORDER BY id")
        tickets = server.rows("SELECT number, requester, channel FROM ticket ORDER BY id")
        assert list((tmp_path / "spool").iterdir()) == []
        refusal = await asyncio.to_thread(refused_by_smtp, server)
        assert refusal.startswith("552 ")
        [named] = re.findall(r"http://\S+", refusal)
        async with session.get(named) as page:
            assert page.status == 200
            assert "multipart/form-data" in await page.text()
    print(f"resident before {before // MEGABYTE} MB, grown by {grown // MEGABYTE} MB")
    assert filed[-1] == ("dump.bin", BIG, digest)
    assert str(tickets[0][0]) == number
    assert [row[1:] for row in tickets] == [("first@client.example", "mail"), ("anna@client.example", "mail")]
    assert (tmp_path / "blobs" / digest[:2] / digest).stat().st_size == BIG
    assert grown < GROWTH


@pytest.mark.parametrize("point", ["blob-before-rename", "blob-done"])
async def test_killed_between_spool_and_commit_nothing_is_half_there(tmp_path: Path, point: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with running(tmp_path, point, "1") as server:
            with pytest.raises(aiohttp.ClientError):
                await post(session, server, sent(MEGABYTE))
            assert server.process is not None
            assert await asyncio.wait_for(server.process.wait(), PATIENCE) == -signal.SIGKILL
            assert server.rows("SELECT count(*) FROM entry") == [(0,)]
        async with running(tmp_path) as server:
            assert list((tmp_path / "spool").iterdir()) == []
            assert (await post(session, server, sent(MEGABYTE))).status == 200
            await server.filed()
            [(size, blob)] = server.rows("SELECT size, blob FROM entry")
            content = (tmp_path / "blobs" / blob[:2] / blob).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (size, blob)
            assert server.rows("SELECT count(*) FROM ticket") == [(1,)]
            # Sent again, as people do who saw no answer: part of the ticket that there is.
            assert (await post(session, server, sent(MEGABYTE))).status == 200
            await server.filed()
            assert server.rows("SELECT count(*) FROM ticket") == [(1,)]
            assert server.rows("SELECT count(*) FROM entry") == [(2,)]
