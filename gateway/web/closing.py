"""The end of a site: whoever was let in last is hung up on as all others are."""

from __future__ import annotations

import asyncio
import socket

from aiohttp import web


async def close(runner: web.AppRunner, *ports: socket.socket) -> None:
    """Let nobody more in at the `ports` that its sites listen on, let requests under way end, close every connection.

    Where asyncio closes a port while it makes a connection of what it has accepted, that connection is nobody's and
    stays open (CPython 3.11: `Server._attach` fails after `Server.close`). So the port is only left alone at first.
    """
    loop = asyncio.get_running_loop()
    for port in ports:
        if port.fileno() >= 0:
            loop.remove_reader(port)
    # What was accepted last becomes a connection within these turns of the loop.
    for _ in range(3):
        await asyncio.sleep(0)
    await runner.cleanup()
