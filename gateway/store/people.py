"""Contacts and their identities: who writes to us, and whether we can reach them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, String, and_, bindparam, delete, insert, select, update

from gateway.store.dialect import add_new
from gateway.store.prepared import Prepared
from gateway.store.schema import contact, identity, unreachable

IDENTITY_LIMIT = 320
"""Characters of an identity's value: the longest mail address."""

# Made once: building a statement costs more than running it.
_SAME = (identity.c.kind == bindparam("of_kind"), identity.c.value == bindparam("of_value"))
_FIND = Prepared(select(identity).where(*_SAME))
BY_CHANNEL = and_(
    unreachable.c.kind == identity.c.kind,
    unreachable.c.value == identity.c.value,
    unreachable.c.channel == bindparam("of_channel"),
)
"""Joins to an identity the mark that nothing reaches it by a channel."""
_KNOWN = Prepared(
    select(identity.c.contact_id, unreachable.c.at.label("unreachable_at"), contact.c.name, contact.c.language)
    .join(contact, contact.c.id == identity.c.contact_id)
    .join(unreachable, BY_CHANNEL, isouter=True)
    .where(*_SAME)
)
_NEW = Prepared(insert(contact).returning(contact.c.id))
_GET = Prepared(select(contact).where(contact.c.id == bindparam("of_id")))
_MARKED = (
    unreachable.c.kind == bindparam("of_kind"),
    unreachable.c.value == bindparam("of_value"),
    unreachable.c.channel == bindparam("of_channel"),
)
_IDENTITIES = Prepared(
    select(identity).where(identity.c.contact_id == bindparam("of_id")).order_by(identity.c.kind, identity.c.value)
)
_SET_LANGUAGE = Prepared(
    update(contact).where(contact.c.id == bindparam("of_id")).values(language=bindparam("new_language", type_=String()))
)
_REACHABLE = Prepared(delete(unreachable).where(*_MARKED))
_GONE = Prepared(select(unreachable).where(*_MARKED))


def normal(value: str) -> str:
    """How an identity is compared and stored: lower case, without spaces around, at most 320 characters."""
    return value.strip().lower()[:IDENTITY_LIMIT]


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """A contact, found by one of its identities."""

    id: int
    language: str | None = None
    """The person's own choice."""
    unreachable: bool = False
    """Nothing arrived at this identity by the channel lately."""


def meet(conn: Connection, kind: str, value: str, name: str, now: datetime, *, channel: str = "") -> Met:
    """The contact of this identity (`kind` mail, phone, telegram …) that writes by `channel`; made when it is a
    stranger's.

    A name is remembered when none was known; a later name changes nothing.
    """
    value = normal(value)
    wanted = {"of_kind": kind, "of_value": value, "of_channel": channel}
    found = _KNOWN.first(conn, wanted)
    if found is None:
        made = _NEW.scalar(conn, {"name": name, "created_at": now})
        if add_new(conn, identity, {"kind": kind, "value": value, "contact_id": made}):
            return Met(id=made)
        # Another node was faster; the contact just made stays without an identity and does no harm.
        found = _KNOWN.one(conn, wanted)
    if name and not found.name:
        conn.execute(update(contact).where(contact.c.id == found.contact_id).values(name=name))
    return Met(id=found.contact_id, language=found.language, unreachable=found.unreachable_at is not None)


def contact_for(conn: Connection, kind: str, value: str, name: str, now: datetime) -> int:
    """Id of the contact that `meet` finds or makes."""
    return meet(conn, kind, value, name, now).id


def get(conn: Connection, contact_id: int) -> Row[Any]:
    """The contact's row. Raises NoResultFound."""
    return _GET.one(conn, {"of_id": contact_id})


def exists(conn: Connection, contact_id: int) -> bool:
    """There is such a contact."""
    return _GET.first(conn, {"of_id": contact_id}) is not None


def find(conn: Connection, kind: str, value: str) -> Row[Any] | None:
    """The identity's row, or None."""
    return _FIND.first(conn, {"of_kind": kind, "of_value": normal(value)})


def identities(conn: Connection, contact_id: int) -> list[Row[Any]]:
    """Every identity of a contact, by kind and value."""
    return list(_IDENTITIES.all(conn, {"of_id": contact_id}))


def set_name_if_none(conn: Connection, contact_id: int, name: str) -> None:
    """Remember a name where none is known."""
    conn.execute(update(contact).where(contact.c.id == contact_id, contact.c.name == "").values(name=name))


def set_language(conn: Connection, contact_id: int, language: str | None) -> None:
    """Remember the person's own choice (None: forget it). Never call it with a guess."""
    _SET_LANGUAGE.run(conn, {"of_id": contact_id, "new_language": language})


def set_no_surveys(conn: Connection, contact_id: int, wish: bool) -> None:
    """Remember whether this person wants no surveys."""
    conn.execute(update(contact).where(contact.c.id == contact_id).values(no_surveys=wish))


def new_contact(conn: Connection, name: str, now: datetime) -> int:
    """A contact without an identity yet."""
    return int(_NEW.scalar(conn, {"name": name, "created_at": now}))


def mark_unreachable(conn: Connection, kind: str, value: str, channel: str, why: str, now: datetime) -> bool:
    """Remember that nothing arrives at this identity by this channel; by others it may.

    False when the identity is unknown, or was marked already.
    """
    if find(conn, kind, value) is None:
        return False
    mark = {"kind": kind, "value": normal(value), "channel": channel, "why": why[:500], "at": now}
    return add_new(conn, unreachable, mark)


def mark_reachable(conn: Connection, kind: str, value: str, channel: str) -> None:
    """Forget the mark: the person wrote by this channel, or something arrived there."""
    _REACHABLE.run(conn, {"of_kind": kind, "of_value": normal(value), "of_channel": channel})


def unreachable_by(conn: Connection, kind: str, value: str, channel: str) -> Row[Any] | None:
    """Since when (`at`) and why nothing reaches this identity by this channel; None: it may be tried."""
    return _GONE.first(conn, {"of_kind": kind, "of_value": normal(value), "of_channel": channel})


def marks(conn: Connection, contact_id: int) -> list[Row[Any]]:
    """Every mark of a contact's identities, by identity and channel."""
    same = and_(unreachable.c.kind == identity.c.kind, unreachable.c.value == identity.c.value)
    wanted = select(unreachable).join(identity, same).where(identity.c.contact_id == contact_id)
    return list(conn.execute(wanted.order_by(unreachable.c.kind, unreachable.c.value, unreachable.c.channel)))
