"""One IMAP connection: what we ask of it, each call with an end, and the traps of the client library kept here.

imapclient 4.1: `fetch` of a range raises after the server has answered, so numbers are searched first and
fetched as lists; `idle_done` may wait for ever and `idle_check` returns at once on a dead socket.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from imapclient import IMAPClient, SocketTimeout

from channels.mail.imap_settings import Imap
from channels.mail.imap_watchdog import Watchdog

CONNECT_SECONDS = 15.0
CALL_SECONDS = 120.0
"""The longest time of a call without much data."""
FETCH_SECONDS = 600.0
IDLE_END_SECONDS = 20.0
WINDOW = 50_000
"""Numbers in one search: an answer must stay below the longest line that the library reads (1 MB)."""
FETCH_MANY = 200
"""Messages whose sizes are asked for at once."""
LEVELS = (b"EXISTS", b"RECENT", b"EXPUNGE", b"FETCH")


class ConnectionLost(Exception):
    """The server is gone, or says what makes no sense: a new connection is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What is asked of a message before its bytes."""

    uid: int
    size: int
    """Bytes as the server says; it may be wrong."""
    received_at: datetime
    """INTERNALDATE, in UTC."""


class Session:
    """A connection that is logged in."""

    def __init__(self, client: IMAPClient, watchdog: Watchdog) -> None:
        self._client = client
        self._watchdog = watchdog
        self.uidvalidity = 0
        self.count = 0
        """Messages in the folder when it was opened."""
        self.uidnext = 1
        """As the server said when the folder was opened: every message has a lower number."""

    @classmethod
    @contextmanager
    def open(cls, settings: Imap, watchdog: Watchdog, *, password: str, token: str) -> Iterator[Session]:
        """Connect and log in, with `token` (XOAUTH2) or `password`. Raises OSError or the library's errors."""
        context = ssl.create_default_context(cafile=str(settings.ca) if settings.ca else None)
        direct = settings.tls == "tls"
        client = IMAPClient(
            settings.host,
            port=settings.actual_port,
            ssl=direct,
            ssl_context=context if direct else None,
            timeout=SocketTimeout(connect=CONNECT_SECONDS, read=settings.timeout.total_seconds()),
        )
        client.normalise_times = False
        watchdog.watch(client.socket)
        try:
            client.socket().setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            with watchdog.within(CALL_SECONDS):
                if settings.tls == "starttls":
                    client.starttls(context)
                if token:
                    client.oauth2_login(settings.user, token)
                else:
                    client.login(settings.user, password)
            yield cls(client, watchdog)
        finally:
            watchdog.watch(None)
            # Not LOGOUT: it waits for a server that may be gone. Closing says the same.
            # A handshake that failed has taken the socket away: the reason is what counts.
            with suppress(OSError):
                client.shutdown()

    def select(self, folder: str, *, read_only: bool) -> None:
        """Open the folder (EXAMINE when `read_only`). Raises ConnectionLost when it has no UIDVALIDITY."""
        with self._watchdog.within(CALL_SECONDS):
            said = self._client.select_folder(folder, readonly=read_only)
            self.uidvalidity = int(said.get(b"UIDVALIDITY", 0))
            self.count = int(said.get(b"EXISTS", 0))
            # A server that does not tell: the number of the last message.
            last = [] if b"UIDNEXT" in said else self._client.search(["UID", "*"])
        if not self.uidvalidity:
            raise ConnectionLost("the server gives the folder no UIDVALIDITY")
        self.uidnext = int(said.get(b"UIDNEXT", max(last, default=0) + 1))

    def make_folder(self, folder: str) -> None:
        """Make the folder where it is missing."""
        with self._watchdog.within(CALL_SECONDS):
            if not self._client.folder_exists(folder):
                self._client.create_folder(folder)

    def folders(self) -> list[str]:
        """The names of all folders, in the server's order."""
        with self._watchdog.within(CALL_SECONDS):
            return [str(name) for _, _, name in self._client.list_folders()]

    def newest(self) -> int | None:
        """UID of the last message; None when the folder is empty."""
        with self._watchdog.within(CALL_SECONDS):
            found = self._client.search(["UID", "*"])
        return max(found, default=None)

    def above(self, last: int) -> list[int]:
        """UIDs above `last`, ascending. (`n:*` names the last message even when its number is lower.)"""
        with self._watchdog.within(CALL_SECONDS):
            found = self._client.search(["UID", f"{last + 1}:*"])
        return sorted(uid for uid in found if uid > last)

    def all(self) -> list[int]:
        """All UIDs of the folder, ascending."""
        highest = max(self.above(self.uidnext - 1), default=self.uidnext - 1)
        found: list[int] = []
        for start in range(1, highest + 1, WINDOW):
            with self._watchdog.within(CALL_SECONDS):
                found += self._client.search(["UID", f"{start}:{min(start + WINDOW - 1, highest)}"])
        return sorted(found)

    def sizes(self, uids: Sequence[int]) -> dict[int, Size]:
        """UID -> size and time; those that are not there (any more) are left out."""
        found: dict[int, Size] = {}
        for start in range(0, len(uids), FETCH_MANY):
            with self._watchdog.within(CALL_SECONDS):
                rows = self._client.fetch(list(uids[start : start + FETCH_MANY]), ["RFC822.SIZE", "INTERNALDATE"])
            for uid, row in rows.items():
                if b"RFC822.SIZE" in row:
                    at = row.get(b"INTERNALDATE")
                    known = at if isinstance(at, datetime) and at.tzinfo else datetime.now(UTC)
                    found[uid] = Size(uid=uid, size=int(row[b"RFC822.SIZE"]), received_at=known.astimezone(UTC))
        return found

    def pieces(self, uids: Sequence[int], offset: int, length: int) -> Mapping[int, bytes]:
        """At most `length` bytes of each message from `offset` on, unread mail left unread (BODY.PEEK)."""
        with self._watchdog.within(FETCH_SECONDS):
            rows = self._client.fetch(list(uids), [f"BODY.PEEK[]<{offset}.{length}>"])
        found = {uid: _body(row) for uid, row in rows.items()}
        return {uid: piece for uid, piece in found.items() if piece is not None}

    def move(self, uids: Sequence[int], folder: str) -> None:
        """Move messages; those that are gone are no error. Without MOVE (RFC 6851): copied, then deleted."""
        with self._watchdog.within(CALL_SECONDS):
            if self.can_move():
                self._client.move(list(uids), folder)
                return
            self._client.copy(list(uids), folder)
            self._client.add_flags(list(uids), [b"\\Deleted", b"\\Seen"], silent=True)
            # Without UIDPLUS (RFC 4315) an EXPUNGE would take along what other people have deleted.
            if self._client.has_capability("UIDPLUS"):
                self._client.uid_expunge(list(uids))

    def flag(self, uids: Sequence[int]) -> None:
        """Mark messages as seen."""
        with self._watchdog.within(CALL_SECONDS):
            self._client.add_flags(list(uids), [b"\\Seen"], silent=True)

    @property
    def greeting(self) -> str:
        """The server's first words."""
        return str(self._client.welcome.decode("ascii", "replace"))

    def can_move(self) -> bool:
        """Does the server move by itself (RFC 6851)?"""
        return bool(self._client.has_capability("MOVE"))

    def can_idle(self) -> bool:
        """Does the server tell by itself (RFC 2177)?"""
        return bool(self._client.has_capability("IDLE"))

    def heard(self) -> bool:
        """Has the server told of new mail beside an answer since the last call? IDLE would not tell it again."""
        imap: Any = self._client._imap
        _, told = imap.response("EXISTS")
        return bool(told != [None])

    def idle(self, seconds: float) -> bool:
        """Wait until the server tells something about the folder, at most so long. Returns whether it did.

        Raises an error of the connection when it is dead.
        """
        ends = time.monotonic() + seconds
        heard = False
        with self._watchdog.within(seconds + CALL_SECONDS):
            self._client.idle()
            while not heard and (left := ends - time.monotonic()) > 0:
                if self._buffered():
                    break
                said = self._client.idle_check(timeout=left)
                heard = any(_tells(one) for one in said)
                if not said:
                    # Time is over, or the socket is readable and empty: what follows finds out which.
                    break
        with self._watchdog.within(IDLE_END_SECONDS):
            _, said = self._client.idle_done()
        return heard or any(_tells(one) for one in said)

    def _buffered(self) -> bool:
        """Has the library read more than it has handed out? `idle_check` waits for the socket and would not see it."""
        imap: Any = self._client._imap
        connection = self._client.socket()
        before = connection.gettimeout()
        connection.setblocking(False)
        try:
            return bool(imap.file.peek(1)) if imap.file is not None else False
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        finally:
            connection.settimeout(before)


def _body(row: Mapping[bytes, Any]) -> bytes | None:
    for key, value in row.items():
        if key.startswith(b"BODY[]"):
            # NIL: nothing from this offset on.
            return value if isinstance(value, bytes) else b""
    return None


def _tells(said: Any) -> bool:
    return isinstance(said, tuple) and any(word in LEVELS for word in said if isinstance(word, bytes))
