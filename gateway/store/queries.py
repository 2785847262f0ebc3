"""Reads for staff: pages by keyset, newest first, so that what arrives meanwhile moves nothing.

Each function takes the id after which to go on (None: from the newest) and never counts or skips rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Row, Select, Table, func, select

from gateway.store import chats
from gateway.store.dialect import is_one_of
from gateway.store.schema import attachment, entry, event, message, outbox, participant, rating, raw, survey, ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which tickets; None: any."""

    channel: str | None = None
    requester: str | None = None
    status: str | None = None
    line: str | None = None
    contract: str | None = None
    class_: int | None = None
    assignee: str | None = None


def tickets(
    conn: Connection, filters: Filters, *, contracts: Collection[str] | None, before: int | None, limit: int
) -> Sequence[Row[Any]]:
    """Tickets by falling id; `contracts` limits what the caller may see (None: all)."""
    wanted = _page(select(ticket), ticket.c.id, before, limit)
    equal: Mapping[Column[Any], object] = {
        ticket.c.channel: filters.channel,
        ticket.c.status: filters.status,
        ticket.c.line: filters.line,
        ticket.c.contract: filters.contract,
        ticket.c.class_: filters.class_,
        ticket.c.assignee: filters.assignee,
        ticket.c.requester: None if filters.requester is None else filters.requester.strip().lower(),
    }
    for column, value in equal.items():
        if value is not None:
            wanted = wanted.where(column == value)
    if contracts is not None:
        wanted = wanted.where(ticket.c.contract.in_(sorted(contracts)))
    return conn.execute(wanted).all()


def requester_names(conn: Connection, rows: Iterable[Row[Any]]) -> dict[int, str]:
    """Ticket id -> the requester's name, "" when nobody said it."""
    ids = [row.id for row in rows]
    found = conn.execute(
        select(participant.c.ticket_id, participant.c.name).where(
            participant.c.ticket_id.in_(ids), participant.c.role == "requester"
        )
    )
    return {row.ticket_id: row.name for row in found}


def messages(conn: Connection, ticket_ids: Collection[int]) -> dict[int, list[Row[Any]]]:
    """Ticket id -> its messages, oldest first, the present revision of each where the first one stood."""
    found: dict[int, list[Row[Any]]] = defaultdict(list)
    wanted = select(message).where(message.c.ticket_id.in_(list(ticket_ids)), message.c.current).order_by(message.c.id)
    for row in chats.in_place(conn, conn.execute(wanted).all()):
        found[row.ticket_id].append(row)
    return found


def revisions(conn: Connection, rows: Sequence[Row[Any]]) -> dict[int, list[Row[Any]]]:
    """Message id -> its earlier readings and what it said before it was edited, oldest first."""
    found = chats.older_texts(conn, rows)
    shown = {
        row.entry_id: row.id for row in rows if row.generation and row.entry_id is not None and row.id not in found
    }
    wanted = select(message).where(message.c.entry_id.in_(list(shown)), ~message.c.current)
    for row in conn.execute(wanted.order_by(message.c.generation)) if shown else ():
        found[shown[row.entry_id]].append(row)
    return found


def attachments(conn: Connection, message_ids: Collection[int]) -> dict[int, list[Row[Any]]]:
    """Message id -> its attachments without their content."""
    columns = [column for column in attachment.c if column.name != "content"]
    found: dict[int, list[Row[Any]]] = defaultdict(list)
    wanted = select(*columns).where(attachment.c.message_id.in_(list(message_ids))).order_by(attachment.c.id)
    for row in conn.execute(wanted) if message_ids else ():
        found[row.message_id].append(row)
    return found | chats.album_files(conn, message_ids) if message_ids else found


def attachment_of(conn: Connection, ticket_id: int, attachment_id: int) -> Row[Any] | None:
    """One attachment with its content, if it belongs to the ticket."""
    wanted = (
        select(attachment)
        .join(message, message.c.id == attachment.c.message_id)
        .where(attachment.c.id == attachment_id, message.c.ticket_id == ticket_id)
    )
    return conn.execute(wanted).one_or_none()


def participants(conn: Connection, ticket_id: int) -> Sequence[Row[Any]]:
    """Who takes part."""
    return conn.execute(
        select(participant).where(participant.c.ticket_id == ticket_id).order_by(participant.c.address)
    ).all()


def events(conn: Connection, ticket_id: int) -> Sequence[Row[Any]]:
    """The history, oldest first."""
    return conn.execute(select(event).where(event.c.ticket_id == ticket_id).order_by(event.c.id)).all()


def notices(conn: Connection, ticket_id: int) -> Sequence[Row[Any]]:
    """What went out, or will, about a ticket."""
    return conn.execute(select(outbox).where(outbox.c.ticket_id == ticket_id).order_by(outbox.c.id)).all()


def entry_outcomes(conn: Connection, ids: Collection[int]) -> Sequence[Row[Any]]:
    """What journal entries became: the decision trace of filing."""
    columns = (entry.c.id, entry.c.state, entry.c.generation, entry.c.outcome, entry.c.received_at, entry.c.accepted_at)
    wanted: Select[Any] = select(*columns).where(entry.c.id.in_(list(ids)))
    return conn.execute(wanted.order_by(entry.c.id)).all()


def ratings(conn: Connection, ticket_id: int) -> Sequence[Row[Any]]:
    """Every vote on a ticket, oldest first, with the person asked."""
    wanted = (
        select(rating, survey.c.recipient, survey.c.resolution)
        .join(survey, survey.c.id == rating.c.survey_id)
        .where(rating.c.ticket_id == ticket_id)
        .order_by(rating.c.id)
    )
    return conn.execute(wanted).all()


