"""Tickets, their messages and their history, as sync functions inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, bindparam, func, insert, select
from sqlalchemy import text as sql
from sqlalchemy import update as sql_update

from gateway.store import chats
from gateway.store.dialect import add_new, insert_new
from gateway.store.people import normal
from gateway.store.prepared import Prepared
from gateway.store.schema import attachment, entry, event, message, participant, ticket
from gateway.ticket_numbers import number_for
from normalizer.message import Attachment

# Made once: building a statement costs more than running it.
_OF: BindParameter[int] = bindparam("of_id")
_NEW = Prepared(insert(ticket))
_NEXT = Prepared(select((func.coalesce(func.max(ticket.c.id), 0) + 1).label("next_id")))
_BY_ID = select(ticket).where(ticket.c.id == _OF)
_GET, _LOCK = Prepared(_BY_ID), Prepared(_BY_ID.with_for_update())
_UPDATE = sql_update(ticket).where(ticket.c.id == _OF)
_HISTORY = select(event).where(event.c.ticket_id == _OF).order_by(event.c.id)
_PARTICIPANTS = select(participant).where(participant.c.ticket_id == _OF).order_by(participant.c.address)
_NEW_MESSAGE = insert(message).returning(message.c.id)
_NEW_ATTACHMENT = insert(attachment).returning(attachment.c.id)
_REVISIONS = Prepared(select(message).where(message.c.entry_id == _OF).order_by(message.c.generation))

REQUESTER, CC, VENDOR = "requester", "cc", "vendor"
NEWEST = 50
"""Entries with one id of the far side that are looked at."""
PENDING = "pending"
"""State of an attachment that is still at the far side."""


# -- the ticket ---------------------------------------------------------------------------


def open_ticket(
    conn: Connection,
    *,
    channel: str,
    account: str,
    requester_id: int,
    requester: str,
    requester_name: str,
    subject: str,
    language: str,
    opened_at: datetime,
    now: datetime,
    first_digit: int = 1,
    width: int = 8,
    **columns: Any,
) -> int:
    """Insert a ticket with its number and its requester as a participant; returns its id.

    `opened_at` is the source's time, `now` ours. `columns` are any others of the table `ticket`.
    The caller adds the event "opened" and has the deadlines computed.
    """
    ticket_id = _next_id(conn)
    defaults = {"status": "new", "line": "L1", "tags": [], "because": []}
    row = {
        "id": ticket_id,
        "number": number_for(ticket_id, first_digit=first_digit, width=width),
        "channel": channel,
        "account": account,
        "requester_id": requester_id,
        "requester": normal(requester),
        "subject": subject,
        "language": language,
        "opened_at": opened_at,
        "updated_at": now,
    }
    _NEW.run(conn, {**defaults, **row, **columns})
    add_participant(conn, ticket_id, requester, REQUESTER, requester_name)
    return ticket_id


def _next_id(conn: Connection) -> int:
    # The number is made from the id, so the id is wanted before the row.
    if conn.dialect.name == "postgresql":
        return int(conn.execute(sql("SELECT nextval(pg_get_serial_sequence('ticket', 'id'))")).scalar_one())
    return int(_NEXT.scalar(conn, {}))


def get(conn: Connection, ticket_id: int) -> Row[Any]:
    """The ticket's row. Raises NoResultFound."""
    return _GET.one(conn, {"of_id": ticket_id})


def by_number(conn: Connection, number: str) -> Row[Any] | None:
    """The ticket with this number, or None."""
    return conn.execute(select(ticket).where(ticket.c.number == number)).one_or_none()


def lock(conn: Connection, ticket_id: int) -> Row[Any]:
    """The ticket's row, locked until the transaction ends (PostgreSQL). Raises NoResultFound."""
    return _LOCK.one(conn, {"of_id": ticket_id})


def update(conn: Connection, ticket_id: int, **columns: Any) -> None:
    """Set columns of a ticket; pass `updated_at` when people should see it as changed."""
    conn.execute(_UPDATE, {**columns, "of_id": ticket_id})


# -- history ------------------------------------------------------------------------------


def add_event(
    conn: Connection,
    ticket_id: int,
    *,
    at: datetime,
    actor: str,
    kind: str,
    data: Mapping[str, Any],
    key: str | None = None,
) -> int | None:
    """Add to a ticket's history; `at` is when it happened at its source.

    Returns the event's id, or None when the key is there already: the effect happened before (rule 6).
    """
    row = {"ticket_id": ticket_id, "at": at, "actor": actor, "kind": kind, "data": dict(data), "key": key}
    return insert_new(conn, event, row)


def history(conn: Connection, ticket_id: int) -> list[Row[Any]]:
    """The events of a ticket in the order in which they were recorded."""
    return list(conn.execute(_HISTORY, {"of_id": ticket_id}))


# -- people of a ticket -------------------------------------------------------------------


def add_participant(conn: Connection, ticket_id: int, address: str, role: str, name: str = "") -> bool:
    """Add somebody; False when that address takes part already (its role stays)."""
    row = {"ticket_id": ticket_id, "address": normal(address), "role": role, "name": name}
    return add_new(conn, participant, row)


def participants(conn: Connection, ticket_id: int) -> Sequence[Row[Any]]:
    """Everybody who takes part (address, role, name)."""
    return conn.execute(_PARTICIPANTS, {"of_id": ticket_id}).all()


def set_participant(conn: Connection, ticket_id: int, address: str, *, role: str, name: str = "") -> None:
    """Give somebody a role, added when not there; an empty name changes no name."""
    if add_participant(conn, ticket_id, address, role, name):
        return
    columns = {"role": role, "name": name} if name else {"role": role}
    conn.execute(
        sql_update(participant)
        .where(participant.c.ticket_id == ticket_id, participant.c.address == normal(address))
        .values(columns)
    )


