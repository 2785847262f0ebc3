"""What a delivery try came to, as a row of the outbox and on the ticket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import TypeAlias

from sqlalchemy import Connection

from channels.registry import identity_kind
from gateway import chats_moved, next_channel, notices
from gateway.context import Context
from gateway.settings import Outbox as OutboxSettings
from gateway.store import consents, outbox, people, threads, tickets
from gateway.store.outbox import Row, Settlement, State
from gateway.text_names import TO_REQUESTER
from gateway.updates import Change
from normalizer.message import RATING_CALL, Delivery, Fault, Json, KeyKind, Receipt

Compose: TypeAlias = Callable[[Connection, Context, Change, datetime], None]

ENDS: dict[Delivery, State] = {
    Delivery.SENT: "sent",
    Delivery.REFUSED: "refused",
    Delivery.UNREACHABLE: "unreachable",
}
ON_THE_TICKET = frozenset({"refused", "unreachable", "unknown", "dead"})
"""States that the ticket's history shows."""
TOLD = frozenset({"refused", "unreachable", "dead"})
"""States of which the desk gets a notice."""
NOT_TOLD_ABOUT = frozenset({"undelivered", "alert", RATING_CALL})
"""Kinds of notices whose own failure makes no further notice: nothing goes round in circles, and that nobody could be
called and asked for a mark is nothing for staff to do."""
SHORTEST = 1.0
"""Seconds before a repeat, whatever the far side says."""


def of_receipt(
    row: Row, receipt: Receipt, *, captured: bool, settings: OutboxSettings, random: Random, now: datetime
) -> Settlement:
    """A sender's receipt as a settlement: RETRY becomes a later try, or a dead letter after `max_age`."""
    if receipt.delivery is not Delivery.RETRY:
        state: State = "captured" if captured and receipt.delivery is Delivery.SENT else ENDS[receipt.delivery]
        return _settlement(row, state, receipt)
    if now - (row.first_sending_at or now) >= settings.max_age:
        return _settlement(row, "dead", receipt)
    delay = back_off(row.attempts, receipt.retry_after, settings, random)
    return _settlement(row, "waiting", receipt, due_at=now + timedelta(seconds=delay))


def of_doubt(
    row: Row, detail: str, *, settings: OutboxSettings, random: Random, now: datetime, at_once: bool = False
) -> Settlement:
    """Nobody knows whether it went out (rule 12): a person's words repeat, everything else shows `unknown`.

    `at_once` repeats without a pause: after a crash the far side did nothing wrong.
    """
    if not row.repeatable:
        return _settlement(row, "unknown", Receipt(delivery=Delivery.RETRY, detail=detail, fault=Fault.OURS))
    receipt = Receipt(
        delivery=Delivery.RETRY, detail=detail, fault=Fault.OURS, retry_after=SHORTEST if at_once else None
    )
    return of_receipt(row, receipt, captured=False, settings=settings, random=random, now=now)


def of_state(row: Row, state: State, detail: str, fault: Fault = Fault.NONE) -> Settlement:
    """An end that no receipt says: suppressed, or dead because it could not be rendered."""
    return Settlement(
        id=row.id, owner=row.owner or "", attempts=row.attempts, state=state, detail=detail, fault=fault.value
    )


def of_bar(row: Row, why: str) -> Settlement:
    """It must not go out by this channel: another one is tried, and the address is as good as before."""
    state: State = "unreachable" if row.template in TO_REQUESTER else "suppressed"
    return replace(of_state(row, state, why), about="channel")


def of_hour(row: Row, may: datetime) -> Settlement:
    """It is not the hour for it: it waits, and no try is counted."""
    return replace(of_state(row, "waiting", "nobody is called at this hour"), due_at=may, tried=False)


def _settlement(row: Row, state: State, receipt: Receipt, due_at: datetime | None = None) -> Settlement:
    return Settlement(
        id=row.id,
        owner=row.owner or "",
        attempts=row.attempts,
        state=state,
        due_at=due_at,
        external_ids=receipt.external_ids,
        detail=receipt.detail,
        fault=receipt.fault.value,
        moved_to=receipt.moved_to,
        about=receipt.about,
    )