def surveys(conn: Connection, ticket_id: int) -> Sequence[Row[Any]]:
    """Every survey of a ticket, oldest first."""
    return conn.execute(select(survey).where(survey.c.ticket_id == ticket_id).order_by(survey.c.id)).all()


# -- operations ---------------------------------------------------------------------------


def entries(
    conn: Connection, *, state: str | None, before: int | None, limit: int, account: str | None = None
) -> Sequence[Row[Any]]:
    """Journal entries by falling id."""
    wanted = _page(select(entry), entry.c.id, before, limit)
    if state is not None:
        wanted = wanted.where(is_one_of(entry.c.state, state))
    if account is not None:
        wanted = wanted.where(entry.c.account == account)
    return conn.execute(wanted).all()


def entry_row(conn: Connection, entry_id: int) -> Row[Any] | None:
    """One journal entry."""
    return conn.execute(select(entry).where(entry.c.id == entry_id)).one_or_none()


def raw_of(conn: Connection, entry_id: int) -> Row[Any] | None:
    """Where the bytes of an entry are: `content`, or the name of a `blob`, or neither any more."""
    wanted: Select[Any] = (
        select(raw.c.content, entry.c.blob).select_from(entry.outerjoin(raw)).where(entry.c.id == entry_id)
    )
    return conn.execute(wanted).one_or_none()


def entries_to_replay(
    conn: Connection,
    *,
    ids: Collection[int] | None,
    since: datetime | None,
    until: datetime | None,
    quarantined: bool,
    limit: int = 1000,
) -> list[int]:
    """Ids of processed entries that match everything given, the oldest first."""
    states = ("quarantined",) if quarantined else ("done", "quarantined")
    wanted = select(entry.c.id).where(is_one_of(entry.c.state, *states))
    if ids is not None:
        wanted = wanted.where(entry.c.id.in_(list(ids)))
    if since is not None:
        wanted = wanted.where(entry.c.accepted_at >= since)
    if until is not None:
        wanted = wanted.where(entry.c.accepted_at < until)
    return list(conn.scalars(wanted.order_by(entry.c.id).limit(limit)))


def outbox_row(conn: Connection, notice_id: int) -> Row[Any] | None:
    """One row of the outbox."""
    return conn.execute(select(outbox).where(outbox.c.id == notice_id)).one_or_none()


def outbox_rows(conn: Connection, *, states: Collection[str], before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Rows of the outbox by falling id; no states: all."""
    wanted = _page(select(outbox), outbox.c.id, before, limit)
    if states:
        wanted = wanted.where(is_one_of(outbox.c.state, *sorted(states)))
    return conn.execute(wanted).all()


def _page(wanted: Select[Any], key: Column[int], before: int | None, limit: int) -> Select[Any]:
    if before is not None:
        wanted = wanted.where(key < before)
    return wanted.order_by(key.desc()).limit(limit)


# -- status -------------------------------------------------------------------------------

OPEN_STATUSES = ("new", "open", "waiting", "held", "resolved")
_RECENT = 5000
_RECENT_NOTICES = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits, at one moment."""

    journal_pending: int
    journal_quarantined: int
    journal_oldest: datetime | None
    """When the oldest pending entry was accepted."""
    outbox_waiting: int
    outbox_due: int
    outbox_oldest: datetime | None
    """When the longest due notice became due."""
    outbox_unknown: int
    """Among the newest 50,000 rows."""
    outbox_dead: int
    tickets: Mapping[str, int]
    """Status -> tickets; closed ones are not counted."""
    last_accepted: Mapping[str, datetime]
    """"channel/account" -> the last acceptance among the newest 5000 entries."""


def backlog(conn: Connection, now: datetime) -> Backlog:
    """Counts over partial indexes: cheap however many millions are done."""
    waiting = is_one_of(outbox.c.state, "waiting")
    due = (waiting, outbox.c.due_at <= now)
    recent = select(entry.c.channel, entry.c.account, entry.c.accepted_at).order_by(entry.c.id.desc()).limit(_RECENT)
    newest = recent.subquery()
    per_account = select(newest.c.channel, newest.c.account, func.max(newest.c.accepted_at).label("at"))
    statuses = select(ticket.c.status, func.count()).where(ticket.c.status.in_(OPEN_STATUSES))
    return Backlog(
        journal_pending=_count(conn, entry, is_one_of(entry.c.state, "pending")),
        journal_quarantined=_count(conn, entry, is_one_of(entry.c.state, "quarantined")),
        journal_oldest=conn.scalar(select(func.min(entry.c.accepted_at)).where(is_one_of(entry.c.state, "pending"))),
        outbox_waiting=_count(conn, outbox, waiting),
        outbox_due=_count(conn, outbox, *due),
        outbox_oldest=conn.scalar(select(func.min(outbox.c.due_at)).where(*due)),
        outbox_unknown=_count(conn, outbox, outbox.c.state == "unknown", outbox.c.id > _newest(conn) - _RECENT_NOTICES),
        outbox_dead=_count(conn, outbox, is_one_of(outbox.c.state, "dead")),
        tickets={row[0]: row[1] for row in conn.execute(statuses.group_by(ticket.c.status))},
        last_accepted={
            f"{row.channel}/{row.account}": row.at
            for row in conn.execute(per_account.group_by(newest.c.channel, newest.c.account))
        },
    )


def _newest(conn: Connection) -> int:
    return conn.scalar(select(func.max(outbox.c.id))) or 0


def _count(conn: Connection, table: Table, *where: Any) -> int:
    return int(conn.execute(select(func.count()).select_from(table).where(*where)).scalar_one())
