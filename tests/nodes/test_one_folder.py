"""A data folder has one server, whatever the database: the spool and `listening.json` are in it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.gateway.cli.running import gateway
from tests.nodes.nodes import Node
from tests.postgres import Server


@pytest.mark.xdist_group("nodes")
async def test_a_second_server_in_the_same_folder_is_refused_and_harms_nothing(
    server: Server, database: str, tmp_path: Path
) -> None:
    node = Node(tmp_path / "a", server.url(database))
    try:
        await node.start()
        listening = (node.var / "listening.json").read_text()
        words = ("smtp.port=0", "http.port=0", f"database.url={node.url}", f"secret_key=file:{tmp_path / 'key'}")
        refused = await asyncio.to_thread(gateway, "serve", *(f"--set={word}" for word in words), var=node.var, code=1)
        assert "already serves from" in refused.stderr
        assert (node.var / "listening.json").read_text() == listening
        await node.stop()
    finally:
        await node.kill()
