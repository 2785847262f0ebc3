"""A ticket of ours finds itself in another ticket of the store: merged there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, update

from gateway.feeds.contract import Ref
from gateway.store import feeds as store
from gateway.store import schema, tickets
from gateway.store.feeds import Link


def moved(conn: Connection, link: Link, into: Ref, *, actor: str, now: datetime, key: str | None = None) -> None:
    """Follow the ticket: what is written and heard goes on under the other one's name.

    Where that is another ticket of ours, both say so in their `related`, and what is done there is told to both
    requesters. Safe to repeat.
    """
    if into.id in (link.ref, link.into):
        return
    others = [other for other in store.links_to(conn, link.feed, into.id) if other.ticket_id != link.ticket_id]
    if others:
        store.change_link(conn, link, state="merged", into=into.id)
        _relate(conn, link.ticket_id, [other.ticket_id for other in others])
    else:
        store.change_link(conn, link, ref=into.id, number=into.number[:64], url=into.url, state="linked", into=None)
    _bring_along(conn, link, into)
    data = {"feed": link.feed, "what": "merged", "into": into.number}
    tickets.add_event(conn, link.ticket_id, at=now, actor=actor, kind="feed", data=data, key=key)


def _bring_along(conn: Connection, link: Link, into: Ref) -> None:
    """Those that were a part of this one."""
    table = schema.feed_link
    parts = (table.c.feed == link.feed, table.c.into == link.ref, table.c.ticket_id != link.ticket_id)
    if link.ref is not None:
        conn.execute(update(table).where(*parts).values(into=into.id))


def _relate(conn: Connection, ticket_id: int, others: Sequence[int]) -> None:
    rows = [tickets.get(conn, one) for one in (ticket_id, *others)]
    for row in rows:
        numbers = [other.number for other in rows if other.id != row.id]
        known = list(row.related or [])
        merged = list(dict.fromkeys([*known, *numbers]))
        if merged != known:
            tickets.update(conn, row.id, related=merged)
