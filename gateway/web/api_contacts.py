"""Contacts over the API: by what a person is known, one-time links for them, linking by hand and taking it back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import StringConstraints
from sqlalchemy import Connection, Row, select

from channels.registry import CHANNELS, identity_kind
from gateway import identities
from gateway.context import Context
from gateway.desk_acts import NotFound
from gateway.identities import MAIL, Identity
from gateway.shared_numbers import PHONE, stand_alone, why_shared
from gateway.store import identity_changes, people, phones
from gateway.store.schema import entry
from gateway.web.api_asked import Text
from gateway.web.frame import ApiModel, Asked, Call, Job
from gateway.web.problems import Problem
from normalizer.message import Facts

LATELY = 20_000
"""Messages, of all accounts, among which the last one of an account is looked for."""
_PHONE = re.compile(r"\+[0-9]{7,15}")
Kind = Annotated[str, StringConstraints(pattern=r"^[a-z]{1,20}$")]
Value = Annotated[Text, StringConstraints(max_length=people.IDENTITY_LIMIT)]


class ContactQuery(Asked):
    """Whose an identity is."""

    kind: Kind
    """mail, phone, telegram …"""
    value: Value


class NewLink(Asked):
    """A one-time link into a conversation with a bot."""

    channel: Kind = "telegram"
    account: Annotated[str, StringConstraints(max_length=64)] = ""
    """Empty: the channel's first account."""


class NewIdentity(Asked):
    """What is this contact's, because staff say so."""

    kind: Kind
    value: Value


class SharedPhone(Asked):
    """Whether a telephone number is no one person's."""

    value: Value
    shared: bool | None
    """true: nobody's; false: one person's, whatever else is seen; null: what is seen decides."""


class UnreachableItem(ApiModel):
    """A channel by which nothing reaches an identity; another one may."""

    channel: str
    why: str
    at: datetime


class IdentityItem(ApiModel):
    """One way by which a person is known."""

    kind: str
    value: str
    unreachable_at: datetime | None
    """Nothing reached them there by some channel, since then."""
    unreachable: Sequence[UnreachableItem]
    shared: str
    """Of a telephone number: why it is no one person's; empty when it may be."""


class ChangeItem(ApiModel):
    """An identity went from one contact to another."""

    id: int
    kind: str
    value: str
    from_contact: int
    to_contact: int
    how: Literal["deep link", "shared contact", "code", "staff", "undo", "shared number"]
    actor: str
    at: datetime
    undone_at: datetime | None


class ContactDetail(ApiModel):
    """A person, as far as we know."""

    id: int
    name: str
    language: str | None
    """Their own choice."""
    no_surveys: bool
    identities: Sequence[IdentityItem]
    changes: Sequence[ChangeItem]
    """The newest 100."""


class OneTimeLink(ApiModel):
    """Opened once within its time, it makes a chat the contact's."""

    url: str | None
    """Shown now and never again (none when this answer is a repeat)."""
    expires_at: datetime


async def find(call: Call) -> ContactDetail:
    """The contact of an identity."""
    who = _identity(call.query.kind, call.query.value)

    def job(conn: Connection) -> ContactDetail:
        known = people.find(conn, who.kind, who.value)
        if known is None:
            raise NotFound("nobody is known by this")
        return _detail(conn, call.services.ctx, known.contact_id)

    return await call.read(job)


async def one(call: Call) -> ContactDetail:
    """One contact."""
    contact_id = call.number("contact")
    return await call.read(lambda conn: _detail(conn, call.services.ctx, contact_id))


async def invite(call: Call) -> Job:
    """Make a one-time link."""
    services, caller, now, asked = call.services, call.caller, call.services.clock(), call.body
    contact_id, token = call.number("contact"), call.services.new_secret()
    accounts = services.ctx.settings.accounts(asked.channel)
    name = asked.account or next(iter(accounts), "")
    account = accounts.get(name)
    if account is None:
        raise Problem(422, "there is no such account; accounts are named in the configuration under `channels`")
    # Before the writer's turn: looking for a name takes longer than accepting a message.
    url = account.start_url(token, {}) or account.start_url(
        token, await call.read(lambda conn: _seen(conn, asked.channel, name))
    )
    if not url:
        raise Problem(409, "nobody knows yet how this account is called; `username` in its settings says it")

    def job(conn: Connection) -> OneTimeLink:
        expires_at = identities.make_link(conn, contact_id, token, actor=caller.actor, now=now)
        return OneTimeLink(url=url, expires_at=expires_at)

    return job


