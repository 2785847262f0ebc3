"""LISTEN: other nodes' commits wake this one. Without it every loop still looks by itself, only later."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
from psycopg import sql

from gateway.log import get_logger
from gateway.store.postgres import CHANNEL
from gateway.store.postgres_url import driver_url

LOOK = 0.5
"""Seconds between two looks at whether to end."""
PAUSE = 2.0
"""Seconds before the next try to connect."""

log = get_logger(__name__)


class Wakeups:
    """A thread with a connection of its own. `topics` is topic -> what to call, in the event loop."""

    def __init__(self, url: str, topics: Mapping[str, Callable[[], object]], loop: asyncio.AbstractEventLoop) -> None:
        self._conninfo = driver_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._topics, self._loop = topics, loop
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="db-wakeups", daemon=True)
        self.listening = threading.Event()
        """Set while the connection is there."""

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End. Blocks for up to `LOOK`."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        told = False
        while not self._stopping.is_set():
            try:
                self._listen()
            except psycopg.Error as error:
                if self.listening.is_set() or not told:
                    log.warning(
                        "other nodes are not heard at once until the database is back", error=type(error).__name__
                    )
                    told = True
                self.listening.clear()
                self._stopping.wait(PAUSE)

    def _listen(self) -> None:
        with self._connect() as conn:
            conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
            self.listening.set()
            for topic in self._topics:  # what was said while nobody listened
                self._call(topic)
            while not self._stopping.is_set():
                for notice in conn.notifies(timeout=LOOK):
                    self._call(notice.payload)

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._conninfo, autocommit=True, connect_timeout=10, keepalives_idle=10)

    def _call(self, topic: str) -> None:
        wanted = self._topics.get(topic)
        if wanted is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(wanted)
