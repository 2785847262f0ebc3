"""The ledger of mailboxes: which message of which folder is known, and what is still to be done about it.

A place enters in the transaction of its journal row. The cursor only saves looking; the ledger knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from channels.contract import Folder, Listed, Mark, Place
from gateway.store.dialect import is_one_of, upsert, upsert_all
from gateway.store.schema import entry, imap_seen

CHUNK = 500
"""Numbers named in one statement."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(days=1)
"""Between two tries of a message that could not be fetched; doubles."""
REASON = 500
_STATES: Mapping[Mark, Mapping[str, Any]] = {
    "listed": {"state": "listed", "quiet": False},
    "quiet": {"state": "listed", "quiet": True},
    "old": {"state": "old", "quiet": False},
    "settled": {"state": "settled", "quiet": False},
    "gone": {"state": "gone", "quiet": False},
}
"""What a mark means in a row."""


def filed(conn: Connection, places: Sequence[Place], entries: Sequence[int], now: datetime) -> None:
    """Each place belongs to the journal entry of the same position: written with it."""
    for place, entry_id in zip(places, entries, strict=bool(places)):
        state = "kept" if place.stays else "filed"
        _set(conn, place.folder, place.uid, {"state": state, "entry_id": entry_id, "at": now})


def missing(conn: Connection, folder: Folder, uids: Sequence[int]) -> list[int]:
    """Those of `uids` of which nothing is known, or which were filed as an entry that is not there any more."""
    left: list[int] = []
    for chunk in _chunks(uids):
        query = (
            select(imap_seen.c.uid)
            .outerjoin(entry, entry.c.id == imap_seen.c.entry_id)
            .where(_of(folder), imap_seen.c.uid.in_(chunk), imap_seen.c.state != "gone")
            .where(or_(imap_seen.c.entry_id.is_(None), entry.c.id.is_not(None)))
        )
        known = set(conn.execute(query).scalars())
        left += [uid for uid in chunk if uid not in known]
    return left


def due(conn: Connection, folder: Folder, now: datetime) -> list[Listed]:
    """What is listed or failed and may be tried now."""
    when = or_(imap_seen.c.retry_at.is_(None), imap_seen.c.retry_at <= now)
    query = select(imap_seen.c.uid, imap_seen.c.quiet).where(_of(folder), when)
    query = query.where(is_one_of(imap_seen.c.state, "listed", "failed")).order_by(imap_seen.c.uid)
    return [Listed(uid=row.uid, quiet=row.quiet) for row in conn.execute(query)]


def unsettled(conn: Connection, folder: Folder) -> list[int]:
    """Committed, and neither moved nor flagged."""
    query = select(imap_seen.c.uid).where(_of(folder), is_one_of(imap_seen.c.state, "filed"))
    return list(conn.execute(query.order_by(imap_seen.c.uid)).scalars())


def mark(conn: Connection, folder: Folder, marks: Mapping[int, Mark], now: datetime) -> None:
    """Set the states of UIDs."""
    rows = [{**_key(folder, uid), "at": now, **_STATES[wanted]} for uid, wanted in marks.items()]
    if rows:
        upsert_all(conn, imap_seen, rows, keys=_key(folder, 0))


def failed(conn: Connection, folder: Folder, uid: int, reason: str, now: datetime) -> None:
    """Count a failed try. A message that was taken in meanwhile stays so."""
    one = and_(_of(folder), imap_seen.c.uid == uid)
    row = conn.execute(select(imap_seen.c.attempts, imap_seen.c.state).where(one)).one_or_none()
    if row is not None and row.state in ("filed", "settled", "kept"):
        return
    attempts = (row.attempts if row is not None else 0) + 1
    pause = min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE)
    values = {"state": "failed", "reason": reason[:REASON], "attempts": attempts, "retry_at": now + pause, "at": now}
    _set(conn, folder, uid, values)


def twin(conn: Connection, folder: Folder, fingerprint: str, received_at: datetime) -> str | None:
    """External id of an entry that came from this folder, in any numbering, with this fingerprint and time."""
    query = (
        select(entry.c.external_id)
        .join(imap_seen, imap_seen.c.entry_id == entry.c.id)
        .where(imap_seen.c.account == folder.account, imap_seen.c.folder == folder.name)
        .where(entry.c.fingerprint == fingerprint, entry.c.received_at == received_at)
        .order_by(entry.c.id)
        .limit(1)
    )
    return conn.execute(query).scalar_one_or_none()


def _of(folder: Folder) -> ColumnElement[bool]:
    return and_(
        imap_seen.c.account == folder.account,
        imap_seen.c.folder == folder.name,
        imap_seen.c.uidvalidity == folder.uidvalidity,
    )


def _set(conn: Connection, folder: Folder, uid: int, values: Mapping[str, Any]) -> None:
    key = _key(folder, uid)
    upsert(conn, imap_seen, {**key, **values}, keys=key)


def _key(folder: Folder, uid: int) -> dict[str, Any]:
    return {"account": folder.account, "folder": folder.name, "uidvalidity": folder.uidvalidity, "uid": uid}


def _chunks(uids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(uids), CHUNK):
        yield uids[start : start + CHUNK]
