"""The journal: the durable list of what was accepted (rules 1 and 3), and the queue of what is to be filed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, exists, func, or_, select, update

from channels.contract import Accepted, Cursor, Unavailable
from gateway.store import accepting, accepting_postgres, accepting_sqlite, cursors, mailboxes
from gateway.store.blobs import Blobs
from gateway.store.choosing import MOST_BYTES, choose
from gateway.store.dialect import insert_missing, is_one_of, is_postgresql, wake
from gateway.store.prepared import Prepared
from gateway.store.schema import delivery, entry
from gateway.store.schema import raw as raw_table
from gateway.store.together import Together
from normalizer.message import INLINE_LIMIT, Body, InlineBody, RawMessage, SpooledBody

LONGEST_ID, LONGEST_PEER = 1000, 320
"""Characters of an external id and of a peer that are stored; the rest of a longer one is a digest."""
BACKOFF = timedelta(seconds=2)
"""Pause after the first failed attempt; doubles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row of the journal with its raw message."""

    id: int
    raw: RawMessage
    """A body above `INLINE_LIMIT` is a `SpooledBody` whose path is the blob."""
    state: str
    attempts: int
    generation: int
    """How often it was replayed."""
    reroute: bool
    notify: bool
    alone: bool
    """A worker died with it in a batch: it goes alone now."""
    accepted_at: datetime
    owner: str | None = None
    """The node that has claimed it, where there are several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A row of the journal that could not be processed, for staff's eyes."""

    id: int
    channel: str
    account: str
    external_id: str
    peer: str
    accepted_at: datetime
    size: int
    attempts: int
    error: str


# Made once: building a statement costs more than running it.
_DONE_ANY = (
    update(entry)
    .where(entry.c.id == bindparam("of_entry"))
    .values(state="done", error="", not_before=None, failing_since=None, alone=False, owner=None)
    .values(outcome=bindparam("outcome"), processed_at=bindparam("processed_at"))
)
_DONE = Prepared(_DONE_ANY)
_DONE_ONCE = Prepared(_DONE_ANY.where(entry.c.generation == bindparam("of_generation")))


# -- accepting ----------------------------------------------------------------------------


def dedupe_key(raw: RawMessage) -> bytes:
    """SHA-256 over channel, external id and fingerprint, each with its length before it."""
    parts = [part.encode("utf-8", "surrogatepass") for part in (raw.channel, raw.external_id, raw.fingerprint)]
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()


def prepare(raws: Sequence[RawMessage], blobs: Blobs) -> list[RawMessage]:
    """Make big bodies durable as blobs (rule 4), before `record`. Blocks on the disk; returns the raws to record.

    Raises OSError when the disk refuses: answer 451 or 452.
    """
    return [_adopted(raw, blobs) for raw in raws]


