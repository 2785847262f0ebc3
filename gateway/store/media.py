"""Files that are still at the far side: which ones, whose turn it is, and what became of them (rule 10).

A row is put in the transaction that files its message. Its work has two steps: `fetch` while the attachment is
pending, and `transcribe` once it is here and holds somebody's spoken words. A claim is a lease: a row that nobody
settles in time is claimable again, so being killed in the middle costs a second try and nothing else.

Every function runs inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, and_, func, or_, select, update
from sqlalchemy import Row as Found

from gateway.store import tickets
from gateway.store.dialect import insert_new, is_one_of
from gateway.store.schema import attachment, media, message
from normalizer.message import Attachment

Step: TypeAlias = Literal["fetch", "transcribe"]
_OPEN = is_one_of(media.c.state, "waiting", "fetching")
"""Written as in the partial index, which no other condition uses."""
DETAIL = 500
"""Characters that are kept of a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One file to be fetched or transcribed, claimed by `owner`."""

    id: int
    attachment_id: int
    message_id: int
    ticket_id: int
    channel: str
    account: str
    source: str
    attempts: int
    created_at: datetime
    owner: str
    filename: str
    content_type: str
    size: int
    blob: str | None
    """Of a file that is here."""
    state: str
    """Of the attachment."""

    @property
    def step(self) -> Step:
        """What is to be done next."""
        return "fetch" if self.state == tickets.PENDING else "transcribe"


def add_files(
    conn: Connection,
    ticket_id: int,
    message_id: int,
    attachments: Iterable[Attachment],
    *,
    channel: str,
    account: str,
    now: datetime,
) -> None:
    """Add a message's attachments; those that are not here yet are queued to be fetched.

    One without a source, which nobody can fetch, is queued as well: it fails after the commit like any other. A file
    that this ticket has already from the same source (an edit, a replay) is not fetched again.
    """
    items = list(attachments)
    for attachment_id, item in zip(tickets.add_attachments(conn, message_id, items), items, strict=False):
        if item.content is not None or item.sha256:
            continue
        known = _known(conn, ticket_id, channel, account, item.source) if item.source else None
        if known is not None:
            _copy(conn, attachment_id, known)
            continue
        place = {"ticket_id": ticket_id, "channel": channel, "account": account, "source": item.source}
        insert_new(conn, media, {"attachment_id": attachment_id, **place, "due_at": now, "created_at": now})


def _known(conn: Connection, ticket_id: int, channel: str, account: str, source: str) -> Found[Any] | None:
    wanted = (
        select(attachment)
        .join(media, media.c.attachment_id == attachment.c.id)
        .join(message, message.c.id == attachment.c.message_id)
        .where(
            message.c.ticket_id == ticket_id,
            media.c.channel == channel,
            media.c.account == account,
            media.c.source == source,
            attachment.c.state == "here",
        )
    )
    return conn.execute(wanted.order_by(attachment.c.id).limit(1)).one_or_none()


def _copy(conn: Connection, attachment_id: int, known: Found[Any]) -> None:
    names = ("size", "sha256", "content_type", "content", "blob", "state", "transcript")
    values = {name: getattr(known, name) for name in names}
    conn.execute(update(attachment).where(attachment.c.id == attachment_id).values(values))


# -- taking turns -------------------------------------------------------------------------


def due(conn: Connection, channel: str, account: str, now: datetime, limit: int, step: Step = "fetch") -> list[int]:
    """Ids of at most `limit` files of one account whose turn it is for this step, the longest due first."""
    pending = attachment.c.state == tickets.PENDING
    wanted = (
        select(media.c.id)
        .join(attachment, attachment.c.id == media.c.attachment_id)
        .where(_OPEN, media.c.due_at <= now, media.c.channel == channel, media.c.account == account)
        .where(pending if step == "fetch" else ~pending)
    )
    return list(conn.scalars(wanted.order_by(media.c.due_at, media.c.id).limit(limit)))


def claim(conn: Connection, ids: Sequence[int], owner: str, now: datetime, until: datetime) -> list[Row]:
    """Take those of `ids` whose turn it still is, until `until` at the latest."""
    taken = conn.scalars(
        update(media)
        .where(media.c.id.in_(ids), _OPEN, media.c.due_at <= now)
        .values(state="fetching", owner=owner, attempts=media.c.attempts + 1, due_at=until)
        .returning(media.c.id)
    ).all()
    mine = (media.c.id, media.c.attachment_id, media.c.ticket_id, media.c.channel, media.c.account, media.c.source)
    tries = (media.c.attempts, media.c.created_at, media.c.owner)
    file = (attachment.c.filename, attachment.c.content_type, attachment.c.size, attachment.c.blob, attachment.c.state)
    wanted = (
        select(*mine, *tries, attachment.c.message_id, *file)
        .join(attachment, attachment.c.id == media.c.attachment_id)
        .where(media.c.id.in_(taken))
        .order_by(media.c.id)
    )
    return [Row(**found) for found in conn.execute(wanted).mappings()]


def release(conn: Connection, owner: str) -> int:
    """Put back at once what others than `owner` hold: on one server, what a dead process was at. Returns how many."""
    statement = update(media).where(_OPEN, media.c.state == "fetching", media.c.owner != owner)
    return conn.execute(statement.values(state="waiting", due_at=media.c.created_at)).rowcount


def put_back(conn: Connection, owner: str) -> int:
    """What `owner` holds is free again: it stops. Returns how many."""
    statement = update(media).where(_OPEN, media.c.state == "fetching", media.c.owner == owner)
    return conn.execute(statement.values(state="waiting", due_at=media.c.created_at)).rowcount


def begin_anew(conn: Connection, now: datetime) -> int:
    """What waits is waited for from now on: nobody was to fetch it until now. Returns how many."""
    return conn.execute(update(media).where(_OPEN, media.c.state == "waiting").values(created_at=now)).rowcount


def next_due(conn: Connection, accounts: Sequence[tuple[str, str]]) -> datetime | None:
    """When the next turn of these accounts comes; None when nothing waits."""
    if not accounts:
        return None
    mine = or_(*(and_(media.c.channel == channel, media.c.account == account) for channel, account in accounts))
    earliest: datetime | None = conn.scalar(select(func.min(media.c.due_at)).where(_OPEN, mine))
    return earliest


def has_outlived(conn: Connection, before: datetime) -> bool:
    """Is there something for `outlived`?"""
    old = select(media.c.id).where(_OPEN, media.c.state == "waiting", media.c.created_at < before)
    return conn.execute(old.limit(1)).first() is not None


def outlived(conn: Connection, before: datetime, limit: int) -> list[Row]:
    """Files put before `before` that nobody is at and nobody fetched, claimed to be given up."""
    old = select(media.c.id).where(_OPEN, media.c.state == "waiting", media.c.created_at < before).limit(limit)
    ids = list(conn.scalars(old))
    far = conn.scalar(select(func.max(media.c.due_at)).where(media.c.id.in_(ids))) if ids else None
    return claim(conn, ids, "nobody", far, far) if far is not None else []


# -- what came of it ----------------------------------------------------------------------


def settle(
    conn: Connection,
    row: Row,
    state: Literal["waiting", "here", "failed"],
    now: datetime,
    *,
    due_at: datetime | None = None,
    detail: str = "",
    fresh: bool = False,
) -> bool:
    """Write down what a try came to. False when the row is no longer this owner's and this attempt's.

    `fresh`: the next step begins with no attempts counted.
    """
    mine = (media.c.id == row.id, media.c.owner == row.owner, media.c.attempts == row.attempts)
    values: dict[str, Any] = {"state": state, "detail": detail[:DETAIL], "owner": None}
    values |= {"due_at": due_at or now} if state == "waiting" else {"settled_at": now}
    if fresh:
        values["attempts"] = 0
    statement = update(media).where(*mine, is_one_of(media.c.state, "fetching"))
    return conn.execute(statement.values(values)).rowcount == 1


def set_file(conn: Connection, row: Row, *, sha256: str, size: int, content_type: str) -> None:
    """The file is here as a blob; a content type that the message did not name is the fetched one's."""
    values = {"sha256": sha256, "size": size, "blob": sha256, "state": "here"}
    if content_type and row.content_type in ("", "application/octet-stream"):
        values["content_type"] = content_type[:255]
    conn.execute(update(attachment).where(attachment.c.id == row.attachment_id).values(values))


