"""The end of the site: nobody who was let in at the last moment is left waiting on a connection that nobody has."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web

from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.web.application import open_site
from gateway.web.closing import close
from gateway.web.short_way import ShortWay
from tests.gateway.conftest import FrozenClock
from tests.gateway.staffed import Site, served

pytestmark = pytest.mark.sqlite


@pytest.fixture
async def used(db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path) -> Site:
    """The services of a site; itself it is closed."""
    async with served(db, blobs, clock, tmp_path) as running:
        return running


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("turns", range(6))
async def test_who_connects_in_the_last_turn_of_the_loop_is_hung_up_on(used: Site, turns: int, short: bool) -> None:
    runner = await open_site(used.services)
    port = socket.create_server(("127.0.0.1", 0))
    await (ShortWay(runner, used.services, port) if short else web.SockSite(runner, port)).start()
    with socket.create_connection(port.getsockname(), 90) as late:
        for _ in range(turns):
            await asyncio.sleep(0)
        await close(runner, port)
        with suppress(ConnectionResetError):  # who was never let in
            assert await asyncio.to_thread(late.recv, 1) == b""