def back_off(attempts: int, retry_after: float | None, settings: OutboxSettings, random: Random) -> float:
    """Seconds until the next try: what the far side asks for, else doubling with jitter; never above the limit."""
    limit = settings.backoff_limit.total_seconds()
    if retry_after is not None:
        return min(max(SHORTEST, retry_after), limit)  # in this order also for what is not a number
    full = settings.backoff.total_seconds() * 2.0 ** min(attempts - 1, 30)
    return max(min(full, limit) * random.uniform(0.5, 1.0), SHORTEST)


def apply(conn: Connection, ctx: Context, compose: Compose, row: Row, settlement: Settlement, now: datetime) -> bool:
    """Settle, and say on the ticket what went wrong, in one transaction.

    False when the row was no longer ours: then nothing is written.
    """
    if not outbox.settle(conn, settlement, now):
        return False
    if settlement.moved_to:
        chats_moved.follow(conn, row, settlement.moved_to)
    if settlement.state == "sent":
        _went_out(conn, row, settlement, now)
    if settlement.state == "unreachable" and not row.overheard:
        # That a group was not reached says nothing about the person.
        _not_reached(conn, ctx, row, settlement, now)
    failure = ctx.texts.failures.why(row.id)
    if failure and row.ticket_id is not None:
        data: dict[str, Json] = {"outbox": row.id, "template": row.template, "detail": failure[:500]}
        key = f"text_failed:{row.id}"
        tickets.add_event(conn, row.ticket_id, at=now, actor="gateway", kind="text_failed", data=data, key=key)
    silenced = settlement.state == "suppressed" and not row.automatic
    # That a button was not answered, or an old message not changed, is no news to anybody.
    shown = settlement.state in ON_THE_TICKET and row.act == "send"
    if row.ticket_id is not None and (shown or silenced):
        _show(conn, ctx, compose, row, row.ticket_id, settlement, now)
    return True


def _not_reached(conn: Connection, ctx: Context, row: Row, settlement: Settlement, now: datetime) -> None:
    """What that says about the person: the address is dead, they want nothing from us there, or nothing."""
    if settlement.about == "address":
        people.mark_unreachable(conn, identity_kind(row.channel), row.recipient, row.channel, settlement.detail, now)
    if settlement.about == "consent":
        ours = notices.our_end(ctx.settings, row.channel, row.account, row.destination)
        consents.refused(conn, row.channel, ours, row.recipient, sent_at=row.sending_at or now, now=now)


def _went_out(conn: Connection, row: Row, settlement: Settlement, now: datetime) -> None:
    """What the far side calls it is a key that we issued: who answers it answers this ticket. Then the next part."""
    for key in settlement.external_ids:
        # A Message-ID was stored before it was sent (rule 11).
        if row.ticket_id is not None and row.act == "send" and key.startswith(f"{row.channel}:"):
            threads.add_key(conn, row.ticket_id, KeyKind.EXTERNAL, key, issued=True, recipient=row.recipient)
    if settlement.more:
        outbox.put_next(conn, row, now)


def _show(
    conn: Connection, ctx: Context, compose: Compose, row: Row, ticket_id: int, settlement: Settlement, now: datetime
) -> None:
    data: dict[str, Json] = {
        "outbox": row.id,
        "notice": row.kind,
        "state": settlement.state,
        "recipient": row.recipient,
        "detail": settlement.detail,
    }
    if settlement.state == "unreachable" and (way := next_channel.hand_on(conn, ctx, row, now)) is not None:
        data["next"] = {"channel": way.channel, "recipient": way.address}
    key = f"undelivered:{row.id}:{row.attempts}:{settlement.state}"
    event_id = tickets.add_event(conn, ticket_id, at=now, actor="gateway", kind="undelivered", data=data, key=key)
    if event_id is None or settlement.state not in TOLD or row.kind in NOT_TOLD_ABOUT:
        return
    compose(
        conn, ctx, Change(ticket_id=ticket_id, event_id=event_id, kind="undelivered", actor="gateway", data=data), now
    )
