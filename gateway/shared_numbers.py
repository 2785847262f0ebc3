"""Telephone numbers that are no one person's: of a contract, seen with two people, or no mobile.

Such a number names the contract and not the person: it has a contact of its own, proves nothing, and gets no text
messages. Staff's word comes before everything that is seen.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from channels.registry import CHANNELS, identity_kind
from gateway.context import Context
from gateway.store import identity_changes, people, phones
from normalizer import phone
from normalizer.message import RATING_CALL
from router.contracts import normal

PHONE = "phone"
"""Kind of the identities of those who are known by a telephone number."""
TAG = "shared-number"
"""Of tickets that such a number asked for."""
HIDDEN = "hidden:"
"""What stands before the address of somebody whose number the network does not tell."""
HOW = "shared number"
"""`how` of the change that gives such a number a contact of its own."""
ANSWERS = ("acknowledgement", "reply", "question", "answer")
"""Kinds of notices that answer who has just written, whoever it was."""
UNANSWERED = frozenset({"sms", "voice"})
"""Channels by which a shared number is not answered either: a text message goes to whoever has the telephone, and who
called has hung up."""


def why_shared(conn: Connection, ctx: Context, number: str) -> str:
    """Why this telephone number is no one person's, in words for staff; "" when it may be."""
    known = phones.find(conn, number)
    if several := _why_several_peoples(ctx, number, known):
        return several
    if known is not None:
        return "no mobile, as the network says" if known.why == "no mobile" else ""
    return "no mobile" if phone.kind(number) == "fixed" else ""


def why_several_peoples(conn: Connection, ctx: Context, number: str) -> str:
    """Why more than one person answers at this number; "" when we know of one at most. That it is no mobile says
    nothing of that."""
    return _why_several_peoples(ctx, number, phones.find(conn, number))


def _why_several_peoples(ctx: Context, number: str, known: Row[Any] | None) -> str:
    if known is not None and known.why == "staff":
        return "staff say so" if known.shared else ""
    contract = ctx.policy.covers.get(normal(number, "sms"))
    if contract is not None:
        return f"listed under the contract {contract}"
    return "seen with two people" if known is not None and known.why == "two contacts" else ""


def is_shared(conn: Connection, ctx: Context, kind: str, value: str) -> bool:
    """This identity is a telephone number that is no one person's."""
    return kind == PHONE and why_shared(conn, ctx, value) != ""


def bars(conn: Connection, ctx: Context, channel: str, address: str, kind: str) -> str:
    """Why a notice of this kind must not go to this address by this channel; "" when it may.

    Who hides the number cannot be told anything. By text message nothing goes to a shared number. On WhatsApp who
    wrote is answered there, and nobody is told more: how the ticket goes on, or a question for a rating, is another
    person's business. A call that asks for a mark says nothing of the request but its date, so it may go to a landline
    that one person asked from.
    """
    if identity_kind(channel) != PHONE:
        return ""
    if address.startswith(HIDDEN):
        return "a hidden number"
    if channel not in UNANSWERED and kind in ANSWERS:
        return ""
    why = (why_several_peoples if kind == RATING_CALL else why_shared)(conn, ctx, address)
    return f"a shared number: {why}" if why else ""


def claimants(conn: Connection, number: str) -> list[int]:
    """The contacts that a number was moved from or to, and of the one who said last that it is theirs, too."""
    found = identity_changes.contacts_of(conn, PHONE, number)
    fact = phones.find(conn, number)
    kind, _, value = (fact.actor if fact is not None else "").partition(":")
    known = people.find(conn, kind, value)
    return found if known is None else [*found, known.contact_id]


def stand_alone(conn: Connection, ctx: Context, kind: str, value: str, *, actor: str, now: datetime) -> str:
    """Give a shared number a contact of its own, so that what it asks for is nobody's. Returns why it is shared.

    What came by it goes along. Staff who undo the change say by that that the number is one person's.
    """
    why = why_shared(conn, ctx, value) if kind == PHONE else ""
    known = people.find(conn, kind, value) if why else None
    if known is None or len(people.identities(conn, known.contact_id)) == 1:
        return why
    identity_changes.move(
        conn, kind, value, source=known.contact_id, target=people.new_contact(conn, "", now),
        channels=[name for name in CHANNELS if identity_kind(name) == kind], how=HOW, actor=actor, now=now,
    )  # fmt: skip
    return why
