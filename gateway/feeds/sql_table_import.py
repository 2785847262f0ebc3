"""Tickets that were in the tables before us, and tickets that have one key of ours twice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.feeds.contract import Existing, FeedError, Page, Person, Ref
from gateway.feeds.sql_table_settings import SqlSettings
from gateway.feeds.sql_table_shape import Shape, Slot
from gateway.feeds.sql_table_values import OVER, Words
from gateway.feeds.sql_table_writing import named

PAGE = 200
"""Tickets of one page."""
_MESSAGES = 200
"""Message-IDs of one ticket, the newest."""


def doubles(conn: Connection, shape: Shape, settings: SqlSettings) -> Mapping[str, Sequence[Ref]]:
    """Key of ours -> its tickets, where there is more than one."""
    key, ids = shape.key.column, shape.tickets.ids
    twice = sa.select(key).where(key.is_not(None), key != "").group_by(key).having(sa.func.count() > 1).limit(1000)
    keys = [row[0] for row in conn.execute(twice)]
    number = [shape.number] if shape.number is not None else []
    found: dict[str, list[Ref]] = {}
    if keys:
        asked = sa.select(key, *ids, *number).select_from(shape.joined()).where(key.in_(keys)).order_by(key, *ids)
        for row in conn.execute(asked):
            found.setdefault(str(row[0]), []).append(_ref(shape, settings, row[1:]))
    return {each: refs for each, refs in found.items() if len({ref.id for ref in refs}) > 1}


def _ref(shape: Shape, settings: SqlSettings, row: Sequence[Any]) -> Ref:
    ids = row[: len(shape.tickets.ids)]
    number = row[len(ids)] if shape.number is not None else None
    return named(
        settings, shape.ref(ids), number if number is not None else "-".join(str(each).rstrip() for each in ids)
    )


def existing(conn: Connection, shape: Shape, settings: SqlSettings, cursor: str | None, now: datetime) -> Page:
    """A page of tickets that are open and have no key of ours, by their keys. Raises FeedError without a status."""
    slots = [slot for bound in shape.places() for slot in bound.slots if slot.field != "key" and slot.reads]
    status = next((slot for slot in slots if slot.field == "status"), None)
    if status is None:
        raise FeedError("no column is mapped to the status: which tickets are open is not known", again=False)
    ids, key = shape.tickets.ids, shape.key.column
    number = [shape.number] if shape.number is not None else []
    asked = sa.select(*ids, *number, *(slot.form.asked(slot.column) for slot in slots)).select_from(shape.joined())
    words = Words(conn, settings.map)
    over = [code for ours in OVER for code in words.codes(status, ours)]
    asked = asked.where(sa.or_(key.is_(None), key == ""), sa.or_(status.column.is_(None), status.column.not_in(over)))
    if shape.gone:
        asked = asked.where(sa.not_(sa.func.coalesce(sa.or_(*shape.gone), sa.false())))
    if cursor is not None:
        asked = asked.where(sa.tuple_(*ids) > sa.tuple_(*_position(shape, cursor)) if len(ids) > 1 else
                            ids[0] > _position(shape, cursor)[0])  # fmt: skip
    rows = conn.execute(asked.order_by(*ids).limit(PAGE)).all()
    start = len(ids) + len(number)
    tickets = []
    odd: list[str] = []
    for row in rows:
        said = {slot.field: (slot, value) for slot, value in zip(slots, row[start:], strict=True)}
        ref = _ref(shape, settings, row)
        mails = _mails(conn, shape, row[: len(ids)])
        tickets.append(_existing(words, said, ref, mails, now, odd))
    last = json.dumps([str(each) for each in rows[-1][: len(ids)]]) if len(rows) == PAGE else None
    return Page(tickets=tuple(tickets), cursor=last, odd=tuple(odd))


def _position(shape: Shape, cursor: str) -> Sequence[Any]:
    words = json.loads(cursor)
    ids = shape.ids(words[0] if len(words) == 1 else cursor)
    if ids is None:
        raise FeedError("the cursor is none of this feed's", again=False)
    return ids


def _existing(
    words: Words, said: Mapping[str, tuple[Slot, Any]], ref: Ref, mails: Sequence[str], now: datetime, odd: list[str]
) -> Existing:
    def word(name: str) -> str:
        if name not in said:
            return ""
        found, raw, known = words.ours(*said[name])
        if not known:
            odd.append(f"ticket {ref.number}: the map has no word for {name} {raw!r}")
        return found

    opened = said["opened_at"][0].form.moment(said["opened_at"][1]) if "opened_at" in said else None
    copies = [Person(address=each.strip()) for each in word("copies").split(",") if each.strip()]
    return Existing(
        ref=ref,
        subject=word("subject"),
        requester=Person(
            address=word("requester"), name=word("requester_name"), channel=word("requester_channel") or "mail"
        ),
        copies=tuple(copies),
        status=word("status") or "open",
        class_=int(word("class")) if word("class") else None,
        line=word("line") or "L1",
        assignee=word("assignee"),
        opened_at=opened if opened is not None else now,
        message_ids=tuple(mails),
    )


def _mails(conn: Connection, shape: Shape, ids: Sequence[Any]) -> list[str]:
    messages = shape.messages
    slot = messages.of("message_id") if messages is not None else None
    if messages is None or slot is None:
        return []
    ties = []
    for name, of in messages.on.items():
        beside, dot, column = of.rpartition(".")
        table = shape.beside[beside].table if dot else shape.tickets.table
        ties.append(messages.table.c[name] == table.c[column])
    source = messages.table.join(shape.joined(), sa.and_(*ties))
    asked = sa.select(slot.column).select_from(source).where(shape.tickets.where(ids), slot.column.is_not(None))
    found = conn.execute(
        asked.where(slot.column != "").order_by(*(each.desc() for each in messages.ids)).limit(_MESSAGES)
    )
    return [str(row[0]).strip().strip("<>") for row in found]