def set_failed(conn: Connection, row: Row) -> None:
    """The file will not come."""
    conn.execute(update(attachment).where(attachment.c.id == row.attachment_id).values(state="failed"))


def set_transcript(conn: Connection, attachment_id: int, text: str) -> None:
    """What somebody says in the file."""
    conn.execute(update(attachment).where(attachment.c.id == attachment_id).values(transcript=text))


def is_transcribed(conn: Connection, attachment_id: int) -> bool:
    """What is said in the file is written down."""
    wanted = select(attachment.c.id).where(attachment.c.id == attachment_id, attachment.c.transcript.is_not(None))
    return conn.execute(wanted).first() is not None


def transcripts(conn: Connection, message_id: int, *, but: int) -> list[str]:
    """What is said in the files of a message, except in one, in their order."""
    wanted = select(attachment.c.transcript).where(
        attachment.c.message_id == message_id, attachment.c.transcript.is_not(None), attachment.c.id != but
    )
    return list(conn.scalars(wanted.order_by(attachment.c.id)))


def waiting_since(conn: Connection) -> tuple[int, datetime | None]:
    """How many files are not here yet, and when the oldest was put."""
    count, oldest = conn.execute(select(func.count(), func.min(media.c.created_at)).where(_OPEN)).one()
    return int(count), oldest
