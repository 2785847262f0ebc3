"""Open tickets that were in a store before us: taken over with their numbers, Message-IDs and people, so that answers
to them find them from the first day. Nobody is told anything, and no clock starts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from channels.registry import identity_kind
from gateway.context import Context
from gateway.coverage import contract_of
from gateway.feeds import tidy
from gateway.feeds.contract import Existing, Page
from gateway.feeds.queueing import fields_of
from gateway.identities import Identity
from gateway.store import feeds as store
from gateway.store import people, threads, tickets
from normalizer.message import KeyKind

MAIL = "mail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a page."""

    taken: int
    known: int
    """They were taken over before, or are ours."""
    passed: tuple[str, ...]
    """Numbers and reasons of those that cannot be taken over."""


def take_over(
    conn: Connection, ctx: Context, feed: str, page: Page, *, account: str, actor: str, now: datetime
) -> Taken:
    """One page, in the caller's transaction; to do it again takes nothing twice. `account`: the mail account that
    their requesters are answered from."""
    taken = known = 0
    passed: list[str] = []
    for one in map(tidy.existing, page.tickets):
        if store.links_to(conn, feed, one.ref.id):
            known += 1
        elif why := _why_not(ctx, one):
            passed.append(f"{one.ref.number}: {why}")
        else:
            _open(conn, ctx, feed, one, account=account, actor=actor, now=now)
            taken += 1
    return Taken(taken=taken, known=known, passed=tuple(passed))


def _why_not(ctx: Context, one: Existing) -> str:
    address = people.normal(one.requester.address)
    if "@" not in address:
        return "its requester has no mail address"
    if ctx.settings.is_own(address):
        return "its requester is an address of ours"
    return ""


def _open(conn: Connection, ctx: Context, feed: str, one: Existing, *, account: str, actor: str, now: datetime) -> None:
    kind = identity_kind(MAIL)
    address = people.normal(one.requester.address)
    contact = people.contact_for(conn, kind, address, one.requester.name, now)
    contract = contract_of(conn, ctx, Identity(kind=kind, value=address)) or None
    settings = ctx.settings.account(MAIL, account)
    covered = ctx.policy.contracts.get(contract) if contract else None
    language = (
        people.get(conn, contact).language
        or (covered.language if covered else "")
        or (settings.language if settings else "en")
    )
    because = [{"what": "feed", "value": feed, "cause": "import", "detail": f"{one.ref.number} was there before us"}]
    ticket_id = tickets.open_ticket(
        conn,
        channel=MAIL,
        account=account,
        requester_id=contact,
        requester=address,
        requester_name=one.requester.name,
        subject=one.subject,
        language=language,
        opened_at=one.opened_at,
        now=now,
        first_digit=ctx.settings.numbers.first_digit,
        width=ctx.settings.numbers.width,
        contract=contract,
        status=one.status,
        class_=one.class_,
        line=one.line,
        assignee=one.assignee or None,
        because=because,
    )
    for person in one.copies:
        if "@" in person.address and not ctx.settings.is_own(person.address):
            tickets.add_participant(conn, ticket_id, person.address, tickets.CC, person.name)
    keys = sorted((KeyKind.MESSAGE_ID.value, name) for name in dict.fromkeys(one.message_ids) if name)
    threads.add_keys(conn, ticket_id, keys, issued=False)
    link = store.make_link(conn, feed, ticket_id, now)
    told = fields_of(tickets.get(conn, ticket_id))
    ref = one.ref
    store.change_link(conn, link, ref=ref.id, number=ref.number[:64], url=ref.url, state="linked", told=told)
    data = {"feed": feed, "number": ref.number}
    tickets.add_event(conn, ticket_id, at=now, actor=actor, kind="imported", data=data)
