"""A node that stands still in the middle of a send, past its lease: the others go on, and it ends nothing twice."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.nodes.nodes import FarSide, Node, deliver, far_side, mail, reply, settled, until
from tests.postgres import Server

pytestmark = pytest.mark.xdist_group("nodes")


def two(far: FarSide, server: Server, database: str, folder: Path) -> tuple[Node, Node]:
    relay = f"channels.mail.support.relay={{host: 127.0.0.1, port: {far.port}, tls: none}}"
    return Node(folder / "a", server.url(database), (relay,)), Node(folder / "b", server.url(database), (relay,))


async def freeze_in_send(node: Node, far: FarSide, asked: int) -> None:
    """Stop the node when it has named its recipient and waits for the answer."""
    await until(lambda: far.asked == asked)
    node.signal(signal.SIGSTOP)
    await node.state("T")


async def test_an_acknowledgement_is_unknown_and_goes_out_once_at_most(
    server: Server, database: str, tmp_path: Path
) -> None:
    states = "SELECT state FROM outbox WHERE kind = 'acknowledgement'"
    async with far_side() as far:
        frozen, other = two(far, server, database, tmp_path)
        try:
            await frozen.start()
            far.held = asyncio.Event()
            assert frozen.smtp
            assert await deliver(frozen.smtp, "a@client.example", mail("a@client.example", "root@client.example"))
            await freeze_in_send(frozen, far, 1)
            await other.start()
            await settled(server, database)
            assert server.run(states, database) == [("unknown",)]
            # The far side answers at last, and the node wakes up with the answer before it.
            far.held.set()
            frozen.signal(signal.SIGCONT)
            await until(lambda: "settled by another" in frozen.log())
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
            far.held = held = asyncio.Event()
            number = str(server.run("SELECT number FROM ticket", database)[0][0])
            await reply(frozen, number)
            await freeze_in_send(frozen, far, 2)
            far.held = None
            await other.start()
            await settled(server, database)
            after = server.run(rows, database)
            assert after[0][0] == "sent"
            assert len(far.mails) == 2, "the other node has sent it"
            held.set()
            frozen.signal(signal.SIGCONT)
            await until(lambda: "settled by another" in frozen.log())
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
