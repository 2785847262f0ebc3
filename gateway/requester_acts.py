"""What the person who asked can do to a ticket without writing a mail: say that the problem remains."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from gateway.context import Context
from gateway.desk_acts import Done, Step, TicketRow, perform
from gateway.store import tickets
from normalizer.message import Json

LONGEST = 10_000


def problem_remains(
    conn: Connection, ctx: Context, ticket_id: int, *, who: str, text: str, now: datetime, key: str | None = None
) -> Done | None:
    """Reopen a resolved or closed ticket; `text` becomes a message of `who`. Raises NotFound.

    None: the ticket is open anyway and nothing was said.
    """
    text = text.strip()[:LONGEST]
    ticket = tickets.lock(conn, ticket_id)
    done = ticket.status in ("resolved", "closed")
    if not done and not text:
        return None
    data: dict[str, Json] = {}
    if text:
        data["message"] = tickets.add_message(
            conn, ticket_id, direction="in", kind="message", author=who, text=text, at=now
        )

    def decide(row: TicketRow) -> Step:
        if done:
            changed: dict[str, Json] = {**data, "status": [row.status, "open"]}
            return Step(kind="reopened", data=changed, columns={"status": "open", "resolved_at": None})
        return Step(kind="message", data=data)

    return perform(conn, ctx, ticket_id, decide, actor="requester", now=now, key=key)
