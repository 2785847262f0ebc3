"""Which ticket a message belongs to, and whether its sender may write there (rules 7 and 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row

from gateway import both_numbers
from gateway.store import threads, tickets
from gateway.store.journal import Entry
from gateway.store.people import normal
from normalizer.message import KeyKind, Message, ThreadKey, Trust

REFERENCES = 50
"""References of one message that are looked at; the newest ones, and the first of the thread."""
Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The ticket that a message names."""

    ticket_id: int
    issued: bool
    """Named by a key that we chose; else by one that we only saw."""
    others: tuple[int, ...] = ()
    """Further tickets that the message names."""
    recipient: str | None = None
    """Whom the key was issued to."""
    ours: bool = False
    """The message bears an id that we chose: one of our own notices came back."""


def named_keys(message: Message) -> list[Key]:
    """Every key that a message names except its own id, best first; ticket numbers are none (rule 8)."""
    keys = [(key.kind.value, key.value) for key in message.thread_keys if key.kind is not KeyKind.TICKET_NUMBER]
    references = message.references
    if len(references) > REFERENCES:
        references = (references[0], *references[-(REFERENCES - 1) :])
    ids = (*message.in_reply_to[:REFERENCES], *reversed(references))
    keys += [(KeyKind.MESSAGE_ID.value, value) for value in ids if value]
    return [key for key in dict.fromkeys(keys) if key != own_key(message)]


def own_key(message: Message) -> Key | None:
    """The key that later messages name this one by."""
    if message.external_key:
        return (KeyKind.EXTERNAL.value, message.external_key)
    return (KeyKind.MESSAGE_ID.value, message.message_id) if message.message_id else None


def keys_to_tie(message: Message) -> list[Key]:
    """The keys that become the ticket's: the message's own, and of a mail those that it names.

    In a chat only its own: an answer there names somebody's message, which is no proof of belonging together.
    A reply token that we do not know stays unknown: only ids of messages tie a thread together.
    """
    own = own_key(message)
    named = named_keys(message) if message.conversation is None else []
    return [key for key in ([own] if own else []) + named if key[0] != "reply_token"]


def look_up(conn: Connection, keys: Sequence[Key]) -> dict[Key, Row[Any]]:
    """The rows of those keys that are tied to a ticket, locked in sorted order."""
    rows = {(row.kind, row.value): row for row in threads.find_keys(conn, keys)}
    stored = {key: (key[0], threads.key_value(key[1])) for key in keys}
    return {key: rows[place] for key, place in stored.items() if place in rows}


def find(conn: Connection, message: Message) -> Found | None:
    """The ticket that the message belongs to: by a key we issued, else by the best one that we saw."""
    own = own_key(message)
    # Its own id is known when a reply to it came first (or when the id was used twice).
    ordered = ([own] if own else []) + named_keys(message)
    known = look_up(conn, ordered)
    rows = [known[key] for key in ordered if key in known]
    if not rows:
        return None
    best = next((row for row in rows if row.issued), rows[0])
    others = dict.fromkeys(row.ticket_id for row in rows if row.ticket_id != best.ticket_id)
    ours = own is not None and own in known and bool(known[own].issued)
    return Found(
        ticket_id=best.ticket_id, issued=best.issued, others=tuple(others), recipient=best.recipient, ours=ours
    )


def find_issued(conn: Connection, keys: Sequence[ThreadKey], message_id: str = "") -> Row[Any] | None:
    """The row of the best key that we issued among those named; None when there is none."""
    ordered = [(key.kind.value, key.value) for key in keys if key.kind is not KeyKind.TICKET_NUMBER]
    if message_id:
        ordered.insert(0, (KeyKind.MESSAGE_ID.value, message_id))
    known = look_up(conn, ordered)
    return next((known[key] for key in ordered if key in known and known[key].issued), None)


def among_namesakes(conn: Connection, entry: Entry, message: Message, found: Found) -> tuple[bool, Found]:
    """Has another mail had this Message-ID? Scanners, alarms and scripts give all of theirs one. And where it belongs:
    if it is a copy of one of them, there.

    Copies of a mail that came by several ways may differ in words, by a footer say, and have one Date (RFC 5322,
    3.6.1: when its author was done with it). So it is another mail if none with this id has its date.
    """
    if message.date is None or not message.message_id:
        return False, found
    dates = tickets.dated(conn, entry.raw.channel, entry.raw.external_id, but=entry.id)
    place = dates.get(message.date)
    if place is not None and not found.issued:
        # The id leads to the first mail that had it.
        found = replace(found, ticket_id=place)
    return bool(dates) and None not in dates and place is None, found


def may_write(conn: Connection, found: Found, sender: str, trust: Trust, *, claims_staff: bool) -> bool:
    """Rule 8. False: the message is appended as unverified.

    `claims_staff`: it bears an agent's address without the trust that an agent needs.
    """
    if claims_staff:
        return False
    if found.issued:
        return True
    return trust is Trust.VERIFIED and is_participant(conn, found.ticket_id, sender)


def is_participant(conn: Connection, ticket_id: int, address: str) -> bool:
    """Takes part in the ticket: requester, copied, vendor."""
    wanted = normal(address)
    return any(row.address == wanted for row in tickets.participants(conn, ticket_id))


def tie(conn: Connection, ticket_id: int, keys: Sequence[Key]) -> list[Key]:
    """Make the keys, as seen ones, the ticket's; returns those that are another ticket's."""
    taken = threads.add_keys(conn, ticket_id, sorted(keys), issued=False)
    if not taken:
        return []
    return [key for key, row in look_up(conn, taken).items() if row.ticket_id != ticket_id]


def numbered_tickets(conn: Connection, message: Message) -> list[str]:
    """Our numbers of the tickets whose number, ours or their store's, stands in the subject or in a short message."""
    sender = message.sender.address
    named = [key.value for key in message.thread_keys if key.kind is KeyKind.TICKET_NUMBER]
    found = both_numbers.named(conn, list(dict.fromkeys(named)), sender) if named else []
    if message.conversation is not None:
        # A short message is full of numbers: one of somebody else's ticket means nothing.
        found += both_numbers.named(conn, both_numbers.in_text(message.visible_text), sender, own=True)
    return list(dict.fromkeys(found))
