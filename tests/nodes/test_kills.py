"""kill -9 of one of two nodes, again and again and in turn, under load: nothing is lost and nothing doubled."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.senders import Record, send_all
from tests.nodes.nodes import Node, bytes_are_there, far_side, run_out, settled, until
from tests.postgres import Server

KILLS = 8
EACH = 15
"""Messages that are taken in between two kills."""


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("nodes")
async def test_nodes_that_die_in_turn_lose_and_double_nothing(server: Server, database: str, tmp_path: Path) -> None:
    chance = random.Random(20261123)
    async with far_side() as far:
        relay = f"channels.mail.support.relay={{host: 127.0.0.1, port: {far.port}, tls: none}}"
        nodes = [Node(tmp_path / name, server.url(database), (relay,)) for name in ("a", "b")]
        record, done, room = Record(), asyncio.Event(), EACH

        def port(own: int) -> int | None:
            """Of the own node, of the other when that is dead; of none when enough is under way."""
            return nodes[own].smtp or nodes[1 - own].smtp if len(record.acknowledged) < room else None

        def taken() -> str:
            return f"{len(record.acknowledged)} taken, {record.drops} tries failed; {nodes[0].log()} {nodes[1].log()}"

        try:
            await asyncio.gather(*(node.start() for node in nodes))
            senders = [
                asyncio.create_task(
                    send_all(lambda own=n % 2: port(own), n, chance.getrandbits(32), record, done, 10_000)  # type: ignore[misc]
                )
                for n in range(4)
            ]
            for kill in range(KILLS):
                dying = nodes[kill % 2]
                before = len(record.acknowledged)
                room = before + 2 * EACH
                wanted = before + EACH // 2 + chance.randrange(EACH)
                await until(lambda wanted=wanted: len(record.acknowledged) >= wanted, instead=taken)  # type: ignore[misc]
                await dying.kill()
                run_out(server, database, dying)
                await until(lambda room=room: len(record.acknowledged) >= room, instead=taken)  # type: ignore[misc]
                await dying.start()
            done.set()
            room *= 2  # for what each of them is at
            await asyncio.gather(*senders)
            await settled(server, database)
            await asyncio.gather(*(node.stop() for node in nodes))
        finally:
            done.set()
            for node in nodes:
                await node.kill()
        journal = Counter(row[0] for row in server.run("SELECT sha256 FROM entry", database))
        current = "SELECT sha256 FROM message WHERE direction = 'in' AND current"
        filed = Counter(row[0] for row in server.run(current, database))
        lost = [sha for sha in record.acknowledged if journal[sha] != 1 or filed[sha] != 1]
        assert not lost, f"{len(lost)} of {len(record.acknowledged)}"
        assert max(journal.values()) == max(filed.values()) == 1
        assert server.run("SELECT count(*) FROM entry WHERE state <> 'done'", database) == [(0,)]
        assert not server.run("SELECT entry_id FROM ticket GROUP BY entry_id HAVING count(*) > 1", database)
        bytes_are_there(server, database, set(record.acknowledged))
        answered = Counter(far.header("In-Reply-To"))
        assert max(answered.values()) == 1, "somebody was answered twice"
        states = Counter(str(row[0]) for row in server.run("SELECT state FROM outbox", database))
        assert set(states) <= {"sent", "unknown"}, states
        assert states["sent"] <= len(far.mails) <= states.total()
        assert len(set(far.header("Message-ID"))) == len(far.mails)
        print(f"{KILLS} kills, {len(record.acknowledged)} acknowledged; {dict(states)}")
