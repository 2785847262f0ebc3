"""Which identity went from which contact to which: done, written down and undone in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, insert, or_, select, update

from gateway.store.people import normal
from gateway.store.schema import identity, identity_change, survey, ticket

UNDO = "undo"
"""`how` of a change that takes another one back."""


def move(
    conn: Connection,
    kind: str,
    value: str,
    *,
    source: int,
    target: int,
    channels: Sequence[str],
    how: str,
    actor: str,
    now: datetime,
) -> int | None:
    """Give an identity of contact `source` to `target`, with the tickets and surveys that came by it.

    `channels` are those on which `value` is this kind of identity. Returns the id of the change; None when the
    identity is not `source`'s any more.
    """
    value = normal(value)
    same = (identity.c.kind == kind, identity.c.value == value, identity.c.contact_id == source)
    if not conn.execute(update(identity).where(*same).values(contact_id=target)).rowcount:
        return None
    _take_along(conn, value, source, target, channels)
    row = {"kind": kind, "value": value, "from_contact": source, "to_contact": target, "how": how[:24]}
    made = insert(identity_change).values(**row, actor=actor, at=now).returning(identity_change.c.id)
    return int(conn.execute(made).scalar_one())


def _take_along(conn: Connection, value: str, source: int, target: int, channels: Sequence[str]) -> None:
    mine = (ticket.c.requester == value, ticket.c.channel.in_(channels), ticket.c.requester_id == source)
    conn.execute(update(ticket).where(*mine).values(requester_id=target))
    # Who was asked about the same resolution under both identities keeps both questions where they are.
    other = survey.alias("other")
    asked = exists().where(
        other.c.ticket_id == survey.c.ticket_id,
        other.c.resolution == survey.c.resolution,
        other.c.contact_id == target,
    )
    theirs = (survey.c.recipient == value, survey.c.channel.in_(channels), survey.c.contact_id == source)
    conn.execute(update(survey).where(*theirs, ~asked).values(contact_id=target))


def get(conn: Connection, change_id: int) -> Row[Any] | None:
    """One change, locked."""
    wanted = select(identity_change).where(identity_change.c.id == change_id).with_for_update()
    return conn.execute(wanted).one_or_none()


def together(conn: Connection, change: Row[Any]) -> Sequence[Row[Any]]:
    """The change and those that were made by the same act, the newest first; undone ones left out."""
    table = identity_change
    same = [table.c[name] == getattr(change, name) for name in ("from_contact", "to_contact", "how", "actor", "at")]
    wanted = select(table).where(*same, table.c.undone_at.is_(None)).order_by(table.c.id.desc())
    return conn.execute(wanted).all()


def last(conn: Connection, kind: str, value: str) -> Row[Any] | None:
    """The newest change of an identity, or made by its owner, that was not undone and undoes nothing; None: none."""
    table = identity_change
    value = normal(value)
    theirs = or_(and_(table.c.kind == kind, table.c.value == value), table.c.actor == f"{kind}:{value}")
    wanted = select(table).where(theirs, table.c.undone_at.is_(None), table.c.how != UNDO)
    return conn.execute(wanted.order_by(table.c.id.desc()).limit(1)).one_or_none()


def mark_undone(conn: Connection, change_id: int, now: datetime) -> None:
    """This change was taken back."""
    conn.execute(update(identity_change).where(identity_change.c.id == change_id).values(undone_at=now))


def contacts_of(conn: Connection, kind: str, value: str) -> list[int]:
    """Every contact that an identity went from or to, in order."""
    table = identity_change
    wanted = select(table.c.from_contact, table.c.to_contact).where(
        table.c.kind == kind, table.c.value == normal(value)
    )
    rows = conn.execute(wanted.order_by(table.c.id)).all()
    return list(dict.fromkeys(contact for row in rows for contact in (row.from_contact, row.to_contact)))


def of_contact(conn: Connection, contact_id: int, limit: int = 100) -> Sequence[Row[Any]]:
    """What came to a contact and went from it, the newest first."""
    table = identity_change
    wanted = select(table).where(or_(table.c.from_contact == contact_id, table.c.to_contact == contact_id))
    return conn.execute(wanted.order_by(table.c.id.desc()).limit(limit)).all()
