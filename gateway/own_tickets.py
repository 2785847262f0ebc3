"""What /status shows: the tickets of a person, whatever they wrote by, and nobody else's."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Row, and_, or_, select

from gateway import both_numbers, facts, wording
from gateway.context import Context
from gateway.dialogs.states import Say
from gateway.identities import Identity, channels_of, identities_of
from gateway.store.schema import ticket
from normalizer.message import Json

SHOWN = 10


def listed(conn: Connection, ctx: Context, who: Identity, account: str, language: str, now: datetime) -> Say:
    """The newest tickets that are not closed, by every identity of the person."""
    rows = of_person(conn, who)
    if not rows:
        return Say(text="status_none")
    shown: list[Json] = [_shown(conn, ctx, row, language, now) for row in rows]
    return Say(text="status", variables={"tickets": shown})


def of_person(conn: Connection, who: Identity) -> list[Row[tuple[object, ...]]]:
    """Tickets that are not closed and that an identity of this person asked for, the newest first."""
    known = [Identity(kind=row.kind, value=row.value) for row in identities_of(conn, who)] or [who]
    mine = or_(*(and_(ticket.c.requester == one.value, ticket.c.channel.in_(channels_of(one.kind))) for one in known))
    wanted = select(ticket).where(mine, ticket.c.status != "closed").order_by(ticket.c.id.desc()).limit(SHOWN)
    return list(conn.execute(wanted))


def _shown(
    conn: Connection, ctx: Context, row: Row[tuple[object, ...]], language: str, now: datetime
) -> dict[str, Json]:
    account = ctx.settings.account(row.channel, row.account)
    due = facts.reply_due(ctx, row, account, language, now)[0] if row.status in ("new", "open") else ""
    zone = facts.zones(ctx, row, account)[0]
    return {
        "number": both_numbers.shown(conn, ctx, row),
        "status": row.status,
        "due": due,
        "subject": facts.plain_subject(row.subject),
        "date": wording.day(language, row.opened_at, now, zone),
    }