async def link(call: Call) -> Job:
    """Give a contact an identity."""
    caller, now, contact_id, ctx = call.caller, call.services.clock(), call.number("contact"), call.services.ctx
    who = _identity(call.body.kind, call.body.value)

    def job(conn: Connection) -> ContactDetail:
        identities.link(conn, ctx, who, contact_id, how="staff", actor=caller.actor, now=now)
        return _detail(conn, ctx, contact_id)

    return job


async def undo(call: Call) -> Job:
    """Take a change back, with what came along then; shows the contact that it went back to."""
    caller, now, change_id, ctx = call.caller, call.services.clock(), call.number("change"), call.services.ctx

    def job(conn: Connection) -> ContactDetail:
        made = identities.undo(conn, change_id, actor=caller.actor, now=now)
        back = identity_changes.get(conn, made[0])
        assert back is not None
        return _detail(conn, ctx, back.to_contact)

    return job


async def share(call: Call) -> Job:
    """Say whether a telephone number is one person's; shows the contact that has it now."""
    caller, now, ctx, shared = call.caller, call.services.clock(), call.services.ctx, call.body.shared
    who = _identity(PHONE, call.body.value)

    def job(conn: Connection) -> ContactDetail:
        contact_id = people.contact_for(conn, who.kind, who.value, "", now)
        phones.say(conn, who.value, shared, actor=caller.actor, now=now)
        stand_alone(conn, ctx, who.kind, who.value, actor=caller.actor, now=now)
        known = people.find(conn, who.kind, who.value)
        return _detail(conn, ctx, known.contact_id if known is not None else contact_id)

    return job


def _identity(kind: str, value: str) -> Identity:
    """Raises Problem 422 for what can be nobody's."""
    kinds = {MAIL, PHONE, *(identity_kind(channel) for channel in CHANNELS)}
    if kind not in kinds:
        raise Problem(422, f"no such kind; there are {', '.join(sorted(kinds))}")
    value = people.normal(value)
    if kind == PHONE:
        value = re.sub(r"[\s().-]", "", value)
        if not _PHONE.fullmatch(value):
            raise Problem(422, "a telephone reads +380441234567")
    if kind == MAIL and not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
        raise Problem(422, "a mail address has one @")
    return Identity(kind=kind, value=value)


def _seen(conn: Connection, channel: str, account: str) -> Facts:
    """Facts of the last message that came to an account lately: with it the channel tells what it is called."""
    columns = (entry.c.id, entry.c.channel, entry.c.account, entry.c.facts)
    newest = select(*columns).order_by(entry.c.id.desc()).limit(LATELY).subquery()
    wanted = select(newest.c.facts).where(newest.c.channel == channel, newest.c.account == account)
    return dict(conn.scalar(wanted.order_by(newest.c.id.desc()).limit(1)) or {})


def _detail(conn: Connection, ctx: Context, contact_id: int) -> ContactDetail:
    if not people.exists(conn, contact_id):
        raise NotFound("there is no such contact")
    row = people.get(conn, contact_id)
    gone = people.marks(conn, contact_id)
    return ContactDetail(
        id=row.id,
        name=row.name,
        language=row.language,
        no_surveys=bool(row.no_surveys),
        identities=[_known(conn, ctx, item, gone) for item in people.identities(conn, contact_id)],
        changes=[_as(ChangeItem, change) for change in identity_changes.of_contact(conn, contact_id)],
    )


def _known(conn: Connection, ctx: Context, item: Row[Any], gone: Sequence[Row[Any]]) -> IdentityItem:
    mine = [mark for mark in gone if (mark.kind, mark.value) == (item.kind, item.value)]
    return IdentityItem(
        kind=item.kind,
        value=item.value,
        unreachable_at=max((mark.at for mark in mine), default=None),
        unreachable=[_as(UnreachableItem, mark) for mark in mine],
        shared=why_shared(conn, ctx, item.value) if item.kind == PHONE else "",
    )


def _as(model: Any, row: Row[Any]) -> Any:
    return model(**{name: getattr(row, name) for name in model.model_fields})
