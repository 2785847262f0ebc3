"""May anything automatic go out because of this message? (rule 9)

Each reason to stay silent is one row of a table; caps come last and are the only ones that count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from sqlalchemy import Connection, bindparam, or_, select

from gateway.context import Context
from gateway.store import counters
from gateway.store.journal import Entry
from gateway.store.people import normal
from gateway.store.prepared import Prepared
from gateway.store.schema import event
from normalizer.message import Message, Trust

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who would be answered, and because of which entry."""

    ctx: Context
    entry: Entry
    message: Message
    recipient: str

    @property
    def staff(self) -> bool:
        """The recipient is an agent."""
        return self.ctx.settings.agent_by_address(self.recipient) is not None

    @property
    def account_gone(self) -> bool:
        """The configuration no longer has the account. One with `outbound: off` has: the pilot's report wants words."""
        return self.ctx.settings.account(self.entry.raw.channel, self.entry.raw.account) is None

    @property
    def age(self) -> timedelta:
        """How old the message was when it reached us."""
        return self.entry.accepted_at - self.entry.raw.received_at


Test: TypeAlias = Callable[[Asked], bool]
SILENT: tuple[tuple[str, Test], ...] = (
    ("robot", lambda asked: asked.message.kind != "message" or asked.message.robot),
    ("replayed", lambda asked: not asked.entry.notify),
    ("imported", lambda asked: bool(asked.entry.raw.facts.get("imported"))),
    ("old", lambda asked: asked.age > asked.ctx.settings.tickets.automatic_age),
    ("account gone", lambda asked: asked.account_gone),
    ("no address", lambda asked: not asked.recipient),
    ("own address", lambda asked: asked.ctx.settings.is_own(asked.recipient)),
    ("staff", lambda asked: asked.staff),
    ("suspect", lambda asked: asked.message.trust is Trust.SUSPECT),
)
"""Reason to stay silent -> whether it holds."""


def why_silent(conn: Connection, asked: Asked, now: datetime, *, counted: bool = True) -> str:
    """Why nothing automatic may go out; "" when it may, and then (if `counted`) it is counted."""
    for reason, holds in SILENT:
        if holds(asked):
            return reason
    if not counted:
        return ""
    raw = asked.entry.raw
    return "" if within_caps(conn, asked.ctx, raw.channel, raw.account, asked.recipient, now) else "cap"


_LAST_WORD = Prepared(
    select(event.c.data)
    .where(
        event.c.ticket_id == bindparam("ticket"),
        or_(event.c.kind == "opened", event.c.kind == "requester", event.c.actor == "requester"),
    )
    .order_by(event.c.id.desc())
    .limit(1)
)


def is_robots(conn: Connection, ticket_id: int) -> bool:
    """The ticket's requester is a machine, by the last that came from there; also long after it was opened."""
    said = _LAST_WORD.scalar(conn, {"ticket": ticket_id})
    return said is not None and (bool(said.get("robot")) or said.get("silent") == "robot")


def is_circling(conn: Connection, ctx: Context, entry: Entry, sender: str, now: datetime) -> bool:
    """Mail from an address that we tell of tickets, more than its cap: a robot there answers our notices.

    Counts. Staff are not told of such a message; it is filed like any other.
    """
    settings = ctx.settings
    told = {normal(address) for desk in settings.lines.values() for address in desk.recipients}
    told |= {normal(address) for address in (*settings.watchers, *settings.operator_addresses())}
    if normal(sender) not in told:
        return False
    return not within_caps(conn, ctx, entry.raw.channel, "", f"from:{normal(sender)}", now)


def within_caps(conn: Connection, ctx: Context, channel: str, account: str, address: str, now: datetime) -> bool:
    """Count one automatic message to `address`; False when it is one too many for the minute or the day."""
    caps = ctx.settings.caps
    limits = (
        (f"auto:minute:address:{channel}:{normal(address)}", MINUTE, caps.per_address_minute),
        (f"auto:day:address:{channel}:{normal(address)}", DAY, caps.per_address_day),
        (f"auto:minute:account:{channel}:{account}", MINUTE, caps.per_account_minute),
    )
    return counters.count_within(conn, [(name, counters.bucket(now, span), limit) for name, span, limit in limits])
