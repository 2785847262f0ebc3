"""SIGKILL at random moments and at named points: what was acknowledged is there, once, and answered at most once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from email import message_from_bytes
from pathlib import Path

import pytest

from gateway.store.failpoints import NAMES
from tests import ready
from tests.chaos.senders import Record, send_all

HERE = Path(__file__).parent
CONFIG = HERE.parent.parent / "config"
SENDERS = 8
ENOUGH = 20
"""Messages below which the test would mean nothing."""
PATIENCE, LONGEST = 90.0, 240.0
"""Seconds: for what comes within a few, and for what comes within a minute, unless the machine stands still."""
PER_ROUND = 2.5
"""Seconds that a round of sending lasts at most before the gateway is killed."""


class Server:
    """The gateway in a process group of its own, started and killed again and again."""

    def __init__(self, var: Path, environment: Mapping[str, str] | None = None) -> None:
        """`environment`: added to ours."""
        self.var, self.environment = var, {**os.environ, **(environment or {})}
        self.process: ready.Process | None = None
        self.port: int | None = None
        """Of SMTP."""
        self.site = ""
        """Where its web server listens."""

    async def start(self, *failpoint: str) -> None:
        listening = self.var / "listening.json"
        listening.unlink(missing_ok=True)
        with (self.var / "server.log").open("ab") as log:
            self.process = ready.process(
                str(HERE / "server.py"), str(CONFIG), str(self.var), *failpoint,
                stdout=log, stderr=log, start_new_session=True, env=self.environment,
            )  # fmt: skip
        ends = time.monotonic() + PATIENCE
        while not listening.exists():
            if self.process.returncode is not None:
                # Killed by its own fail point while it was starting: the next start must manage.
                assert failpoint and self.process.returncode == -signal.SIGKILL, self.log()
                return
            assert time.monotonic() < ends, f"it does not listen: {self.log()}"
            await asyncio.sleep(0.02)
        found = json.loads(listening.read_text())
        self.port, self.site = int(found["smtp"].rpartition(":")[2]), f"http://{found['http']}"

    async def kill(self) -> None:
        assert self.process is not None
        self.port = None
        if self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> None:
        assert self.process is not None
        self.port = None
        self.process.terminate()
        try:
            code = await asyncio.wait_for(self.process.wait(), PATIENCE)
        except TimeoutError:
            raise AssertionError(f"it does not end: {self.log()}") from None
        assert code == 0, self.log()

    def log(self) -> str:
        return (self.var / "server.log").read_text()[-4000:]


def query(var: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(var / "gateway.db")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


async def settled(var: Path) -> None:
    """Everything is filed and every notice has gone out."""
    entries = "SELECT id, format, error FROM entry WHERE state = 'pending' LIMIT 5"
    notices = (
        "SELECT id, channel, kind, state, attempts, due_at, detail FROM outbox WHERE state IN ('waiting', 'sending')"
        " LIMIT 5"
    )
    ends = time.monotonic() + LONGEST
    while (rest := [*query(var, entries), *query(var, notices)]) and time.monotonic() < ends:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    assert not rest, rest


@pytest.mark.timeout(1200)
async def test_nothing_acknowledged_is_lost_or_doubled(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    kills: int = request.config.getoption("--kills")
    chance = random.Random(20261122)
    server, record, done = Server(tmp_path), Record(), asyncio.Event()
    senders = [
        asyncio.create_task(send_all(lambda: server.port, number, chance.getrandbits(32), record, done, 10_000))
        for number in range(SENDERS)
    ]
    points = list(NAMES)
    chance.shuffle(points)
    try:
        for kill in range(kills):
            # Every other end is a kill at a named point; the rest come at a random moment, some of them by SIGTERM.
            failpoint = (points[kill // 2 % len(points)], str(chance.randrange(1, 30))) if kill % 2 else ()
            await server.start(*failpoint)
            assert server.process is not None
            try:
                await asyncio.wait_for(server.process.wait(), chance.uniform(0.2, PER_ROUND))
            except TimeoutError:
                await (server.stop() if kill % 4 == 2 else server.kill())
        await server.start()
        ends = time.monotonic() + LONGEST
        while len(record.acknowledged) <= ENOUGH:
            assert time.monotonic() < ends, f"{len(record.acknowledged)} taken: {server.log()}"
            await asyncio.sleep(0.05)
        done.set()
        await asyncio.wait_for(asyncio.gather(*senders), LONGEST)
        await settled(tmp_path)
        await server.stop()
    finally:
        done.set()
        for task in senders:
            task.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        if server.process is not None and server.process.returncode is None:
            await server.kill()
    verify(tmp_path, record)
    print(f"\n{kills} kills: {len(record.acknowledged)} acknowledged, {record.drops} tries failed, 0 lost, 0 doubled")


def verify(var: Path, record: Record) -> None:
    assert len(record.acknowledged) > ENOUGH, "the test sent too little to mean anything"
    journal = Counter(row[0] for row in query(var, "SELECT sha256 FROM entry"))
    filed = Counter(row[0] for row in query(var, "SELECT sha256 FROM message WHERE direction = 'in' AND current"))
    tickets = query(var, "SELECT entry_id, count(*) FROM ticket GROUP BY entry_id HAVING count(*) > 1")
    quarantined = query(var, "SELECT id, error FROM entry WHERE state = 'quarantined'")
    assert not quarantined, quarantined
    lost = [sha for sha in record.acknowledged if journal[sha] != 1 or filed[sha] != 1]
    assert not lost, f"{len(lost)} of {len(record.acknowledged)}: {[(journal[s], filed[s]) for s in lost[:5]]}"
    assert not tickets, f"an entry opened two tickets: {tickets}"
    sent = Counter(
        str(message_from_bytes(path.read_bytes())["In-Reply-To"]).strip("<> ") for path in var.glob("outgoing/*.eml")
    )
    doubled = {message_id: count for message_id, count in sent.items() if count > 1}
    assert not doubled, f"acknowledged twice: {doubled}"
    assert set(sent) <= set(row[0] for row in query(var, "SELECT external_id FROM entry"))
