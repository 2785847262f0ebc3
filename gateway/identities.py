"""Whose an address, a chat or a telephone is: linking it to a contact by proof, and taking that back.

A link moves what one person has shown to be theirs. Two contacts that both have a mail address are never made
one by it: then the one identity moves, and the rest stays. Every move is written down and can be undone.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, Row

from channels.registry import CHANNELS, identity_kind
from gateway import notices
from gateway.context import Context
from gateway.desk_errors import Conflict, NotFound
from gateway.shared_numbers import HOW, PHONE, is_shared, stand_alone
from gateway.store import counters, identity_changes, outbox, people, phones, proofs

How: TypeAlias = Literal["deep link", "shared contact", "code", "staff"]
MAIL = "mail"
LINK_LIFE = timedelta(hours=24)
"""How long a one-time link counts."""
CODE_LIFE = timedelta(minutes=15)
TRIES = 5
"""Wrong codes after which a code is void."""
ASKED = (("hour", timedelta(hours=1), 3), ("day", timedelta(days=1), 6))
"""How many codes one person may ask for, and one address be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One way by which a person is known."""

    kind: str
    """mail, phone, telegram …"""
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


def channels_of(kind: str) -> list[str]:
    """The channels on which this kind of identity writes."""
    return [name for name in CHANNELS if identity_kind(name) == kind] or [kind]


# -- linking and undoing ------------------------------------------------------------------


def link(
    conn: Connection, ctx: Context, who: Identity, contact_id: int, *, how: How, actor: str, now: datetime
) -> list[int]:
    """Make `who` an identity of this contact; returns the changes, none when it was one already.

    What else the former contact is known by comes along, unless both have a mail address, or staff do it, who
    name what they mean. A shared telephone number proves nothing and comes along with nobody; when staff say
    whose it is, it is shared no longer. Raises NotFound when there is no such contact.
    """
    if not people.exists(conn, contact_id):
        raise NotFound("there is no such contact")
    source = people.contact_for(conn, who.kind, who.value, "", now)
    if source == contact_id:
        return []
    if how == "staff" and who.kind == PHONE:
        # Whose it is they know better than what is seen.
        phones.say(conn, who.value, False, actor=actor, now=now)
    moving = [who] if how == "staff" else _proven(conn, ctx, who, source, contact_id)
    made = [_move(conn, item, source, contact_id, how, actor, now) for item in moving]
    if made:
        _carry_wishes(conn, source, contact_id)
    return [change for change in made if change is not None]


def _proven(conn: Connection, ctx: Context, who: Identity, source: int, target: int) -> list[Identity]:
    if is_shared(conn, ctx, who.kind, who.value):
        return []
    moving = _moving(conn, who, source, target)
    return [item for item in moving if not is_shared(conn, ctx, item.kind, item.value)]


def _moving(conn: Connection, who: Identity, source: int, target: int) -> list[Identity]:
    known = [Identity(kind=row.kind, value=row.value) for row in people.identities(conn, source)]
    by_mail = any(item.kind == MAIL for item in known)
    return [who] if by_mail and _has_mail(conn, target) else known


def _has_mail(conn: Connection, contact_id: int) -> bool:
    return any(row.kind == MAIL for row in people.identities(conn, contact_id))


def _move(conn: Connection, who: Identity, source: int, target: int, how: str, actor: str, now: datetime) -> int | None:
    return identity_changes.move(
        conn,
        who.kind,
        who.value,
        source=source,
        target=target,
        channels=channels_of(who.kind),
        how=how,
        actor=actor,
        now=now,
    )


def _carry_wishes(conn: Connection, source: int, target: int) -> None:
    """Language and "no surveys" are a person's own words: they hold wherever that person is known."""
    was, becomes = people.get(conn, source), people.get(conn, target)
    if was.language and not becomes.language:
        people.set_language(conn, target, was.language)
    if was.no_surveys:
        people.set_no_surveys(conn, target, True)
    if was.name:
        people.set_name_if_none(conn, target, was.name)


