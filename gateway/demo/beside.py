"""A server of the demo's own, in a thread beside it: the far side of a channel."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

from gateway.demo.desk import wait_for


@contextmanager
def beside(name: str, server: AbstractAsyncContextManager[Any]) -> Iterator[asyncio.AbstractEventLoop]:
    """Run the server in a thread until the end of the block; gives the loop that it belongs to."""
    loop = asyncio.new_event_loop()
    started, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with server:
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name=f"demo-{name}")
    thread.start()
    try:
        wait_for(f"the start of {name}", lambda: started.is_set() or None)
        yield loop
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
