"""A message that belongs to no ticket opens one (rule 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from gateway import clocks, incidents, shared_numbers, updates
from gateway.automatic import Asked, is_circling, why_silent
from gateway.context import Context
from gateway.coverage import widened
from gateway.filing_case import Case, Conflict, Filed, keep_files
from gateway.filing_threads import Key, keys_to_tie, numbered_tickets, tie
from gateway.store import people, tickets
from gateway.subjects import subject_of
from gateway.ticket_numbers import number_for
from normalizer.message import Address, Message, Trust

LANGUAGES = ("ru", "uk", "en")
MOST_PARTICIPANTS = 50


def open_for(conn: Connection, case: Case, *, related: Sequence[str] = (), keys: Sequence[Key] | None = None) -> Filed:
    """Open a ticket with the message, its keys, its people, its deadlines and its acknowledgement.

    `related` are numbers of tickets that it may belong to. Raises Conflict when another transaction
    has tied one of its keys meanwhile.
    """
    case = widened(conn, looked_up(conn, case))
    settings, raw = case.ctx.settings, case.entry.raw
    contact = people.meet(conn, case.identity, case.sender.address, name_of(case), case.now, channel=raw.channel)
    if contact.unreachable:
        people.mark_reachable(conn, case.identity, case.sender.address, raw.channel)
    language = language_of(case, contact)
    held = case.message.trust is Trust.SUSPECT and not case.registered_by
    numbers = [*dict.fromkeys((*related, *numbered_tickets(conn, case.message)))]
    deadlines = clocks.at_opening(case.ctx, case.assignment, raw.received_at)
    columns = case.columns()
    columns |= clocks.opening_columns(deadlines, columns["because"])
    ticket_id = tickets.open_ticket(
        conn,
        channel=raw.channel,
        account=raw.account,
        requester_id=contact.id,
        requester=case.sender.address,
        requester_name=case.sender.name,
        subject=subject_of(case.message, language),
        language=language,
        opened_at=raw.received_at,
        now=case.now,
        first_digit=settings.numbers.first_digit,
        width=settings.numbers.width,
        entry_id=case.entry.id,
        status="held" if held else "new",
        related=numbers or None,
        registered_by=case.registered_by or None,
        **case.place(),
        **columns,
    )
    _tie_all(conn, ticket_id, case, keys)
    add_people(conn, case.ctx, ticket_id, case.message, case.sender)
    message_id = tickets.add_revision(conn, ticket_id, direction="in", kind="message", **case.revision())
    if message_id is None:
        raise Conflict("this reading is filed already")
    keep_files(conn, case, ticket_id, message_id)
    opened = clocks.Clocked(id=ticket_id, contract=case.assignment.contract, opened_at=raw.received_at)
    clocks.put_first_timers(conn, case.ctx, opened, deadlines, case.now)
    _announce(conn, case, ticket_id, message_id, numbers)
    number = number_for(ticket_id, first_digit=settings.numbers.first_digit, width=settings.numbers.width)
    return Filed(kind="opened", ticket_id=ticket_id, number=number, message_id=message_id)


def _tie_all(conn: Connection, ticket_id: int, case: Case, keys: Sequence[Key] | None) -> None:
    wanted = keys_to_tie(case.message) if keys is None else [key for key in keys if key[0] != "reply_token"]
    if tie(conn, ticket_id, wanted):
        raise Conflict("a key of this thread was tied to another ticket meanwhile")


def _announce(conn: Connection, case: Case, ticket_id: int, message_id: int, related: Sequence[str]) -> None:
    asked = Asked(ctx=case.ctx, entry=case.entry, message=case.message, recipient=case.sender.address)
    # What an agent registers is counted where it is composed.
    silent = why_silent(conn, asked, case.now, counted=not case.registered_by)
    actor = f"agent:{case.registered_by}" if case.registered_by else "requester"
    data: dict[str, Any] = {
        "class": case.assignment.class_,
        "contract": case.assignment.contract,
        "line": case.assignment.line,
        "message": message_id,
        "policy": case.assignment.policy,
        "trust": case.message.trust.value,
        **case.extra,
    }
    # A reload between reading and filing: the class is the old policy's, the deadlines are the new one's.
    present = case.ctx.policy.version
    later = present if present != case.assignment.policy else ""
    optional = {"related": list(related), "silent": silent, "offered": offered(case), "deadline_policy": later}
    optional["shared"] = case.shared
    data |= {name: value for name, value in optional.items() if value}
    at = case.entry.raw.received_at
    event_id = tickets.add_event(conn, ticket_id, at=at, actor=actor, kind="opened", data=data, key=case.key("opened"))
    # Before the acknowledgement, which looks at what the ticket is by then.
    message = case.message
    said = incidents.Said(subject=message.subject, text=message.visible_text or message.text, language=message.language)
    incidents.link_new(conn, case.ctx, ticket_id, said, silent=silent, now=case.now)
    if is_circling(conn, case.ctx, case.entry, case.sender.address, case.now):
        return
    change = updates.Change(
        ticket_id=ticket_id, event_id=event_id, kind="opened", actor=actor, data=data, automatic_ok=not silent
    )
    updates.compose(conn, case.ctx, change, case.now)


def looked_up(conn: Connection, case: Case) -> Case:
    """The case with what is known of the sender's telephone number; a shared one gets a contact of its own."""
    why = shared_numbers.stand_alone(
        conn, case.ctx, case.identity, case.sender.address, actor="gateway", now=case.now
    )  # fmt: skip
    return replace(case, shared=why) if why else case


def name_of(case: Case) -> str:
    """What the contact is called; a shared number is nobody's."""
    return "" if case.shared else case.sender.name


def language_of(case: Case, contact: people.Met) -> str:
    """The person's own choice, else the contract's, else the message's when sure, else the account's."""
    account = case.ctx.settings.account(case.entry.raw.channel, case.entry.raw.account)
    contract = case.ctx.policy.contracts.get(case.assignment.contract or "")
    candidates = (
        contact.language,
        contract.language if contract else "",
        case.message.language if case.message.language_sure else "",
        account.language if account else "",
    )
    return next((language for language in candidates if language in LANGUAGES), "en")


def add_people(conn: Connection, ctx: Context, ticket_id: int, message: Message, sender: Address) -> None:
    """Everybody named in To and Cc takes part, except ourselves and the sender."""
    named = [*message.to, *message.cc][:MOST_PARTICIPANTS]
    for person in named:
        address = people.normal(person.address)
        if address and not ctx.settings.is_own(address) and address != people.normal(sender.address):
            tickets.add_participant(conn, ticket_id, address, tickets.CC, person.name)


def offered(case: Case) -> list[dict[str, str]]:
    """Other people who may be meant (on behalf of, Reply-To, the author of a forward): staff decide."""
    message = case.message
    inner = message.forwarded.sender if message.forwarded is not None else None
    names = [person for person in (message.on_behalf, inner, *message.reply_to) if person is not None]
    sender = people.normal(case.sender.address)
    return [
        {"address": person.address, "name": person.name}
        for person in names
        if person.address and people.normal(person.address) != sender
    ]
