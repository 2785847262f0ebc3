"""A backup becomes a desk again: everything verified, everything outbound and every source held, every sequence moved
on.

The lost desk went on after the backup was taken: it filed messages, gave ticket numbers and chose
Message-IDs from row ids that the restored database does not know. So the restored desk writes a
record of its own restoration, in the journal, the tickets, their history and the outbox, with ids
beyond everything the lost desk can have used. The next id of each table follows from there, and no
number is issued twice.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import BigInteger, Connection, Table, func, insert, select, type_coerce, update

from gateway.backup import DATABASE, BackupError, Manifest, copy_verified, faults, read
from gateway.store import hold, people, schema, tickets
from gateway.store.blobs import sync_file, sync_folder
from gateway.store.lock import ServerLock
from gateway.store.migrate import migrate
from gateway.store.sqlite import make_engine
from gateway.ticket_numbers import number_for

LEAST_GAP = 1000
"""Ids that are left out at least."""
MARGIN = 10
"""Times the busiest day of the last ones, for each day since the backup."""
LOOK_BACK = timedelta(days=60)
DAY_MICROSECONDS = timedelta(days=1) // timedelta(microseconds=1)
CHANNEL = "gateway"
"""Channel of the desk's own records."""
MOVED: tuple[Table, ...] = (
    schema.entry, schema.ticket, schema.event, schema.message, schema.outbox, schema.feed_write,
)  # fmt: skip
"""Tables whose ids go out in numbers, Message-IDs, reply addresses and keys of writes to ticket stores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """How ticket numbers are made (`numbers` in the settings)."""

    first_digit: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was restored."""

    made_at: datetime
    """When the backup was taken."""
    tickets: int
    waiting: int
    """Notices that waited at that moment; they are held."""
    blobs: int
    next_number: str
    """The number that the next ticket gets."""


def restore(
    folder: Path, *, var: Path, database: Path, numbering: Numbering, skip: int | None, now: datetime
) -> Restored:
    """Restore the backup in `folder` to the data folder `var`; the database goes to `database`.

    `skip` says how many ids are left out; None computes it from the traffic before the backup.
    Raises BackupError when the backup is damaged or there is a desk already, AlreadyRunning when a
    server runs there, gateway.store.migrate.SchemaTooNew, OSError.
    """
    manifest = read(folder)
    if wrong := faults(folder, manifest):
        shown = "\n".join(wrong[:20])
        raise BackupError(f"{len(wrong)} of {len(manifest.files)} files are damaged; nothing was restored:\n{shown}")
    var.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ServerLock(var / "lock"):
        if database.exists():
            raise BackupError(f"there is a desk already ({database}); restore to an empty folder: --var DIR")
        _copy_files(folder, var, manifest)
        fresh = database.with_name(f"{database.name}.restoring")
        _remove(fresh)
        database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy_verified(folder / DATABASE, fresh, manifest.files[DATABASE])
        done = _made_ready(fresh, manifest, numbering, skip, now, var / "backups")
        sync_file(fresh)
        fresh.replace(database)
        sync_folder(database.parent)
        _remove(fresh)
    return done


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def _copy_files(folder: Path, var: Path, manifest: Manifest) -> None:
    for name, wanted in manifest.files.items():
        if name == "key" or name.startswith("blobs/"):
            copy_verified(folder / name, var / name, wanted)
    for below in {(var / name).parent for name in manifest.files if name.startswith("blobs/")}:
        sync_folder(below)
    sync_folder(var)


def _made_ready(
    path: Path, manifest: Manifest, numbering: Numbering, skip: int | None, now: datetime, backups: Path
) -> Restored:
    url = f"sqlite:///{path.resolve()}"
    migrate(url, backup_to=backups)
    engine = make_engine(url, "writer", busy_timeout=5.0)
    try:
        with engine.begin() as conn:
            hold.put(conn, f"restored from the backup of {manifest.made_at:%Y-%m-%d %H:%M} UTC", now, sources=True)
            count = conn.scalar(select(func.count()).select_from(schema.ticket)) or 0
            # The lost desk may have written them: the stores are asked first.
            conn.execute(update(schema.feed_write).where(schema.feed_write.c.state == "waiting").values(uncertain=True))
            gap = skip if skip is not None else gap_of(conn, manifest.made_at, now)
            ticket_id = move_on(conn, gap, manifest.made_at, numbering, now)
            waiting = conn.scalar(select(func.count()).where(schema.outbox.c.state == "waiting")) or 0
        with engine.connect() as conn:
            # Everything into the one file that is renamed into place.
            conn.rollback()
            raw = conn.connection.driver_connection
            assert raw is not None
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        engine.dispose()
    return Restored(
        made_at=manifest.made_at,
        tickets=count,
        waiting=waiting,
        blobs=sum(name.startswith("blobs/") for name in manifest.files),
        next_number=number_for(ticket_id + 1, first_digit=numbering.first_digit, width=numbering.width),
    )


