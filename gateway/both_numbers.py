"""The two numbers of a ticket: ours, and the one that the desk's own store has given it. Both lead to the ticket.

A store's numbers are anybody's guess, and may be numbers of ours, too: where a text fits two tickets, only the
writer's own counts. A number alone never opens a ticket (rule 8).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from gateway.context import Context
from gateway.store import feeds, schema, tickets
from gateway.store.people import normal
from gateway.ticket_numbers import is_number

MOST = 20
"""Numbers of one message that are looked at."""
_IN_TEXT = re.compile(
    r"(?<![\w/+.-])(?:#|№ ?)([A-Za-z0-9][A-Za-z0-9-]{0,15})(?![\w/])|(?<![\w/+.#-])(\d{7,12})(?![\w/-]|\.\w)"
)
"""A number as people write it in a short message: #1234, № 1234, or seven digits and more."""


def shown(conn: Connection, ctx: Context, ticket: Row[Any]) -> str:
    """What people are told: the store's, where it has given one."""
    if not ctx.settings.feeds:
        return str(ticket.number)
    return feeds.numbers_of(conn, [ticket.id]).get(ticket.id) or str(ticket.number)


def beside(conn: Connection, ctx: Context, ticket: Row[Any]) -> str:
    """Ours, with the store's beside it where it has given another one: "10000016 (77)". For pages, where there is room:
    whoever was told one of them finds it."""
    told = shown(conn, ctx, ticket)
    return str(ticket.number) if told == str(ticket.number) else f"{ticket.number} ({told})"


def in_text(text: str) -> list[str]:
    """What looks like a ticket's number in a short message."""
    return list(dict.fromkeys(one or other for one, other in _IN_TEXT.findall(text[:500])))[:MOST]


def find(conn: Connection, values: Sequence[str]) -> dict[str, list[int]]:
    """Number -> ids of the tickets that have it, ours first."""
    wanted = list(values)[:MOST]
    table = schema.ticket
    ours = [value for value in wanted if is_number(value)]
    rows = conn.execute(select(table.c.number, table.c.id).where(table.c.number.in_(ours))) if ours else ()
    found: dict[str, list[int]] = {row.number: [row.id] for row in rows}
    for number, ticket_id in feeds.by_number(conn, wanted):
        known = found.setdefault(number, [])
        if ticket_id not in known:
            known.append(ticket_id)
    return found


def named(conn: Connection, values: Sequence[str], sender: str, *, own: bool = False) -> list[str]:
    """Our numbers of the tickets that these numbers mean. `own`: only those that the writer takes part in."""
    meant: list[int] = []
    found = find(conn, values)
    for value in values:
        candidates = found.get(value, [])
        if own or len(candidates) > 1:
            candidates = [one for one in candidates if _takes_part(conn, one, sender)]
        meant += candidates
    return [str(tickets.get(conn, one).number) for one in dict.fromkeys(meant)]


def _takes_part(conn: Connection, ticket_id: int, sender: str) -> bool:
    wanted = normal(sender)
    return any(row.address == wanted for row in tickets.participants(conn, ticket_id))
