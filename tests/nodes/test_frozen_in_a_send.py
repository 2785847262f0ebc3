"""A node that stands still in the middle of a send, past its lease: the others go on, and it ends nothing twice."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from tests.nodes.nodes import (
    FROZEN,
    PATIENCE,
    SEND,
    FarSide,
    Node,
    deliver,
    far_side,
    mail,
    reply,
    settled,
    stood_still,
    until,
)
from tests.postgres import Server

pytestmark = pytest.mark.xdist_group("nodes")


def two(far: FarSide, server: Server, database: str, folder: Path) -> tuple[Node, Node]:
    relay = f"channels.mail.support.relay={{host: 127.0.0.1, port: {far.port}, tls: none}}"
    frozen, other = (Node(folder / name, server.url(database), (relay, *FROZEN)) for name in "ab")
    return frozen, other


def freezes_in_its_next_send(node: Node, far: FarSide) -> asyncio.Event:
    """Let the node be stopped when it has named its recipient and waits for the answer, which comes after the event."""

    def stop() -> None:
        node.signal(signal.SIGSTOP)
        far.when_asked, far.held = lambda: None, None  # it holds this one, and no other

    held = asyncio.Event()
    far.held, far.when_asked = held, stop
    return held


async def test_an_acknowledgement_is_unknown_and_goes_out_once_at_most(
    server: Server, database: str, tmp_path: Path
) -> None:
    states = "SELECT state FROM outbox WHERE kind = 'acknowledgement'"
    async with far_side() as far:
        frozen, other = two(far, server, database, tmp_path)
        try:
            await frozen.start()
            held = freezes_in_its_next_send(frozen, far)
            assert frozen.smtp
            assert await deliver(frozen.smtp, "a@client.example", mail("a@client.example", "root@client.example"))
            await frozen.state("T")
            await stood_still(server, database, frozen)
            await other.start()
            await settled(server, database)
            assert server.run(states, database) == [("unknown",)]
            # The far side answers at last, and the node wakes up with the answer before it.
            held.set()
            frozen.signal(signal.SIGCONT)
            await until(lambda: "settled by another" in frozen.log(), instead=frozen.log)
            assert server.run(states, database) == [("unknown",)]
            await frozen.stop()
            await other.stop()
        finally:
            await frozen.kill()
            await other.kill()
        assert (len(far.mails), far.asked) in ((0, 1), (1, 1)), "nobody tried it again"


async def test_a_reply_is_sent_by_the_other_node_and_no_more_by_the_one_that_woke_up(
    server: Server, database: str, tmp_path: Path
) -> None:
    rows = "SELECT state, owner FROM outbox WHERE kind = 'reply'"
    async with far_side() as far:
        frozen, other = two(far, server, database, tmp_path)
        try:
            await frozen.start()
            assert frozen.smtp
            assert await deliver(frozen.smtp, "a@client.example", mail("a@client.example", "root@client.example"))
            await settled(server, database)
            assert (len(far.mails), far.asked) == (1, 1)
            held = freezes_in_its_next_send(frozen, far)
            number = str(server.run("SELECT number FROM ticket", database)[0][0])
            await reply(frozen, number)
            await frozen.state("T")
            stopped = time.monotonic()
            await stood_still(server, database, frozen)
            await other.start()
            await settled(server, database)
            after = server.run(rows, database)
            assert after[0][0] == "sent"
            assert len(far.mails) == 2, "the other node has sent it"
            await until(lambda: time.monotonic() > stopped + SEND, seconds=PATIENCE + SEND)
            held.set()
            frozen.signal(signal.SIGCONT)
            await until(lambda: "settled by another" in frozen.log(), instead=frozen.log)
            assert server.run(rows, database) == after, "the late result changed nothing"
            assert len(far.mails) == 2, "its time for this send was over when it woke up"
            # It is a node like any other again.
            assert await deliver(frozen.smtp, "c@client.example", mail("c@client.example", "new@client.example"))
            await settled(server, database)
            assert len(far.mails) == 3
            await frozen.stop()
            await other.stop()
        finally:
            await frozen.kill()
            await other.kill()