def _adopted(raw: RawMessage, blobs: Blobs) -> RawMessage:
    match raw.body:
        case InlineBody(content=content) if len(content) > INLINE_LIMIT:
            name = blobs.put(content)
            return replace(raw, body=SpooledBody(path=blobs.path(name), size=len(content), sha256=name))
        case SpooledBody(path=path, size=size, sha256=sha256) if path != blobs.path(sha256):
            return replace(
                raw, body=SpooledBody(path=blobs.path(blobs.adopt(path, sha256, size)), size=size, sha256=sha256)
            )
        case _:
            return raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What one caller wants recorded, all of it or nothing."""

    raws: Sequence[RawMessage]
    cursor: Cursor | None
    now: datetime
    blobs: Blobs


def recording(
    raws: Sequence[RawMessage], cursor: Cursor | None, *, now: datetime, blobs: Blobs
) -> Together[Recording, list[Accepted]]:
    """`record` as a job that callers who wait at the same time share."""
    return Together(record_all, Recording(raws=raws, cursor=cursor, now=now, blobs=blobs))


def record(
    conn: Connection, raws: Sequence[RawMessage], cursor: Cursor | None, *, now: datetime, blobs: Blobs
) -> list[Accepted]:
    """Write the rows of `raws` (as `prepare` returned them) and the cursor; the caller's COMMIT makes them accepted.

    A repeat (equal channel, external id and fingerprint) is not written again; deliveries that
    its row lacks are added. The cursor's places enter the ledger, those of repeats, too.
    Raises Unavailable when a blob is not there.
    """
    return record_all(conn, [Recording(raws=raws, cursor=cursor, now=now, blobs=blobs)])[0]


def record_all(conn: Connection, wanted: Sequence[Recording]) -> list[list[Accepted]]:
    """`record` for several callers, in this order."""
    write = accepting_postgres.insert_all if is_postgresql(conn) else accepting_sqlite.insert_all
    rows = iter(write(conn, [_new(raw, one.now, one.blobs) for one in wanted for raw in one.raws]))
    found: list[list[Accepted]] = []
    for one in wanted:
        accepted = [_known(conn, raw) if new is None else new for raw, new in zip(one.raws, rows, strict=False)]
        if one.cursor is not None:
            cursors.put(conn, one.cursor)
            mailboxes.filed(conn, one.cursor.places, [each.entry for each in accepted], one.now)
        found.append(accepted)
    wake(conn, "journal")
    return found


def known(conn: Connection, channel: str, external_ids: Sequence[str]) -> frozenset[str]:
    """Those of these external ids that entries of the channel have."""
    if not external_ids:
        return frozenset()
    wanted = select(entry.c.external_id).where(entry.c.channel == channel, entry.c.external_id.in_(external_ids))
    return frozenset(conn.execute(wanted).scalars())


def _known(conn: Connection, raw: RawMessage) -> Accepted:
    known = int(conn.execute(select(entry.c.id).where(entry.c.dedupe == dedupe_key(raw))).scalar_one())
    _add_deliveries(conn, known, raw)
    return Accepted(entry=known, duplicate=True)


def _new(raw: RawMessage, now: datetime, blobs: Blobs) -> accepting.New:
    blob = None
    if isinstance(raw.body, SpooledBody):
        blob = raw.body.sha256
        if not blobs.exists(blob):
            raise Unavailable("a body was swept away before its row was written")
    values = {
        "channel": raw.channel,
        "account": raw.account,
        "format": raw.format,
        "external_id": bounded(raw.external_id, LONGEST_ID),
        "fingerprint": raw.fingerprint,
        "dedupe": dedupe_key(raw),
        "peer": bounded(raw.peer, LONGEST_PEER),
        "received_at": raw.received_at,
        "accepted_at": now,
        "size": raw.body.size,
        "sha256": raw.body.sha256,
        "blob": blob,
        "facts": dict(raw.facts),
    }
    content = raw.body.content if isinstance(raw.body, InlineBody) else None
    return accepting.New(values=values, content=content, deliveries=_deliveries(raw))


def bounded(text: str, longest: int) -> str:
    """`text` as every database stores and indexes it: without NUL and lone surrogates, a long one with a digest."""
    if text.isascii() and len(text) <= longest and "\0" not in text:
        return text
    clean = text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    if len(clean) <= longest:
        return clean
    return f"{clean[: longest - 71]}sha256:{hashlib.sha256(clean.encode()).hexdigest()}"


def _deliveries(raw: RawMessage) -> list[tuple[str, str]]:
    return [(account, bounded(recipient, LONGEST_PEER)) for account, recipient in raw.deliveries]


def _add_deliveries(conn: Connection, entry_id: int, raw: RawMessage) -> None:
    rows = [{"entry_id": entry_id, "account": account, "recipient": to} for account, to in _deliveries(raw)]
    insert_missing(conn, delivery, rows)


def named(conn: Connection, channel: str, external_id: str) -> tuple[int, str] | None:
    """(entry, account) of the newest entry with this id of the far side; None: there is none."""
    wanted = select(entry.c.id, entry.c.account).where(
        entry.c.channel == channel, entry.c.external_id == bounded(external_id, LONGEST_ID)
    )
    row = conn.execute(wanted.order_by(entry.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else (row.id, row.account)


# -- filing -------------------------------------------------------------------------------


# Made once: building them takes as long as running them, and they run for every few entries.
_UNREAD = ("variant", "dedupe", "not_before", "failing_since", "error", "outcome", "processed_at")
"""Columns that nobody who files an entry looks at."""
_LOADED: Select[Any] = (
    select(*(column for column in entry.c if column.name not in _UNREAD), raw_table.c.content)
    .outerjoin(raw_table, raw_table.c.entry_id == entry.c.id)
    .where(or_(raw_table.c.entry_id.is_not(None), entry.c.blob.is_not(None)))
    .order_by(entry.c.id)
)
_LOAD = _LOADED.where(entry.c.id.in_(bindparam("ids", expanding=True)))
_DELIVERED = select(delivery.c.entry_id, delivery.c.account, delivery.c.recipient).order_by(
    delivery.c.account, delivery.c.recipient
)
_DELIVERIES = _DELIVERED.where(delivery.c.entry_id.in_(bindparam("ids", expanding=True)))
# Somebody waits on the line for the one that they ask with.
_LOAD_ONE = Prepared(_LOADED.where(entry.c.id == bindparam("of_entry")))
_DELIVERIES_OF_ONE = Prepared(_DELIVERED.where(delivery.c.entry_id == bindparam("of_entry")))


def pending(
    conn: Connection,
    *,
    blobs: Blobs,
    now: datetime,
    limit: int,
    exclude: Collection[int] = (),
    max_bytes: int = MOST_BYTES,
) -> list[Entry]:
    """Entries to file now, in journal order: at most `limit`, of at most `max_bytes` together (but at least one).

    `exclude` names those that are being worked on; they, and those whose retry is not yet due,
    hold back the later entries of their peer, the latter for at most `HOLD`.
    """
    return load(conn, choose(conn, now=now, limit=limit, exclude=exclude, max_bytes=max_bytes), blobs)


def load(conn: Connection, ids: Sequence[int], blobs: Blobs) -> list[Entry]:
    """The entries with their raw messages, in journal order; those whose bytes were dropped are left out."""
    if not ids:
        return []
    deliveries: dict[int, list[tuple[str, str]]] = {}
    for entry_id, account, recipient in conn.execute(_DELIVERIES, {"ids": ids}):
        deliveries.setdefault(entry_id, []).append((account, recipient))
    return [_entry(row, tuple(deliveries.get(row.id, ())), blobs) for row in conn.execute(_LOAD, {"ids": ids})]


def load_one(conn: Connection, entry_id: int, blobs: Blobs) -> Entry | None:
    """One entry with its raw message; None when there is none, or its bytes were dropped."""
    row = _LOAD_ONE.first(conn, {"of_entry": entry_id})
    if row is None:
        return None
    told = _DELIVERIES_OF_ONE.all(conn, {"of_entry": entry_id})
    return _entry(row, tuple((each.account, each.recipient) for each in told), blobs)


def _entry(row: Row[Any], deliveries: tuple[tuple[str, str], ...], blobs: Blobs) -> Entry:
    body: Body = InlineBody(content=row.content or b"")
    if row.blob is not None:
        body = SpooledBody(path=blobs.local(row.blob), size=row.size, sha256=row.sha256)
    raw = RawMessage(
        channel=row.channel,
        account=row.account,
        format=row.format,
        external_id=row.external_id,
        fingerprint=row.fingerprint,
        peer=row.peer,
        received_at=row.received_at,
        body=body,
        facts=row.facts,
        deliveries=deliveries,
    )
    return Entry(
        id=row.id,
        raw=raw,
        state=row.state,
        attempts=row.attempts,
        generation=row.generation,
        reroute=row.reroute,
        notify=row.notify,
        alone=row.alone,
        accepted_at=row.accepted_at,
        owner=row.owner,
    )


def done(
    conn: Connection, entry_id: int, *, outcome: Mapping[str, Any], now: datetime, generation: int | None = None
) -> bool:
    """The entry is filed; in the transaction of what it became.

    With `generation` only when it was not replayed meanwhile. Returns whether the row was changed.
    """
    values = {"of_entry": entry_id, "outcome": dict(outcome), "processed_at": now}
    if generation is None:
        return _DONE.run(conn, values) > 0
    return _DONE_ONCE.run(conn, {**values, "of_generation": generation}) > 0


def failed(
    conn: Connection, entry_id: int, *, reason: str, now: datetime, limit: int, backoff: timedelta = BACKOFF
) -> bool:
    """The entry's content could not be processed: count an attempt. Returns True when it is in quarantine now.

    Before that it is tried again after `backoff`, doubled with each attempt. Failures of ours are not counted here.
    """
    query = select(entry.c.attempts, entry.c.failing_since).where(entry.c.id == entry_id)
    before, failing_since = conn.execute(query).one()
    attempts = int(before) + 1
    values: dict[str, Any] = {"attempts": attempts, "error": reason, "owner": None}
    if attempts >= limit:
        values |= {"state": "quarantined", "processed_at": now, "not_before": None, "failing_since": None}
    else:
        pause = backoff * 2 ** (attempts - 1)
        values |= {"not_before": now + pause, "failing_since": failing_since or now}
    conn.execute(update(entry).where(entry.c.id == entry_id).values(values))
    return attempts >= limit


def put_back(conn: Connection, entry_id: int, until: datetime) -> None:
    """Not before `until`; no attempt is counted. Where there are several nodes, any of them may take it then."""
    conn.execute(update(entry).where(entry.c.id == entry_id).values(not_before=until, owner=None))


def set_alone(conn: Connection, ids: Collection[int]) -> None:
    """A worker died with these in one batch: each is tried alone, and no attempt is counted yet."""
    conn.execute(update(entry).where(entry.c.id.in_(ids)).values(alone=True))


# -- quarantine, replay, age --------------------------------------------------------------


def replay(conn: Connection, ids: Collection[int], *, reroute: bool, notify: bool, now: datetime) -> int:
    """Put filed or quarantined entries in the queue again with the next generation. Returns how many.

    Entries that wait already, and those whose bytes were dropped, stay as they are.
    """
    has_bytes = or_(entry.c.blob.is_not(None), exists().where(raw_table.c.entry_id == entry.c.id))
    values = {
        "state": "pending",
        "attempts": 0,
        "generation": entry.c.generation + 1,
        "reroute": reroute,
        "notify": notify,
        "alone": False,
        "not_before": now,
        "failing_since": None,
        "error": "",
        "owner": None,
    }
    wake(conn, "journal")
    where = and_(entry.c.id.in_(ids), entry.c.state.in_(("done", "quarantined")), has_bytes)
    return conn.execute(update(entry).where(where).values(values)).rowcount


def quarantined(conn: Connection, limit: int, after: int = 0) -> list[Quarantined]:
    """Entries in quarantine with an id above `after`, oldest first."""
    query = (
        select(entry)
        .where(is_one_of(entry.c.state, "quarantined"), entry.c.id > after)
        .order_by(entry.c.id)
        .limit(limit)
    )
    names = Quarantined.__dataclass_fields__
    return [Quarantined(**{name: getattr(row, name) for name in names}) for row in conn.execute(query)]


def backlog(conn: Connection) -> tuple[int, datetime | None]:
    """How many entries wait to be filed, and since when the oldest."""
    query = select(func.count(), func.min(entry.c.accepted_at)).where(is_one_of(entry.c.state, "pending"))
    count, oldest = conn.execute(query).one()
    return int(count), oldest


def drop_raw(conn: Connection, *, before: datetime, limit: int = 32) -> int:
    """Forget the bytes of filed entries accepted before `before`; never the keys, never what is in quarantine.

    Returns how many entries lost their bytes: repeat until 0. A blob that nothing names is swept later.
    """
    old = and_(entry.c.state == "done", entry.c.accepted_at < before)
    inline = (
        select(raw_table.c.entry_id)
        .join(entry, entry.c.id == raw_table.c.entry_id)
        .where(old)
        .order_by(raw_table.c.entry_id)
        .limit(limit)
    )
    dropped = conn.execute(raw_table.delete().where(raw_table.c.entry_id.in_(inline.scalar_subquery()))).rowcount
    big = select(entry.c.id).where(old, entry.c.blob.is_not(None)).order_by(entry.c.accepted_at).limit(limit)
    dropped += conn.execute(update(entry).where(entry.c.id.in_(big.scalar_subquery())).values(blob=None)).rowcount
    return dropped
