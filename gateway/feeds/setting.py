"""A field that changed in a store: what that is in acts of the desk, and which side stays when both changed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeAlias

from sqlalchemy import Connection, select

from gateway import actors, desk
from gateway.context import Context
from gateway.desk_acts import TicketRow
from gateway.feeds.contract import Heard, Set
from gateway.feeds.queueing import fields_of
from gateway.store import feeds as store
from gateway.store import schema, tickets
from gateway.store.feeds import Link

Act: TypeAlias = Callable[[Connection, Context, TicketRow, str, str, str, datetime], None]
"""(conn, ctx, ticket, value, actor, key, now). Raises DeskError."""
KINDS: Mapping[str, tuple[str, ...]] = {
    "class": ("class",), "line": ("line",), "onsite": ("onsite", "visit"), "assignee": ("assigned",),
    "contract": ("contract",), "requester": ("requester",),
}  # fmt: skip
"""Field -> the events that change it; the status may be changed by any."""
_ALSO: Mapping[str, tuple[str, ...]] = {"open": ("new",), "closed": ("resolved",)}
TRUE = frozenset({"true", "1", "yes", "on"})


def tell(conn: Connection, link: Link, fields: Mapping[str, str]) -> None:
    """The store says this now."""
    present = store.link_of(conn, link.ticket_id)
    known = present.told if present is not None else link.told
    store.change_link(conn, link, told={**known, **fields})


def agree(conn: Connection, link: Link, *names: str) -> None:
    """What these fields are here is what both sides know."""
    present = fields_of(tickets.get(conn, link.ticket_id))
    tell(conn, link, {name: present[name] for name in names})


def heard_at(conn: Connection, link: Link, heard: Heard, change: Set, now: datetime) -> None:
    """Remember how far the news of this field goes, by the store's own time; a time to come would silence all later
    ones, and is taken for `now`."""
    known, at = _known(conn, link), min(heard.at, now)
    last = known.get(change.field)
    if last is None or at > datetime.fromisoformat(last):
        store.change_link(conn, link, heard={**known, change.field: at.isoformat()})


def is_old(conn: Connection, link: Link, heard: Heard, change: Set, came: datetime) -> bool:
    """Is something newer of this field applied, or was it written there by us, since the news came at `came`?

    What the store says is compared by the store's times, and what we wrote by ours: two clocks differ.
    """
    last = _known(conn, link).get(change.field)
    if last is not None and heard.at < datetime.fromisoformat(last):
        return True
    return store.written_since(conn, link, change.field, came)


def _known(conn: Connection, link: Link) -> Mapping[str, str]:
    present = store.link_of(conn, link.ticket_id)
    return (present.heard if present is not None else None) or {}


def means_the_same(name: str, present: str, value: str) -> bool:
    """Nothing would change: that the store calls new again what is open here, among others."""
    if name == "onsite":
        return bool(present) == (value.casefold() in TRUE)
    if name == "status":
        return value in (present, *_ALSO.get(present, ()))
    return present == value


def ours_stays(conn: Connection, link: Link, heard: Heard, change: Set) -> bool:
    """Both sides changed the field since they last agreed: is it ours that counts?"""
    last = _last(conn, link.ticket_id, change.field)
    if last is None:
        return False
    actor, at = last
    if change.field == "status" and actor in ("requester", "participant"):
        return True  # their answer reopens, whatever was done in the store meanwhile
    return actors.is_person(actor) and not actor.startswith(actors.STORE) and at > heard.at


def _last(conn: Connection, ticket_id: int, name: str) -> tuple[str, datetime] | None:
    """(who, when) of our last change of the field."""
    event = schema.event
    wanted = select(event.c.kind, event.c.actor, event.c.at, event.c.data).where(event.c.ticket_id == ticket_id)
    for row in conn.execute(wanted.order_by(event.c.id.desc())):
        if ("status" in row.data and row.kind != "feed") if name == "status" else row.kind in KINDS.get(name, ()):
            return row.actor, row.at
    return None


def carry_out(conn: Connection, ctx: Context, link: Link, change: Set, *, actor: str, key: str, now: datetime) -> None:
    """Do here what was done there; the act's event has this key. Raises DeskError."""
    ticket = tickets.get(conn, link.ticket_id)
    _ACTS[change.field](conn, ctx, ticket, change.value, actor, key, now)


