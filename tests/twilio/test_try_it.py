"""Text messages without an account of Twilio's: the commands that the stand-in prints work as they are printed."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.mailboxes.desk import ROOT, running
from tests.services.ports import free_port
from tests.twilio.provider import ANSWERED, LONG, ROOM


@asynccontextmanager
async def network(gateway: str, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-m", "gateway.demo.twilio_api", "--port", "0", "--gateway", gateway, cwd=folder,
        env={"PYTHONPATH": str(ROOT)}, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def heard(process: asyncio.subprocess.Process, part: str) -> str:
    """The next line with these words."""
    assert process.stdout is not None
    async with asyncio.timeout(ANSWERED):
        while line := (await process.stdout.readline()).decode():
            if part in line:
                return line
    raise AssertionError(f"it ended without {part!r}")


@pytest.mark.timeout(LONG)
async def test_what_it_prints_can_be_typed_and_a_line_is_a_text_message(tmp_path: Path) -> None:
    port = free_port()
    async with network(f"http://127.0.0.1:{port}", tmp_path) as phone:
        token = await heard(phone, "printf")
        made = await asyncio.create_subprocess_shell(token.strip(), cwd=tmp_path)
        assert await made.wait() == 0
        *_, option, account = shlex.split(await heard(phone, "gateway serve"))
        assert option == "--set"
        assert phone.stdin is not None
        phone.stdin.write(b"Is anybody there?\n")
        assert "nobody answers" in await heard(phone, "not taken")
        settings = ("smtp.port=0", ROOM, f"http.port={port}", account, "outbox.chat_acknowledgement_delay=0s")
        async with running(tmp_path / "var", settings) as desk:
            phone.stdin.write("Не работает интернет\n".encode())
            line = await heard(phone, "+380440000001 -> +380670000001: ")
            assert str(desk.store.one("SELECT number FROM ticket")) in line
        phone.stdin.write(b"\n")
        assert await asyncio.wait_for(phone.wait(), ANSWERED) == 0