# -- messages -----------------------------------------------------------------------------


def add_message(
    conn: Connection,
    ticket_id: int,
    *,
    direction: str,
    kind: str,
    author: str,
    text: str,
    at: datetime,
    **columns: Any,
) -> int:
    """Add a message that no entry brought; `columns` are any others of the table `message`.

    `direction` is in, out or note; `author` an address, "agent:<key>" or "gateway";
    `visible_text` is `text` unless given. Returns its id.
    """
    row = {"ticket_id": ticket_id, "direction": direction, "kind": kind, "author": author, "text": text, "at": at}
    return int(conn.execute(_NEW_MESSAGE, {"visible_text": text, **row, **columns}).scalar_one())


def add_revision(
    conn: Connection,
    ticket_id: int,
    *,
    entry_id: int,
    generation: int,
    direction: str,
    kind: str,
    author: str,
    text: str,
    at: datetime,
    **columns: Any,
) -> int | None:
    """Add what an entry says, in the reading of this generation; earlier readings are current no more.

    Returns the message's id, or None when this reading is there already (rule 6).
    """
    row = {"ticket_id": ticket_id, "direction": direction, "kind": kind, "author": author, "text": text, "at": at}
    mine = {"entry_id": entry_id, "generation": generation, "current": True}
    made: int | None = insert_new(conn, message, {"visible_text": text, **row, **columns, **mine})
    if made is not None and generation:
        conn.execute(
            sql_update(message)
            .where(message.c.entry_id == entry_id, message.c.generation < generation, message.c.current)
            .values(current=False)
        )
    return made


def revisions(conn: Connection, entry_id: int) -> Sequence[Row[Any]]:
    """Every reading of an entry, the oldest first."""
    return _REVISIONS.all(conn, {"of_id": entry_id})


def dated(conn: Connection, channel: str, external_id: str, *, but: int) -> dict[datetime | None, int]:
    """What the messages with this id of the far side say of their date, without those of the entry `but` -> the ticket
    where the first of that date is.

    Of a device that has sent thousands only the newest are looked at: copies of a mail come near each other.
    """
    same = (entry.c.channel == channel, entry.c.external_id == external_id, entry.c.id != but)
    newest = select(entry.c.id).where(*same).order_by(entry.c.id.desc()).limit(NEWEST).subquery()
    wanted = select(message.c.dated, message.c.ticket_id).join(newest, newest.c.id == message.c.entry_id)
    return {row.dated: row.ticket_id for row in conn.execute(wanted.order_by(message.c.id.desc()))}


def add_attachments(conn: Connection, message_id: int, attachments: Iterable[Attachment]) -> list[int]:
    """Add attachments: those with content are kept in the row, the others are blobs named by their SHA-256.

    One that has no digest is not here yet (rule 10). Returns the ids in order where there is such a one, else [].
    """
    items = list(attachments)
    rows = [_attachment(message_id, item) for item in items]
    if any(row["state"] == PENDING for row in rows):
        return [int(conn.execute(_NEW_ATTACHMENT, row).scalar_one()) for row in rows]
    if rows:
        conn.execute(insert(attachment), rows)
    return []


def first_attachment(conn: Connection, message_id: int) -> int | None:
    """The first file of a message."""
    found: int | None = conn.scalar(select(func.min(attachment.c.id)).where(attachment.c.message_id == message_id))
    return found


def of_message(conn: Connection, message_id: int) -> int:
    """The ticket that a message is in. Raises NoResultFound."""
    return int(conn.execute(select(message.c.ticket_id).where(message.c.id == message_id)).scalar_one())


def reword(conn: Connection, message_id: int, before: str, after: str) -> None:
    """Put other words of ours in the place of these; whose message it is does not matter."""
    row = conn.execute(select(message.c.text, message.c.visible_text).where(message.c.id == message_id)).one()
    values = {"text": row.text.replace(before, after, 1), "visible_text": row.visible_text.replace(before, after, 1)}
    conn.execute(sql_update(message).where(message.c.id == message_id).values(values))


def _attachment(message_id: int, item: Attachment) -> dict[str, Any]:
    pending = item.content is None and not item.sha256
    return {
        "message_id": message_id,
        "filename": item.filename,
        "content_type": item.content_type[:255],
        "size": item.size,
        "sha256": item.sha256,
        "inline": item.inline,
        "content_id": item.content_id,
        "content": item.content,
        "blob": item.sha256 if item.content is None and not pending else None,
        "state": PENDING if pending else "here",
    }


def messages(conn: Connection, ticket_id: int, *, every_revision: bool = False) -> Sequence[Row[Any]]:
    """The messages of a ticket, oldest first; the newest revision of each unless told otherwise."""
    statement = select(message).where(message.c.ticket_id == ticket_id).order_by(message.c.id)
    if not every_revision:
        return chats.in_place(conn, conn.execute(statement.where(message.c.current)).all())
    return conn.execute(statement).all()


def attachments_of(conn: Connection, message_ids: Iterable[int]) -> Sequence[Row[Any]]:
    """The attachments of these messages, content left out."""
    columns = [column for column in attachment.c if column.name != "content"]
    ids = list(message_ids)
    wanted = select(*columns).where(attachment.c.message_id.in_(ids)).order_by(attachment.c.id)
    albums = chats.album_files(conn, ids)
    return [*conn.execute(wanted), *(file for files in albums.values() for file in files)]
