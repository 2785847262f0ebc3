"""What stands before the gateway: one address, whatever port the gateway has after its next start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

PIECE = 64 * 1024


class Door:
    """Connections go to the gateway; while there is none they wait, or are cut."""

    def __init__(self) -> None:
        self.url = ""
        self.patient = True
        """Whether who comes while nobody is there waits."""
        self._port = 0
        self._open = asyncio.Event()

    def leads_to(self, site: str) -> None:
        """The gateway is there."""
        self._port = int(site.rpartition(":")[2])
        self._open.set()

    def shut(self) -> None:
        """The gateway is gone."""
        self._open.clear()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Door]:
        server = await asyncio.start_server(self._through, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()

    async def _inside(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection to the gateway; None: nobody is there, and nobody waits."""
        while True:
            if self.patient:
                await self._open.wait()
            port = self._port
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                if not self.patient:
                    return None
                if port == self._port:
                    self.shut()  # It died and nobody has seen it yet.

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside = await self._inside()
        if inside is None:
            writer.close()
            return
        there, back = inside
        ways = [asyncio.create_task(_flow(reader, back)), asyncio.create_task(_flow(there, writer))]
        try:
            # When one side has nothing more to say, the exchange is over: each request has its own connection.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for side in (writer, back):
                side.close()
                with suppress(OSError):
                    await side.wait_closed()


async def _flow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
