"""How every act of staff on a ticket is carried out: one way, in the caller's transaction.

An act is a function from the ticket's present row to a `Step`; `perform` locks the ticket, looks
whether the act's key was there before, writes message, event and columns, recomputes the deadlines
from the history and lets `gateway.updates` say who is told. Nothing here commits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, select

from gateway import clocks, updates
from gateway.context import Context
from gateway.desk_errors import Conflict as Conflict
from gateway.desk_errors import DeskError as DeskError
from gateway.desk_errors import Invalid as Invalid
from gateway.desk_errors import NotFound as NotFound
from gateway.store import schema, tickets
from normalizer.message import Attachment, Json

TicketRow: TypeAlias = "Row[Any]"
DECISIONS = frozenset({"class", "contract", "line"})
"""Acts whose event names the policy in force (`policy`), as the one that opened the ticket does; others name it
when a deadline moves (`clocks.recompute`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """An act was carried out, now or (`repeated`) by an earlier call with the same key."""

    ticket_id: int
    event_id: int
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A message that an act writes into the ticket."""

    direction: str
    """out: the requester gets it; note: staff only."""
    kind: str
    """reply, question, note."""
    text: str
    attachments: Sequence[Attachment] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What an act does to a ticket."""

    kind: str
    """Of the event and of the change that `gateway.updates` composes notices from."""
    data: Mapping[str, Json] = field(default_factory=dict)
    """Of the event. `status: [before, after]` is there whenever the status changes."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    words: Words | None = None
    told: Mapping[str, Json] = field(default_factory=dict)
    """Beside `data`, for the notices only: what the person wrote."""


Decide: TypeAlias = Callable[[TicketRow], Step]


def locked(conn: Connection, ticket_id: int) -> TicketRow:
    """The ticket's row, locked until the transaction ends. Raises NotFound."""
    row = conn.execute(select(schema.ticket).where(schema.ticket.c.id == ticket_id).with_for_update()).one_or_none()
    if row is None:
        raise NotFound("there is no such ticket; look it up by its number")
    return row


def earlier(conn: Connection, ticket_id: int, key: str | None) -> Done | None:
    """What an earlier call with the same key did. Raises Conflict when it was on another ticket."""
    done = repeated(conn, key)
    if done is not None and done.ticket_id != ticket_id:
        raise Conflict("this key was used for another ticket; use a new one")
    return done


def repeated(conn: Connection, key: str | None) -> Done | None:
    """What an earlier call with the same key did, on whatever ticket."""
    if key is None:
        return None
    wanted = select(schema.event.c.id, schema.event.c.ticket_id).where(schema.event.c.key == key)
    found = conn.execute(wanted).one_or_none()
    return None if found is None else Done(ticket_id=found.ticket_id, event_id=found.id, repeated=True)


def perform(
    conn: Connection, ctx: Context, ticket_id: int, decide: Decide, *, actor: str, now: datetime, key: str | None
) -> Done:
    """Carry out one act. Raises NotFound, Invalid or Conflict, and then has changed nothing."""
    row = locked(conn, ticket_id)
    if done := earlier(conn, ticket_id, key):
        return done
    step = decide(row)
    data: dict[str, Json] = dict(step.data)
    if step.kind in DECISIONS:
        data["policy"] = ctx.policy.version
    if step.words is not None:
        data["message"] = _write(conn, ctx, row, step.words, actor, now)
    event_id = tickets.add_event(conn, ticket_id, at=now, actor=actor, kind=step.kind, data=data, key=key)
    if event_id is None:  # only two nodes with one key at once, where locks are the database's
        raise Conflict("the same act is being carried out; ask again")
    tickets.update(conn, ticket_id, updated_at=now, **step.columns)
    clocks.recompute(conn, ctx, ticket_id, now)
    told = {**data, **step.told}
    updates.compose(
        conn,
        ctx,
        updates.Change(ticket_id=ticket_id, event_id=event_id, kind=step.kind, actor=actor, data=told),
        now,
    )
    return Done(ticket_id=ticket_id, event_id=event_id)


def _write(conn: Connection, ctx: Context, row: TicketRow, words: Words, actor: str, now: datetime) -> int:
    agent = ctx.settings.agents.get(actor.removeprefix("agent:"))
    message_id = tickets.add_message(
        conn,
        row.id,
        direction=words.direction,
        kind=words.kind,
        author=actor,
        author_name=agent.name if agent else "",
        text=words.text,
        visible_text=words.text,
        language="",
        at=now,
    )
    if words.attachments:
        tickets.add_attachments(conn, message_id, words.attachments)
    return message_id
