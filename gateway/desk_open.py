"""A ticket that staff register for somebody who called, came by, or is not able to write.

`routed` is pure and can take a while, so it runs before the transaction; `open_ticket` runs in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from channels.registry import identity_kind
from gateway import clocks, incidents, shared_numbers, updates
from gateway.context import Context
from gateway.desk_acts import Done, Invalid, repeated
from gateway.desk_fields import like_mail
from gateway.store import people, tickets
from normalizer.message import Address, Attachment, Message
from router.assignment import Assignment, Reason
from router.route import route


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What staff say about the new ticket; None: the rules decide."""

    channel: str
    account: str
    """Notices go out from it."""
    requester: str
    """Address on the channel."""
    subject: str
    text: str
    requester_name: str = ""
    language: str | None = None
    class_: int | None = None
    line: str | None = None
    contract: str | None = None
    notify: bool = True
    """Tell the requester that the ticket is there."""
    attachments: Sequence[Attachment] = ()


def routed(ctx: Context, asked: Registration, now: datetime) -> Assignment:
    """What the rules make of it, with staff's own words on top. Raises Invalid (no such account, contract, line)."""
    if ctx.settings.account(asked.channel, asked.account) is None:
        raise Invalid("no such account; accounts are named in the configuration under `channels`")
    if asked.contract is not None and asked.contract not in ctx.policy.contracts:
        raise Invalid("no such contract; contracts are named in contracts.yaml")
    if not people.normal(asked.requester) or people.normal(asked.requester) in ctx.settings.own_addresses():
        raise Invalid("the requester is a person with an address of the channel, and not the desk itself")
    if asked.channel == "mail" and not like_mail(asked.requester):
        raise Invalid("this is no mail address; write it as name@domain")
    message = Message(
        sender=Address(address=people.normal(asked.requester), name=asked.requester_name),
        subject=asked.subject,
        text=asked.text,
        visible_text=asked.text,
        language=asked.language or "",
        attachments=tuple(asked.attachments),
    )
    found = route(message, ctx.policy, now, channel=asked.channel, account=asked.account, contract=asked.contract)
    contract = ctx.policy.contracts.get(found.contract) if found.contract else None
    if asked.line is not None and contract is not None and asked.line not in contract.lines:
        raise Invalid(f"this contract has no {asked.line}; its lines are {', '.join(contract.lines)}")
    return _as_said(found, asked)


def _as_said(found: Assignment, asked: Registration) -> Assignment:
    changes: dict[str, Any] = {}
    because = list(found.because)
    for name, what, value in (("class_", "class", asked.class_), ("line", "line", asked.line)):
        if value is not None:
            changes |= {name: value, f"proposed_{what}": None}
            because = [reason for reason in because if reason.what != what]
            because.append(Reason(what=what, value=str(value), cause="staff", detail="said when it was registered"))
    return replace(found, because=tuple(because), **changes)


def open_ticket(
    conn: Connection,
    ctx: Context,
    asked: Registration,
    assignment: Assignment,
    *,
    actor: str,
    now: datetime,
    key: str | None = None,
) -> Done:
    """Open a registered ticket; its clocks start now, the requester's words are its first message."""
    if done := repeated(conn, key):
        return done
    kind = identity_kind(asked.channel)
    shared = shared_numbers.stand_alone(conn, ctx, kind, asked.requester, actor=actor, now=now)
    contact = people.contact_for(conn, kind, asked.requester, "" if shared else asked.requester_name, now)
    contract = ctx.policy.contracts.get(assignment.contract) if assignment.contract else None
    account = ctx.settings.account(asked.channel, asked.account)
    language = (
        people.get(conn, contact).language
        or asked.language
        or (contract.language if contract else "")
        or (account.language if account else "en")
    )
    numbers = ctx.settings.numbers
    ticket_id = tickets.open_ticket(
        conn,
        channel=asked.channel,
        account=asked.account,
        requester_id=contact,
        requester=asked.requester,
        requester_name=asked.requester_name,
        subject=asked.subject,
        language=language,
        opened_at=now,
        now=now,
        first_digit=numbers.first_digit,
        width=numbers.width,
        registered_by=actor.removeprefix("agent:"),
        contract=assignment.contract,
        class_=assignment.class_,
        proposed_class=assignment.proposed_class,
        confidence=assignment.confidence,
        line=assignment.line,
        proposed_line=assignment.proposed_line,
        onsite=assignment.onsite,
        tags=[*assignment.tags, *([shared_numbers.TAG] if shared else [])],
        because=[reason.as_json() for reason in assignment.because],
    )
    message_id = tickets.add_message(
        conn,
        ticket_id,
        direction="in",
        kind="message",
        author=people.normal(asked.requester),
        author_name=asked.requester_name,
        subject=asked.subject,
        text=asked.text,
        language=asked.language or "",
        at=now,
    )
    tickets.add_attachments(conn, message_id, asked.attachments)
    data = {
        "class": assignment.class_,
        "contract": assignment.contract,
        "line": assignment.line,
        "message": message_id,
        "policy": assignment.policy,
        "registered": True,
        **({"shared": shared} if shared else {}),
    }
    event_id = tickets.add_event(conn, ticket_id, at=now, actor=actor, kind="opened", data=data, key=key)
    if event_id is None:
        raise Invalid("the same ticket is being opened; ask again")
    said = incidents.Said(subject=asked.subject, text=asked.text, language=asked.language or "")
    incidents.link_new(conn, ctx, ticket_id, said, silent="" if asked.notify else "not to be told", now=now)
    clocks.recompute(conn, ctx, ticket_id, now)
    change = updates.Change(
        ticket_id=ticket_id, event_id=event_id, kind="opened", actor=actor, data=data, automatic_ok=asked.notify
    )
    updates.compose(conn, ctx, change, now)
    return Done(ticket_id=ticket_id, event_id=event_id)