def undo(conn: Connection, change_id: int, *, actor: str, now: datetime) -> list[int]:
    """Give back what one act moved; returns the changes that do it. Raises NotFound and Conflict."""
    change = identity_changes.get(conn, change_id)
    if change is None:
        raise NotFound("there is no such change")
    if change.undone_at is not None:
        raise Conflict("this change is undone already")
    if not same_person(conn, Identity(kind=change.kind, value=change.value), change.to_contact):
        raise Conflict(f"{change.kind}:{change.value} was linked to somebody else since; undo that first")
    made = []
    for item in identity_changes.together(conn, change):
        who = Identity(kind=item.kind, value=item.value)
        back = _move(conn, who, item.to_contact, item.from_contact, identity_changes.UNDO, actor, now)
        if back is not None:  # what came along and went elsewhere since stays there
            identity_changes.mark_undone(conn, item.id, now)
            if item.how == HOW:
                phones.say(conn, item.value, False, actor=actor, now=now)
            made.append(back)
    return made


def unlink(conn: Connection, who: Identity, *, now: datetime) -> bool:
    """The person takes back the last link of this identity, or that they made by it. False when there was none."""
    change = identity_changes.last(conn, who.kind, who.value)
    if change is None or not same_person(conn, Identity(kind=change.kind, value=change.value), change.to_contact):
        return False
    undo(conn, change.id, actor=str(who), now=now)
    return True


def share_phone(conn: Connection, ctx: Context, who: Identity, number: str, *, now: datetime) -> bool:
    """The far side says that this telephone is the person's own: it and they become one contact.

    The contact with a mail address stays. False: the number is no one person's, so nobody is linked; what somebody
    else has shown to be theirs before is seen with two people.
    """
    phone = Identity(kind=PHONE, value=number)
    mine = people.contact_for(conn, who.kind, who.value, "", now)
    theirs = people.contact_for(conn, PHONE, number, "", now)
    if mine != theirs and _are_two(conn, mine, theirs):
        phones.learn(conn, number, "two contacts", now=now, actor=str(who))
    if stand_alone(conn, ctx, PHONE, number, actor=str(who), now=now):
        return False
    if _has_mail(conn, theirs) and not _has_mail(conn, mine):
        link(conn, ctx, who, theirs, how="shared contact", actor=str(who), now=now)
    else:
        link(conn, ctx, phone, mine, how="shared contact", actor=str(who), now=now)
    return True


def _are_two(conn: Connection, mine: int, theirs: int) -> bool:
    """Both have an address, or both an account, of the same kind: nobody needs two to be one person."""
    kinds = ({row.kind for row in people.identities(conn, one)} - {PHONE} for one in (mine, theirs))
    return bool(set.intersection(*kinds))


# -- one-time links -----------------------------------------------------------------------


def make_link(conn: Connection, contact_id: int, token: str, *, actor: str, now: datetime) -> datetime:
    """Remember a fresh random token for this contact; returns when it ends. Raises NotFound."""
    if not people.exists(conn, contact_id):
        raise NotFound("there is no such contact")
    expires_at = now + LINK_LIFE
    token_hash = proofs.hashed(token)
    proofs.put(
        conn, token_hash=token_hash, kind="link", contact_id=contact_id, asked_by=actor, now=now, expires_at=expires_at
    )
    return expires_at


def use_link(conn: Connection, ctx: Context, who: Identity, token: str, *, now: datetime) -> bool:
    """Spend a one-time token: `who` is the contact it was made for. False: unknown, used, or too old; or `who` is a
    shared telephone number, and the token stays for whom it was made."""
    found = proofs.by_hash(conn, proofs.hashed(token), now)
    if found is None or is_shared(conn, ctx, who.kind, who.value) or not proofs.use(conn, found.token_hash, now):
        return False
    link(conn, ctx, who, found.contact_id, how="deep link", actor=found.asked_by, now=now)
    return True


# -- codes by mail ------------------------------------------------------------------------


def code_of(ctx: Context, asked_by: str, contact_id: int, at: datetime) -> str:
    """Six digits. They are made again when the mail is rendered, so that they stand nowhere."""
    token = ctx.keyring.token("link-code", asked_by, str(contact_id), at.isoformat())
    return f"{int.from_bytes(token.encode(), 'big') % 1_000_000:06}"