def _status(conn: Connection, ctx: Context, ticket: TicketRow, value: str, actor: str, key: str, now: datetime) -> None:
    wanted = "open" if value == "new" else value
    if wanted not in desk.TRANSITIONS:
        raise desk.Invalid("no such status; it is one of new, open, waiting, resolved, closed, held")
    present = ticket.status
    if wanted == "closed" and present in ("new", "open", "waiting"):
        # A store may know no more than closed; the requester hears of the resolution all the same, and is asked.
        desk.resolve(conn, ctx, ticket.id, actor=actor, now=now, key=key, result="")
        desk.close(conn, ctx, ticket.id, actor=actor, now=now, key=f"{key}:closed")
        return
    if wanted not in desk.TRANSITIONS[present]:
        desk.set_status(conn, ctx, ticket.id, actor=actor, now=now, key=f"{key}:open", status="open")
    if wanted == "resolved":
        desk.resolve(conn, ctx, ticket.id, actor=actor, now=now, key=key, result="")
    else:
        desk.set_status(conn, ctx, ticket.id, actor=actor, now=now, key=key, status=wanted)


def _class(conn: Connection, ctx: Context, ticket: TicketRow, value: str, actor: str, key: str, now: datetime) -> None:
    if value and not value.isdigit():
        raise desk.Invalid("no such class; it is one of 1 to 6")
    desk.set_class(conn, ctx, ticket.id, actor=actor, now=now, key=key, class_=int(value) if value else None)


def _line(conn: Connection, ctx: Context, ticket: TicketRow, value: str, actor: str, key: str, now: datetime) -> None:
    desk.set_line(conn, ctx, ticket.id, actor=actor, now=now, key=key, line=value, reason="moved in the ticket store")


def _onsite(conn: Connection, ctx: Context, ticket: TicketRow, value: str, actor: str, key: str, now: datetime) -> None:
    desk.set_onsite(conn, ctx, ticket.id, actor=actor, now=now, key=key, onsite=value.casefold() in TRUE)


def _assignee(
    conn: Connection, ctx: Context, ticket: TicketRow, value: str, actor: str, key: str, now: datetime
) -> None:
    desk.assign(conn, ctx, ticket.id, actor=actor, now=now, key=key, agent=value or None)


def _contract(
    conn: Connection, ctx: Context, ticket: TicketRow, value: str, actor: str, key: str, now: datetime
) -> None:
    desk.set_contract(conn, ctx, ticket.id, actor=actor, now=now, key=key, contract=value or None)


def _requester(
    conn: Connection, ctx: Context, ticket: TicketRow, value: str, actor: str, key: str, now: datetime
) -> None:
    desk.set_requester(conn, ctx, ticket.id, actor=actor, now=now, key=key, address=value)


def _subject(
    conn: Connection, _ctx: Context, ticket: TicketRow, value: str, actor: str, key: str, now: datetime
) -> None:
    if not value.strip():
        raise desk.Invalid("a subject has words")
    data = {"subject": value[:1000], "before": ticket.subject}
    tickets.add_event(conn, ticket.id, at=now, actor=actor, kind="subject", data=data, key=key)
    tickets.update(conn, ticket.id, subject=value[:1000], updated_at=now)


_ACTS: Mapping[str, Act] = {
    "status": _status, "class": _class, "line": _line, "onsite": _onsite, "assignee": _assignee,
    "contract": _contract, "subject": _subject, "requester": _requester,
}  # fmt: skip
