"""A server in this process that leaves no connection behind: an open one is a warning in whichever test is next."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast


@asynccontextmanager
async def listening(
    make: Callable[[], asyncio.Protocol], port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Yields the port of 127.0.0.1, a free one where none is named; at the end every connection is dropped.

    `Server.wait_closed` waits for none of them (CPython 3.11), and within TLS `close` waits for who may be gone.
    """
    transports: list[asyncio.BaseTransport] = []

    def made() -> asyncio.Protocol:
        protocol = make()
        begin = protocol.connection_made

        def connection_made(transport: asyncio.BaseTransport) -> None:
            transports.append(transport)
            begin(transport)

        protocol.connection_made = connection_made  # type: ignore[method-assign]
        return protocol

    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", port, ssl=tls)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for transport in transports:
            cast(asyncio.WriteTransport, transport).abort()
        await asyncio.sleep(0)  # now they are closed