def _code_hash(ctx: Context, asked_by: str, contact_id: int, at: datetime, code: str) -> str:
    # Keyed: six digits under a plain hash would be found by trying them all.
    return ctx.keyring.hash(ctx.keyring.token("link-code-hash", asked_by, str(contact_id), at.isoformat(), code))


def send_code(
    conn: Connection, ctx: Context, who: Identity, address: str, *, key: str, language: str, now: datetime
) -> bool:
    """Send a code to a mail address, if we know it and reach it. False: too many were asked for.

    The caller cannot tell, and must not, whether the address is known.
    """
    address = people.normal(address)
    if not (_within(conn, f"link:{who}", now) and _within(conn, f"link:{MAIL}:{address}", now)):
        return False
    proofs.void_codes(conn, str(who), now)
    known = people.find(conn, MAIL, address)
    account = _mail_account(ctx)
    if known is None or account is None or ctx.settings.is_own(address):
        return True
    if people.unreachable_by(conn, MAIL, address, MAIL) is not None:
        return True
    at = proofs.next_moment(conn, str(who), now)
    code = code_of(ctx, str(who), known.contact_id, at)
    proofs.put(
        conn,
        token_hash=_code_hash(ctx, str(who), known.contact_id, at, code),
        kind="code",
        contact_id=known.contact_id,
        asked_by=str(who),
        now=at,
        expires_at=at + CODE_LIFE,
    )
    theirs = notices.person(conn, MAIL, address)
    outbox.put(
        conn,
        outbox.Draft(
            key=key,
            lane="",
            kind="code",
            channel=MAIL,
            account=account,
            recipient=address,
            recipient_name=theirs.name,
            language=notices.language_for(theirs, language),
            template="link_code",
            variables={"asked_by": str(who), "contact": known.contact_id, "at": at.isoformat()},
            repeatable=False,
            automatic=True,
        ),
        now,
    )
    return True


def code_values(ctx: Context, given: Any) -> dict[str, Any]:
    """What the text of such a mail is filled in with, from the variables of its row."""
    at = datetime.fromisoformat(given["at"])
    where = str(given["asked_by"]).partition(":")[0].capitalize()
    code = code_of(ctx, given["asked_by"], given["contact"], at)
    return {"code": code, "minutes": int(CODE_LIFE.total_seconds()) // 60, "where": where}


def try_code(conn: Connection, ctx: Context, who: Identity, code: str, *, now: datetime) -> str | None:
    """Try a code: the mail address that `who` is linked with now, or None for a wrong one."""
    found = proofs.code_for(conn, str(who), now)
    if found is None or found.attempts >= TRIES or is_shared(conn, ctx, who.kind, who.value):
        return None
    expected = _code_hash(ctx, str(who), found.contact_id, found.created_at, code)
    if not hmac.compare_digest(expected, found.token_hash):
        proofs.count_try(conn, found.token_hash)
        return None
    proofs.use(conn, found.token_hash, now)
    link(conn, ctx, who, found.contact_id, how="code", actor=str(who), now=now)
    return next((row.value for row in people.identities(conn, found.contact_id) if row.kind == MAIL), "")


def _within(conn: Connection, name: str, now: datetime) -> bool:
    return all(
        counters.count_up(conn, f"auto:{unit}:{name}", counters.bucket(now, span)) <= most for unit, span, most in ASKED
    )


def _mail_account(ctx: Context) -> str | None:
    accounts = ctx.settings.accounts(MAIL)
    return next((name for name, account in accounts.items() if account.outbound != "off"), None)


# -- who somebody is ----------------------------------------------------------------------


def identities_of(conn: Connection, who: Identity) -> Sequence[Row[Any]]:
    """Every identity of the contact of `who`; none for a stranger."""
    known = people.find(conn, who.kind, who.value)
    return people.identities(conn, known.contact_id) if known is not None else ()


def same_person(conn: Connection, who: Identity, contact_id: int) -> bool:
    """`who` is known as an identity of this contact."""
    known = people.find(conn, who.kind, who.value)
    return known is not None and known.contact_id == contact_id
