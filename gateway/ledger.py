"""The ledger of mailboxes as channels ask for it: `channels.contract.Ledger` over the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from channels.contract import Clock, Cursor, Folder, Listed, Mark
from gateway.store import calls as call_rows
from gateway.store import cursors, journal, mailboxes
from gateway.store.database import Database


class StoreLedger:
    """One per database."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock

    async def cursor(self, channel: str, account: str, name: str) -> str | None:
        """The cursor's value."""
        return await self._db.read(lambda conn: cursors.get(conn, channel, account, name))

    async def known(self, channel: str, ids: Sequence[str]) -> frozenset[str]:
        """Those that are in the journal."""
        return await self._db.read(lambda conn: journal.known(conn, channel, ids))

    async def known_calls(self, channel: str, account: str, calls: Sequence[str]) -> frozenset[str]:
        """Those of which something is in the journal."""
        return await self._db.read(lambda conn: call_rows.known(conn, channel, account, calls))

    async def has_been_called(self, channel: str, account: str, number: str) -> bool:
        """Whether anything of a call to this number of ours was ever filed."""
        return await self._db.read(lambda conn: call_rows.has_come(conn, channel, account, number))

    async def missing(self, folder: Folder, uids: Sequence[int]) -> Sequence[int]:
        """Those of which nothing is known."""
        return await self._db.read(lambda conn: mailboxes.missing(conn, folder, uids))

    async def due(self, folder: Folder) -> Sequence[Listed]:
        """What is to be taken in now."""
        now = self._clock()
        return await self._db.read(lambda conn: mailboxes.due(conn, folder, now))

    async def unsettled(self, folder: Folder) -> Sequence[int]:
        """Committed, and neither moved nor flagged."""
        return await self._db.read(lambda conn: mailboxes.unsettled(conn, folder))

    async def mark(self, folder: Folder, marks: Mapping[int, Mark], cursor: Cursor | None = None) -> None:
        """Set states and the cursor in one transaction."""
        now = self._clock()

        def job(conn: Connection) -> None:
            mailboxes.mark(conn, folder, marks, now)
            if cursor is not None:
                cursors.put(conn, cursor)

        await self._db.write(job)

    async def failed(self, folder: Folder, uid: int, reason: str) -> None:
        """Count a failed try."""
        now = self._clock()
        await self._db.write(lambda conn: mailboxes.failed(conn, folder, uid, reason, now))

    async def twin(self, folder: Folder, fingerprint: str, received_at: datetime) -> str | None:
        """The same message under another number."""
        return await self._db.read(lambda conn: mailboxes.twin(conn, folder, fingerprint, received_at))