def gap_of(conn: Connection, made_at: datetime, now: datetime) -> int:
    """How many ids to leave out: ten times the busiest day's rows, for each day since the backup was taken."""
    days = max(0, (now - made_at).days) + 1
    stamped = ((schema.entry, schema.entry.c.accepted_at), (schema.event, schema.event.c.at),
               (schema.outbox, schema.outbox.c.created_at),
               (schema.feed_write, schema.feed_write.c.created_at))  # fmt: skip
    busiest = 0
    for table, at in stamped:
        day = type_coerce(at, BigInteger).op("/")(DAY_MICROSECONDS)
        per_day = select(func.count().label("n")).select_from(table).where(at >= made_at - LOOK_BACK).group_by(day)
        busiest = max(busiest, conn.scalar(select(func.max(per_day.subquery().c.n))) or 0)
    return max(LEAST_GAP, MARGIN * busiest * days)


def move_on(conn: Connection, gap: int, made_at: datetime, numbering: Numbering, now: datetime) -> int:
    """Write the record of the restoration, each of its rows `gap` ids beyond its table's last. Returns the ticket's id.

    SQLite gives the next row the highest id plus one, so each sequence goes on from here.
    """
    ids = {table.name: (conn.scalar(select(func.max(table.c.id))) or 0) + gap for table in MOVED}
    said = f"This desk was restored from the backup of {made_at:%Y-%m-%d %H:%M} UTC. What happened later is not in it."
    key = f"restored:{now.isoformat()}"
    contact = people.contact_for(conn, CHANNEL, CHANNEL, "Gateway", now)
    of_ticket = ids["ticket"]
    empty = hashlib.sha256(b"").hexdigest()
    rows = {
        schema.entry: {
            "channel": CHANNEL, "account": "restore", "format": "none", "external_id": key, "fingerprint": "",
            "dedupe": hashlib.sha256(key.encode()).digest(), "peer": "", "received_at": now, "accepted_at": now,
            "size": 0, "sha256": empty, "facts": {"backup": made_at.isoformat()}, "state": "done",
            "processed_at": now, "outcome": {"kind": "restored"},
        },
        schema.ticket: {
            "number": number_for(of_ticket, first_digit=numbering.first_digit, width=numbering.width),
            "channel": CHANNEL, "account": "", "requester_id": contact, "requester": "", "subject": said,
            "language": "en", "status": "closed", "line": "L1", "tags": ["restored"], "because": [],
            "opened_at": now, "updated_at": now, "entry_id": ids["entry"],
        },
        schema.event: {"ticket_id": of_ticket, "at": now, "actor": "gateway", "kind": "restored",
                       "data": {"backup": made_at.isoformat(), "left_out": gap}, "key": key},
        schema.message: {"ticket_id": of_ticket, "direction": "note", "kind": "note", "author": "gateway",
                         "text": said, "visible_text": said, "at": now},
        schema.outbox: {
            "key": key, "lane": "", "kind": "restored", "ticket_id": of_ticket, "channel": CHANNEL, "account": "",
            "recipient": "", "language": "en", "template": "", "variables": {}, "repeatable": False,
            "automatic": True, "state": "suppressed", "created_at": now, "due_at": now, "settled_at": now,
            "detail": "a mark of the restoration; it was never to go out",
        },
        schema.feed_write: {
            "feed": "", "ticket_id": of_ticket, "key": key, "kind": "alter", "fields": {}, "state": "skipped",
            "created_at": now, "due_at": now, "settled_at": now, "detail": "a mark of the restoration",
        },
    }  # fmt: skip
    for table, row in rows.items():
        conn.execute(insert(table), {**row, "id": ids[table.name]})
    tickets.add_participant(conn, of_ticket, CHANNEL, tickets.REQUESTER, "Gateway")
    return of_ticket
