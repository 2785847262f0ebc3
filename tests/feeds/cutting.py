"""A way to a database that is cut at a COMMIT: before the server got it, or before the client got the answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from gateway.feeds.sql_table_engine import parsed

_COMMIT = re.compile(rb"COMMIT(?!TED)")


@dataclass(slots=True)
class Cutter:
    """Passes bytes on, until it is told to cut the first transaction that writes."""

    host: str
    port: int
    cut: Literal["before", "after"] | None = None
    cuts: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        far_reader, far_writer = await asyncio.open_connection(self.host, self.port)
        self._open |= {writer, far_writer}
        back = asyncio.create_task(self._back(far_reader, writer))
        wrote = False
        try:
            while data := await reader.read(65536):
                wrote = wrote or b"INSERT" in data or b"UPDATE" in data
                if self.cut is not None and wrote and _COMMIT.search(data):
                    how, self.cut = self.cut, None
                    self.cuts += 1
                    if how == "after":
                        back.cancel()
                        await asyncio.gather(back, return_exceptions=True)
                        far_writer.write(data)
                        await far_writer.drain()
                        await far_reader.read(1)  # it answers, so it is done
                    return
                far_writer.write(data)
                await far_writer.drain()
        finally:
            back.cancel()
            for each in (writer, far_writer):
                each.close()
                self._open.discard(each)

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    def stop(self) -> None:
        """Cut all."""
        for each in self._open:
            each.transport.abort()


@asynccontextmanager
async def cutter(url: str) -> AsyncIterator[tuple[Cutter, str]]:
    """(the way, the URL that goes along it)."""
    found = parsed(url)
    assert found.host is not None and found.port is not None
    way = Cutter(found.host, found.port)
    server = await asyncio.start_server(way.serve, "127.0.0.1", 0)
    own = server.sockets[0].getsockname()[1]
    try:
        yield way, found.set(host="127.0.0.1", port=own).render_as_string(hide_password=False)
    finally:
        server.close()
        way.stop()
        await server.wait_closed()
