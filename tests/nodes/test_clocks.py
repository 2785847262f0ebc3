"""Nodes whose clocks are hours apart: who may do what goes by the database's clock, and so does what is due."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from tests.nodes.nodes import Node, deliver, far_side, mail, reply, run_out, settled, until
from tests.postgres import Server

pytestmark = pytest.mark.xdist_group("nodes")
LEFT = "SELECT max(until) / 1000000 - extract(epoch FROM now()), min(until) / 1000000 - extract(epoch FROM now())"


@pytest.mark.parametrize("hours", [6, -6])
async def test_a_node_with_a_wrong_clock_takes_nothing_from_the_living_and_all_from_the_dead(
    server: Server, database: str, tmp_path: Path, hours: int
) -> None:
    async with far_side() as far:
        relay = f"channels.mail.support.relay={{host: 127.0.0.1, port: {far.port}, tls: none}}"
        right = Node(tmp_path / "right", server.url(database), (relay,))
        wrong = Node(tmp_path / "wrong", server.url(database), (relay,), ahead=timedelta(hours=hours))
        alerts = "SELECT owner FROM lease WHERE name = 'alerts'"
        try:
            await right.start()
            await until(lambda: bool(server.run(alerts, database)))
            owner = server.run(alerts, database)
            await wrong.start()
            for number, node in enumerate([right, wrong] * 3):
                assert node.smtp
                sender = f"c{number}@client.example"
                assert await deliver(node.smtp, sender, mail(sender, f"{number}@client.example"))
            await settled(server, database)
            assert len(far.mails) == 6
            ((most, least),) = server.run(f"{LEFT} FROM lease WHERE name LIKE 'node:%'", database)
            assert -60 < float(str(least)) <= float(str(most)) <= 15, "as long as a lease is, by the database's clock"
            assert server.run(alerts, database) == owner, "a living node's lease stays its own"
            told = "SELECT trouble ->> 'clock' FROM lease WHERE name LIKE 'node:%' AND trouble IS NOT NULL"
            await until(lambda: any("set it" in str(row[0]) for row in server.run(told, database)))

            # The right one dies while it says something to somebody; what it has not sent is the other's.
            far.held = held = asyncio.Event()
            number = str(server.run("SELECT number FROM ticket ORDER BY id", database)[0][0])
            asked = far.asked
            await reply(right, number)
            await until(lambda: far.asked > asked)
            sender = server.run("SELECT owner FROM outbox WHERE kind = 'reply'", database)[0][0]
            dying, other = (right, wrong) if str(right.pid) in str(sender).split(":") else (wrong, right)
            dying.signal(signal.SIGSTOP)
            await dying.state("T")
            run_out(server, database, dying)
            far.held = None
            await settled(server, database)
            ((state, now),) = server.run("SELECT state, owner FROM outbox WHERE kind = 'reply'", database)
            assert state == "sent" and now != sender
            await dying.kill()
            held.set()
            await until(lambda: server.run(alerts, database) != owner or other is right)
            await other.stop()
        finally:
            await right.kill()
            await wrong.kill()
        assert max(Counter(far.header("In-Reply-To")).values()) <= 2, "the acknowledgement, and the person's answer"


@pytest.mark.parametrize("hours", [6, -6])
async def test_what_a_dead_node_had_yet_to_say_is_said_soon(
    server: Server, database: str, tmp_path: Path, hours: int
) -> None:
    """It was put down as due by a clock that was `hours` ahead of that of the node that is left."""
    async with far_side() as far:
        relay = f"channels.mail.support.relay={{host: 127.0.0.1, port: {far.port}, tls: none}}"
        clocks = (hours, 0) if hours > 0 else (0, hours)
        dying, other = (
            Node(tmp_path / name, server.url(database), (relay,), ahead=timedelta(hours=ahead))
            for name, ahead in zip("ab", clocks, strict=True)
        )
        try:
            await dying.start("sending-committed", 1, "SIGKILL")
            assert dying.smtp
            for sender in ("c1@client.example", "c2@client.example"):
                assert await deliver(dying.smtp, sender, mail(sender, f"of-{sender}"))
            await dying.ended()
            await other.start()
            run_out(server, database, dying)
            await settled(server, database)
            assert len(server.run("SELECT id FROM ticket", database)) == 2
            assert set(server.run("SELECT state FROM outbox", database)) <= {("sent",), ("unknown",)}
            assert "clock" in (dying if clocks[0] else other).log()
            await other.stop()
        finally:
            await dying.kill()
            await other.kill()
        assert len(far.mails) == server.run("SELECT count(*) FROM outbox WHERE state = 'sent'", database)[0][0]
