"""A mailbox is read by one node at a time, and another takes it over."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.mailboxes.desk import letter
from tests.nodes.nodes import Node, until
from tests.postgres import Server
from tests.services.dovecot import dovecot

LEASE = "mail/support imap"
pytestmark = [pytest.mark.services("dovecot"), pytest.mark.xdist_group("nodes")]


def reader(server: Server, database: str, nodes: list[Node]) -> Node | None:
    """The node that reads the mailbox now."""
    now = "SELECT owner FROM lease WHERE name = 'mail/support imap' AND until > extract(epoch FROM now()) * 1000000"
    owners = [str(row[0]).split(":")[1] for row in server.run(now, database)]
    found = [node for node in nodes if node.process is not None and str(node.process.pid) in owners]
    return found[0] if found else None


async def readers(server: Server, database: str, nodes: list[Node]) -> tuple[Node, Node]:
    """The node that reads the mailbox, and the other."""
    await until(lambda: reader(server, database, nodes) is not None)
    reads = reader(server, database, nodes)
    first, second = nodes if reads is nodes[0] else nodes[::-1]
    return first, second


async def test_one_node_reads_it_and_another_takes_over_from_one_that_stands_still_or_dies(
    server: Server, database: str, tmp_path: Path
) -> None:
    def tickets() -> int:
        return int(str(server.run("SELECT count(*) FROM ticket", database)[0][0]))

    with dovecot() as box:
        imap = {
            "host": "127.0.0.1", "port": box.imap, "tls": "none", "user": "support", "retry": "0s", "poll": "1s",
            "password": f"file:{box.secret}", "existing": "all",
        }  # fmt: skip
        settings = ("database.lease=6s", f"channels.mail.support.imap={json.dumps(imap)}")
        nodes = [Node(tmp_path / name, server.url(database), settings) for name in "ab"]
        try:
            for node in nodes:
                await node.start()
            box.append(letter(1))
            await until(lambda: tickets() == 1)
            await until(lambda: _sessions(box.root) == 1)
            first, second = await readers(server, database, nodes)
            first.signal(signal.SIGSTOP)
            await until(lambda: reader(server, database, nodes) is second)
            box.append(letter(2))
            await until(lambda: tickets() == 2)

            # The first finds that it was replaced, and ends its connection.
            first.signal(signal.SIGCONT)
            box.append(letter(3))
            await until(lambda: tickets() == 3)
            await until(lambda: _sessions(box.root) == 1)

            dying, left = await readers(server, database, nodes)
            await dying.kill()
            await until(lambda: reader(server, database, nodes) is left)
            box.append(letter(4))
            await until(lambda: tickets() == 4)
            await left.stop()
            assert reader(server, database, nodes) is None, "given back at the stop"
        finally:
            for node in nodes:
                await node.kill()
        assert server.run("SELECT count(*), count(DISTINCT sha256) FROM entry", database) == [(4, 4)]
        assert server.run("SELECT count(*) FROM outbox WHERE template = 'acknowledgement'", database) == [(4,)]


def _sessions(root: Path) -> int:
    """Processes of the server that serve somebody who is logged in."""
    found = 0
    for stat in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = stat.read_bytes().split(b"\0")[0]
            parent = stat.with_name("status").read_text().partition("PPid:\t")[2].split()[0]
            config = Path(f"/proc/{parent}/cmdline").read_bytes()
        except (OSError, IndexError):
            continue
        found += command.endswith(b"dovecot/imap") and str(root).encode() in config
    return found
