"""Two real nodes at one PostgreSQL: threads race, an owner freezes, a node dies."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.senders import Record, send_all
from tests.nodes.nodes import (
    FROZEN,
    Node,
    bytes_are_there,
    deliver,
    far_side,
    mail,
    reply,
    run_out,
    settled,
    stood_still,
    until,
)
from tests.postgres import Server

PAIRS = 200
AT_ONCE = 20


@pytest.mark.xdist_group("nodes")
async def test_two_hundred_simultaneous_pairs_are_one_ticket_each(
    server: Server, database: str, tmp_path: Path
) -> None:
    async with far_side() as far:
        relay = f"channels.mail.support.relay={{host: 127.0.0.1, port: {far.port}, tls: none}}"
        nodes = [Node(tmp_path / name, server.url(database), (relay,)) for name in ("a", "b")]
        free = asyncio.Semaphore(AT_ONCE)

        async def pair(number: int) -> list[bool]:
            first, second = nodes if number % 2 else nodes[::-1]
            assert first.smtp and second.smtp
            root, reply = f"root-{number}@client.example", f"reply-{number}@client.example"
            async with free:
                return await asyncio.gather(
                    deliver(first.smtp, f"a{number}@client.example", mail(f"a{number}@client.example", root)),
                    deliver(
                        second.smtp,
                        f"b{number}@client.example",
                        mail(f"b{number}@client.example", reply, subject="Re: The printer", reply_to=root),
                    ),
                )

        try:
            await asyncio.gather(*(node.start() for node in nodes))
            answers = await asyncio.gather(*(pair(number) for number in range(PAIRS)))
            assert all(all(answer) for answer in answers)
            await settled(server, database)
            for node in nodes:
                await node.stop()
        finally:
            for node in nodes:
                await node.kill()
        assert server.run("SELECT count(*) FROM entry WHERE state = 'done'", database) == [(2 * PAIRS,)]
        assert server.run("SELECT count(*) FROM ticket", database) == [(PAIRS,)]
        per_ticket = "SELECT count(*) FROM message WHERE direction = 'in' AND current GROUP BY ticket_id"
        assert Counter(server.run(per_ticket, database)) == {(2,): PAIRS}
        owners = server.run("SELECT count(DISTINCT owner) FROM outbox WHERE state = 'sent'", database)
        assert owners == [(2,)], "both nodes sent"
        answered = Counter(far.header("In-Reply-To"))
        assert max(answered.values()) == 1
        assert server.run("SELECT count(*) FROM outbox WHERE state = 'sent'", database) == [(len(far.mails),)]


@pytest.mark.xdist_group("nodes")
async def test_a_frozen_owner_is_taken_over_and_its_results_are_refused(
    server: Server, database: str, tmp_path: Path
) -> None:
    async with far_side() as far:
        relay = f"channels.mail.support.relay={{host: 127.0.0.1, port: {far.port}, tls: none}}"
        frozen, other = (Node(tmp_path / name, server.url(database), (relay, *FROZEN)) for name in ("a", "b"))
        try:
            # The acknowledgement goes out; the answer of a person is claimed, then the node stands still.
            await frozen.start("sending-committed", 2, "SIGSTOP")
            assert frozen.smtp
            assert await deliver(frozen.smtp, "a@client.example", mail("a@client.example", "root@client.example"))
            await settled(server, database)
            assert len(far.mails) == 1
            number = server.run("SELECT number FROM ticket", database)[0][0]
            await reply(frozen, str(number))
            await frozen.state("T")
            owner = "SELECT owner, state FROM outbox WHERE kind = 'reply'"
            before = server.run(owner, database)
            assert before[0][1] == "sending"

            await stood_still(server, database, frozen)
            await other.start()
            await settled(server, database)
            after = server.run(owner, database)
            assert after[0][1] == "sent" and after[0][0] != before[0][0]
            assert len(far.mails) == 2, "the other node has sent it"

            frozen.signal(signal.SIGCONT)
            await until(lambda: "settled by another" in frozen.log(), instead=frozen.log)
            assert server.run(owner, database) == after, "the late result changed nothing"
            assert len(far.mails) == 2, "the frozen node sent nothing once its lease was over"

            # It is a node like any other again.
            assert await deliver(frozen.smtp, "c@client.example", mail("c@client.example", "new@client.example"))
            await settled(server, database)
            assert len(far.mails) == 3
            await frozen.stop()
            await other.stop()
        finally:
            await frozen.kill()
            await other.kill()


@pytest.mark.xdist_group("nodes")
async def test_an_acknowledgement_that_a_frozen_node_had_claimed_is_sent_by_nobody_twice(
    server: Server, database: str, tmp_path: Path
) -> None:
    async with far_side() as far:
        relay = f"channels.mail.support.relay={{host: 127.0.0.1, port: {far.port}, tls: none}}"
        frozen, other = (Node(tmp_path / name, server.url(database), (relay, *FROZEN)) for name in ("a", "b"))
        try:
            # Sent, and frozen before the result was written down.
            await frozen.start("sent-unsettled", 1, "SIGSTOP")
            assert frozen.smtp
            assert await deliver(frozen.smtp, "a@client.example", mail("a@client.example", "root@client.example"))
            await frozen.state("T")
            await stood_still(server, database, frozen)
            await other.start()
            await settled(server, database)
            assert server.run("SELECT state FROM outbox WHERE kind = 'acknowledgement'", database) == [("unknown",)]
            frozen.signal(signal.SIGCONT)
            await until(lambda: "settled by another" in frozen.log(), instead=frozen.log)
            assert server.run("SELECT state FROM outbox WHERE kind = 'acknowledgement'", database) == [("unknown",)]
            assert len(far.mails) == 1
            await frozen.stop()
            await other.stop()
        finally:
            await frozen.kill()
            await other.kill()


@pytest.mark.xdist_group("nodes")
async def test_a_node_that_dies_under_load_loses_and_doubles_nothing(
    server: Server, database: str, tmp_path: Path
) -> None:
    async with far_side() as far:
        relay = f"channels.mail.support.relay={{host: 127.0.0.1, port: {far.port}, tls: none}}"
        dying, other = (Node(tmp_path / name, server.url(database), (relay,)) for name in ("a", "b"))
        record, done, chance = Record(), asyncio.Event(), random.Random(20261122)
        try:
            await asyncio.gather(dying.start(), other.start())
            ports = (lambda: dying.smtp or other.smtp, lambda: other.smtp)
            senders = [
                asyncio.create_task(send_all(ports[n % 2], n, chance.getrandbits(32), record, done, 10_000))
                for n in range(4)
            ]
            await until(lambda: len(record.acknowledged) >= 80)
            await dying.kill()
            run_out(server, database, dying)
            at_death = len(record.acknowledged)
            await until(lambda: len(record.acknowledged) >= at_death + 60)
            done.set()
            await asyncio.gather(*senders)
            await settled(server, database)
            await other.stop()
        finally:
            done.set()
            await dying.kill()
            await other.kill()
        journal = Counter(row[0] for row in server.run("SELECT sha256 FROM entry", database))
        current = "SELECT sha256 FROM message WHERE direction = 'in' AND current"
        filed = Counter(row[0] for row in server.run(current, database))
        lost = [sha for sha in record.acknowledged if journal[sha] != 1 or filed[sha] != 1]
        assert not lost, f"{len(lost)} of {len(record.acknowledged)}"
        assert not server.run("SELECT id FROM entry WHERE state = 'quarantined'", database)
        assert not server.run("SELECT entry_id FROM ticket GROUP BY entry_id HAVING count(*) > 1", database)
        bytes_are_there(server, database, set(record.acknowledged))
        answered = Counter(far.header("In-Reply-To"))
        assert max(answered.values()) == 1, "somebody was answered twice"
        states = Counter(server.run("SELECT state FROM outbox", database))
        assert set(states) <= {("sent",), ("unknown",)}, states
        print(f"{at_death} before, {len(record.acknowledged)} in all; {dict(states)}")
