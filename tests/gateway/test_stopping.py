"""`gateway serve` stopped by SIGTERM in the middle of its work: nothing lost or doubled, and nobody in its log."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from email import message_from_bytes
from functools import partial
from operator import le
from pathlib import Path

import pytest

from tests.chaos.senders import Record, send_all
from tests.chaos.test_kill import query, settled, verify
from tests.gateway.patience import PATIENCE, seen

ROOT = Path(__file__).parents[2]
STOPS = 2
SENDERS = 6
OPTIONS = (
    "smtp.port=0", "http.port=0", "workers.count=1", "log.level=debug",
    "caps.per_account_minute=1000000", "caps.per_address_minute=1000000", "caps.per_address_day=1000000",
)  # fmt: skip


async def started(var: Path) -> tuple[asyncio.subprocess.Process, int]:
    """The command on free ports and the port of SMTP; what it logs goes to `log`."""
    listening = var / "listening.json"
    with (var / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "serve", "--var", str(var), *(f"--set={option}" for option in OPTIONS),
            stdout=log, stderr=log, cwd=ROOT, start_new_session=True,
        )  # fmt: skip

    def look() -> tuple[bool, int | None, str]:
        return listening.exists(), process.returncode, (var / "log").read_text()[-3000:]

    listens, code, log_ = await seen(look, lambda found: found[0] or found[1] is not None, "listening.json")
    assert listens, (code, log_)
    return process, int(json.loads(listening.read_text())["smtp"].rpartition(":")[2])


@pytest.mark.timeout(900)
async def test_sigterm_in_the_middle_of_work_loses_and_doubles_nothing(tmp_path: Path) -> None:
    record, done, port = Record(), asyncio.Event(), None
    senders = [
        asyncio.create_task(send_all(lambda: port, number, number, record, done, 1_000)) for number in range(SENDERS)
    ]
    process = None
    try:
        for stop in range(STOPS):
            process, port = await started(tmp_path)
            enough = len(record.acknowledged) + 12 * (stop + 1)
            await seen(lambda: len(record.acknowledged), partial(le, enough), f"{enough} acknowledged")
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE):
                assert await process.wait() == 0, (tmp_path / "log").read_text()[-3000:]
            assert not (tmp_path / "listening.json").exists()
            assert query(tmp_path, "SELECT count(*) FROM outbox WHERE state = 'sending'") == [(0,)]
        process, port = await started(tmp_path)
        done.set()
        await asyncio.wait_for(asyncio.gather(*senders), PATIENCE)
        await settled(tmp_path)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0
    finally:
        done.set()
        for task in senders:
            task.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        if process is not None and process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    verify(tmp_path, record)
    # A stop in order leaves no send unknown: every ticket has its acknowledgement, and has it once.
    answered = Counter(
        str(message_from_bytes(path.read_bytes())["In-Reply-To"]).strip("<> ")
        for path in (tmp_path / "outgoing").glob("*.eml")
    )
    assert answered == Counter(record.acknowledged.values())
    print(f"\n{STOPS} stops: {len(record.acknowledged)} acknowledged, {record.drops} tries failed")
    private((tmp_path / "log").read_text(), (tmp_path / "token").read_text().strip())


def private(log: str, token: str) -> None:
    """A whole run with mail, tickets and notices has written of nobody, and nothing that opens anything."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert len(lines) > 20, "the run logged too little to mean anything"
    for event in ("accepted", "filed", "settled"):
        found = [line for line in lines if line["event"] == event]
        assert found, event
        assert all("entry" in line or "outbox" in line for line in found)
    for words in ("@client.example", "Client ", "request ", "Сервер", token):
        assert not [line for line in log.splitlines() if line.startswith("{") and words in line], words
