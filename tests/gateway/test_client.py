"""The commands' client: a broken connection is tried again, and the act still happens once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.client import Client, ClientError, Refused
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from tests.gateway.conftest import FrozenClock
from tests.gateway.staffed import Site, count, served


@pytest.fixture
async def site(db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path) -> AsyncIterator[Site]:
    async with served(db, blobs, clock, tmp_path) as running:
        yield running


@asynccontextmanager
async def losing_answers(site: Site, times: int) -> AsyncIterator[str]:
    """A way to the site on which the first answers are lost after the site has given them."""
    host, port = site.url.removeprefix("http://").split(":")
    left = times

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        body = await reader.readexactly(length)
        there, back = await asyncio.open_connection(host, int(port))
        back.write(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + body)
        answer = await there.read()
        back.close()
        if left:
            left -= 1
        else:
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    try:
        address = server.sockets[0].getsockname()
        yield f"http://{address[0]}:{address[1]}"
    finally:
        server.close()
        await server.wait_closed()


async def test_a_lost_answer_is_asked_for_again_and_the_act_happens_once(site: Site) -> None:
    ticket, token = await site.ticket(), await site.token()
    async with losing_answers(site, 2) as url:
        client = Client(url, token, pause=lambda seconds: None)
        state = await asyncio.to_thread(client.post, f"/tickets/{ticket}/reply", {"text": "hello"})
    assert state["status"] == "open"
    assert await site.db.read(lambda conn: count(conn, "message")) == 1


async def test_it_gives_up_after_three_tries_and_says_so(site: Site) -> None:
    token = await site.token()
    async with losing_answers(site, 3) as url:
        with pytest.raises(ClientError, match="gateway serve"):
            await asyncio.to_thread(Client(url, token, pause=lambda seconds: None).get, "/tickets")


async def test_what_is_refused_is_not_tried_again(site: Site) -> None:
    token, asked = await site.token(), []
    client = Client(site.url, token, pause=asked.append)
    with pytest.raises(Refused, match="limit"):
        await asyncio.to_thread(client.get, "/tickets", limit=0)
    assert asked == []


async def test_it_is_found_by_the_files_of_the_server(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ClientError, match="gateway serve"):
        Client.find(tmp_path)
    (tmp_path / "listening.json").write_text(json.dumps({"http": site.url.removeprefix("http://")}), encoding="utf-8")
    with pytest.raises(ClientError, match="no token"):
        Client.find(tmp_path)
    (tmp_path / "token").write_text(await site.token(), encoding="ascii")
    monkeypatch.setenv("MY_TOKEN", await site.token(("read",)))
    for token in ("", f"file:{tmp_path / 'token'}", "env:MY_TOKEN", await site.token(("read",))):
        found = await asyncio.to_thread(Client.find(tmp_path, token=token).get, "/tickets")
        assert found == {"items": [], "next_cursor": None}
    (tmp_path / "listening.json").write_text("{", encoding="utf-8")
    with pytest.raises(ClientError, match="restart"):
        Client.find(tmp_path)


async def test_something_else_on_the_port_is_named(tmp_path: Path) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(other, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    with pytest.raises(ClientError, match="not the gateway"):
        await asyncio.to_thread(Client(f"http://{host}:{port}", "gw_x").get, "/tickets")
    server.close()
    await server.wait_closed()
