"""Messages of chats: their edits, the parts of albums, and what was last said in a conversation.

An edited message has a row for each text, all with one `external_key`; the newest one is shown. An album has a row for
each part, which is never shown, and one more without an entry, the whole: it is made of the newest text of every part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, case, func, select, update

from gateway.store.dialect import is_one_of
from gateway.store.prepared import Prepared
from gateway.store.schema import attachment, message, outbox, ticket
from normalizer.message import Conversation

NEVER = datetime.min.replace(tzinfo=UTC)
RECEIPTS = ("acknowledgement", "known_incident")
"""Templates that belong to the message that they answer, however late they go out."""
TALK = (*RECEIPTS, "reply", "question", "question_reminder", "resolved", "survey", "survey_reminder")
"""Templates of notices that people answer without naming them."""
WENT = ("sending", "sent", "captured", "unknown")
LATELY = 5

# Made once: these run for every message of a chat, and building a statement costs more than running it.
_READINGS = Prepared(
    select(message)
    .where(message.c.external_key == bindparam("of_key"), message.c.direction == "in")
    .order_by(message.c.id)
)
_WHOLE = Prepared(
    select(message).where(message.c.group_key == bindparam("of_group"), message.c.entry_id.is_(None)).limit(1)
)
_WHEN = case(
    (outbox.c.template.in_(RECEIPTS), ticket.c.opened_at), else_=func.coalesce(outbox.c.sending_at, outbox.c.created_at)
)
_TOLD = (
    select(outbox.c.ticket_id, _WHEN.label("at"), outbox.c.destination)
    .join(ticket, ticket.c.id == outbox.c.ticket_id)
    .where(
        outbox.c.recipient == bindparam("of_recipient"),
        outbox.c.channel == bindparam("of_channel"),
        outbox.c.account == bindparam("of_account"),
        outbox.c.template.in_(TALK),
        is_one_of(outbox.c.state, *WENT),
    )
    .order_by(outbox.c.id.desc())
    .limit(LATELY)
)


# -- readings of one message ----------------------------------------------------------------


def readings(conn: Connection, external_key: str) -> Sequence[Row[Any]]:
    """Every text that we have of a message, with those of its replays; the oldest row first."""
    return _READINGS.all(conn, {"of_key": external_key})


def age(row: Row[Any]) -> tuple[datetime, int, int]:
    """By what readings of one message are ordered: the later edit, else the later entry, else the later replay."""
    return (row.edited_at or NEVER, row.entry_id or 0, row.generation)


def whole(conn: Connection, group_key: str) -> Row[Any] | None:
    """The message that the parts of an album make; None: no part is here yet."""
    return _WHOLE.first(conn, {"of_group": group_key})


def settle(conn: Connection, external_key: str, group_key: str) -> None:
    """Show the newest reading of a message and no other; of an album show what its parts make together."""
    album = whole(conn, group_key) if group_key else None
    if album is not None:
        _assemble(conn, album)
    elif len(rows := readings(conn, external_key)) > 1:
        newest = max(rows, key=age).id
        _show(conn, [row.id for row in rows if row.current and row.id != newest], current=False)
        _show(conn, [row.id for row in rows if not row.current and row.id == newest], current=True)


def begin_album(conn: Connection, message_id: int) -> int:
    """Make the row of an album's first part the whole, and give the part a row of its own. Returns that one's id.

    Whatever names the message (events, notices) so goes on to name what is shown.
    """
    own = conn.execute(select(message).where(message.c.id == message_id)).one()
    conn.execute(update(message).where(message.c.id == message_id).values(entry_id=None, external_key=None))
    values = {name: value for name, value in own._mapping.items() if name != "id"}
    part = conn.execute(message.insert().values({**values, "current": False}).returning(message.c.id)).scalar_one()
    conn.execute(update(attachment).where(attachment.c.message_id == message_id).values(message_id=part))
    return int(part)


def _assemble(conn: Connection, album: Row[Any]) -> None:
    parts = _parts(conn, [album.id]).get(album.id, [])
    # Each part of an answer repeats what it answers: only those with words of their own count, or else the first.
    worded = [row for row in parts if row.visible_text.strip()] or parts[:1]
    texts = {name: _joined(getattr(row, name) for row in worded) for name in ("text", "visible_text", "html")}
    edits = [row.edited_at for row in parts if row.edited_at is not None]
    values = {
        **texts,
        "language": next((row.language for row in parts if row.language), ""),
        "oddities": list(dict.fromkeys(odd for row in parts for odd in row.oddities or ())) or None,
        "edited_at": max(edits, default=None),
    }
    mine = and_(message.c.group_key == album.group_key, message.c.ticket_id == album.ticket_id)
    conn.execute(update(message).where(mine, message.c.entry_id.is_not(None)).values(current=False))
    conn.execute(update(message).where(message.c.id == album.id).values(values))


def _joined(texts: Iterable[str]) -> str:
    return "\n\n".join(dict.fromkeys(text for text in texts if text.strip()))


def _parts(conn: Connection, wholes: Collection[int]) -> dict[int, list[Row[Any]]]:
    """Whole -> the newest reading of each part, in the order of the album."""
    album, part = message.alias("album"), message.alias("part")
    same = and_(part.c.group_key == album.c.group_key, part.c.ticket_id == album.c.ticket_id)
    wanted = (
        select(album.c.id.label("album_id"), *part.c)
        .join_from(album, part, same)
        .where(album.c.id.in_(list(wholes)), album.c.entry_id.is_(None), part.c.entry_id.is_not(None))
    )
    newest: dict[int, dict[str, Row[Any]]] = defaultdict(dict)
    for row in sorted(conn.execute(wanted), key=age):
        newest[row.album_id][row.external_key or str(row.entry_id)] = row
    # Keys of one chat differ in a number at the end: the shorter is the lower.
    order = lambda row: (len(row.external_key or ""), row.external_key or "", row.id)  # noqa: E731
    return {album_id: sorted(rows.values(), key=order) for album_id, rows in newest.items()}


def _show(conn: Connection, ids: Sequence[int], *, current: bool) -> None:
    if ids:
        conn.execute(update(message).where(message.c.id.in_(ids)).values(current=current))


# -- reading ----------------------------------------------------------------------------------


def in_place(conn: Connection, rows: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
    """Messages in the order in which they were said: an edited one stands where it stood at first."""
    keys = [row.external_key for row in rows if row.edited_at is not None and row.external_key]
    if not keys:
        return rows
    wanted = select(message.c.external_key, func.min(message.c.id).label("first")).where(
        message.c.external_key.in_(keys), message.c.direction == "in"
    )
    firsts = {row.external_key: row.first for row in conn.execute(wanted.group_by(message.c.external_key))}
    return sorted(rows, key=lambda row: firsts.get(row.external_key, row.id))


def present(conn: Connection, row: Row[Any]) -> Row[Any]:
    """What a message says now that it may have been edited."""
    if row.current or not row.external_key:
        return row
    return next((reading for reading in readings(conn, row.external_key) if reading.current), row)


def older_texts(conn: Connection, rows: Iterable[Row[Any]]) -> dict[int, list[Row[Any]]]:
    """Message -> what it said before it was edited, the oldest first."""
    shown = {row.external_key: row.id for row in rows if row.edited_at is not None and row.external_key}
    found: dict[int, list[Row[Any]]] = defaultdict(list)
    wanted = select(message).where(message.c.external_key.in_(list(shown)), ~message.c.current)
    for row in sorted(conn.execute(wanted), key=age) if shown else ():
        found[shown[row.external_key]].append(row)
    return found


def album_files(conn: Connection, message_ids: Collection[int]) -> dict[int, list[Row[Any]]]:
    """Album -> the files of its parts, in their order, without their content."""
    parts = _parts(conn, message_ids)
    place = {row.id: number for rows in parts.values() for number, row in enumerate(rows)}
    if not place:
        return {}
    album, part = message.alias("album"), message.alias("part")
    columns = [column for column in attachment.c if column.name not in ("content", "message_id")]
    wanted: Select[Any] = (
        select(*columns, part.c.id.label("part_id"), album.c.id.label("message_id"))
        .join_from(attachment, part, part.c.id == attachment.c.message_id)
        .join(album, and_(album.c.group_key == part.c.group_key, album.c.ticket_id == part.c.ticket_id))
        .where(part.c.id.in_(list(place)), album.c.id.in_(list(parts)))
    )
    found: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in sorted(conn.execute(wanted), key=lambda row: (place[row.part_id], row.id)):
        found[row.message_id].append(row)
    return found


# -- conversations ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A ticket that was talked about in a conversation, and when last."""

    ticket_id: int
    at: datetime


def told(conn: Connection, channel: str, account: str, recipient: str, talk: Conversation) -> list[Topic]:
    """What we said last in this conversation that people answer without naming it, the newest first."""
    wanted = {"of_channel": channel, "of_account": account, "of_recipient": recipient}
    place = dict(talk.answer_to)
    return [
        Topic(ticket_id=row.ticket_id, at=row.at)
        for row in conn.execute(_TOLD, wanted)
        # Without a destination it went to the person in private.
        if row.destination == place or (row.destination is None and talk.private)
    ]
