"""What every notice is made with: the change, the ticket and the account it goes out from, and the draft itself.

A draft's key is derived from the change, so composing the same change twice puts one notice (rule 6). Its
Message-ID and reply token come from the key file, the draft's key and the time, and are stored with it (rule 11).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select, update

from channels.contract import AccountSettings
from channels.registry import identity_kind
from gateway.context import Context
from gateway.settings import Settings
from gateway.shared_numbers import PHONE, bars
from gateway.store import consents, outbox, people, schema
from gateway.store.dialect import add_new
from gateway.store.prepared import Prepared
from normalizer.message import Json

LANGUAGES = ("ru", "uk", "en")
STATUS = "status"
"""What status notices of one ticket replace each other by (rule 13)."""
VIEW_LIFE = timedelta(days=90)
"""How long the link to a ticket works after the last notice that carried it."""
GONE = ("replaced", "suppressed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something happened to a ticket."""

    ticket_id: int
    event_id: int | None
    """None: the event was there already, so everybody has been told."""
    kind: str
    """opened message revised edited reply question note resolved closed reopened status class line onsite visit
    assigned requester warning breach rating unreadable undelivered incident_over media"""
    actor: str
    data: Mapping[str, Any] = field(default_factory=dict)
    """Of the event, with what the person wrote (`text`)."""
    automatic_ok: bool = True
    """False: rule 9 forbids automatic answers (old, replayed, a robot's, held)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A change with everything that deciding about notices looks at."""

    conn: Connection
    ctx: Context
    change: Change
    ticket: Row[Any]
    now: datetime

    @property
    def account(self) -> AccountSettings | None:
        """The account that the ticket came to; None when the configuration no longer has it."""
        return self.ctx.settings.account(self.ticket.channel, self.ticket.account)

    def key(self, template: str) -> str:
        """What makes a notice about this change happen once."""
        return f"{template}:{self.change.event_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A notice to one person, as the tables of `updates` describe it."""

    key: str
    kind: str
    template: str
    recipient: str
    recipient_name: str = ""
    channel: str
    account: str
    language: str
    variables: Mapping[str, Json] = field(default_factory=dict)
    automatic: bool = True
    repeatable: bool = False
    replaces: str | None = None
    due_at: datetime | None = None
    barred: str = ""
    """Why it cannot go out this way, in words for staff: unreachable, stopped, a shared number."""
    destination: Mapping[str, Json] | None = None
    """Of a chat: where beside the recipient's address."""
    answerable: bool = True
    """An answer to it belongs to the ticket: it carries a reply token, and its Message-ID is a key of ours."""


def put(scene: Scene, letter: Letter) -> int | None:
    """Queue a notice. Returns its id, or None when it was queued before."""
    ctx = scene.ctx
    account = ctx.settings.account(letter.channel, letter.account)
    domain = domain_of(account)
    # After a restored backup the ids in `key` are given again; the time keeps old mails from naming new notices.
    once = (letter.key, scene.ticket.number, scene.now.isoformat())
    draft = outbox.Draft(
        key=letter.key,
        lane=f"{scene.ticket.id}:{letter.recipient}",
        kind=letter.kind,
        ticket_id=scene.ticket.id,
        channel=letter.channel,
        account=letter.account,
        recipient=letter.recipient,
        recipient_name=letter.recipient_name,
        language=letter.language,
        template=letter.template,
        variables=letter.variables,
        message_id=f"{ctx.keyring.token('message-id', *once)}@{domain}" if letter.answerable and domain else "",
        reply_token=ctx.keyring.token("reply", *once) if letter.answerable and domain else "",
        repeatable=letter.repeatable,
        automatic=letter.automatic,
        replaces=letter.replaces,
        due_at=letter.due_at,
        destination=letter.destination,
        # Written for the pilot's report only: it does not go out either when the account is switched on later.
        mute="the account's outbound is off" if account is not None and account.outbound == "off" else "",
    )
    return outbox.put(scene.conn, draft, scene.now)


def domain_of(account: AccountSettings | None) -> str:
    """The domain of the account's first address; "" for accounts without addresses."""
    endpoints = account.endpoints() if account else ()
    return endpoints[0].rpartition("@")[2] if endpoints and "@" in endpoints[0] else ""


def numbered(scene: Scene, template: str, recipient: str) -> str:
    """The key of one of several notices about a change: an address may be longer than a key."""
    return f"{scene.key(template)}:{scene.ctx.keyring.token('recipient', people.normal(recipient))[:16]}"


# -- the person who asked -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """What is known of somebody we write to."""

    language: str | None = None
    """Their own choice."""
    name: str = ""
    unreachable: bool = False


_PERSON = Prepared(
    select(schema.contact.c.language, schema.contact.c.name, schema.unreachable.c.at.label("unreachable_at"))
    .join(schema.identity, schema.identity.c.contact_id == schema.contact.c.id)
    .join(schema.unreachable, people.BY_CHANNEL, isouter=True)
    .where(schema.identity.c.kind == bindparam("of_kind"), schema.identity.c.value == bindparam("address"))
)
"""Made once: it runs for every notice, some of them in the transaction that takes a message in."""


def person(conn: Connection, channel: str, address: str) -> Person:
    """What we know of the one with this address; nothing of a stranger."""
    wanted = {"of_kind": identity_kind(channel), "address": people.normal(address), "of_channel": channel}
    found = _PERSON.first(conn, wanted)
    if found is None:
        return Person()
    return Person(language=found.language, name=found.name, unreachable=found.unreachable_at is not None)


def language_for(known: Person, ticket_language: str) -> str:
    """The person's own choice, else the ticket's language (contract, sure guess, account: decided at opening)."""
    return next((language for language in (known.language, ticket_language) if language in LANGUAGES), "en")


def to_requester(scene: Scene, kind: str, template: str, key: str, **changes: Any) -> Letter:
    """A notice to the requester, with the link to the ticket kept alive."""
    ticket = scene.ticket
    show_ticket_to(scene.conn, scene.ctx, ticket, ticket.requester, scene.now)
    known = person(scene.conn, ticket.channel, ticket.requester)
    return Letter(
        key=key,
        kind=kind,
        template=template,
        recipient=ticket.requester,
        recipient_name=known.name,
        channel=ticket.channel,
        account=ticket.account,
        language=language_for(known, ticket.language),
        barred=_barred(scene, known, kind),
        destination=destination_of(ticket),
        **changes,
    )


def _barred(scene: Scene, known: Person, kind: str) -> str:
    ticket = scene.ticket
    if known.unreachable:
        return "unreachable"
    place = (ticket.conversation or {}).get("answer_to")
    if wants_none(scene.conn, scene.ctx.settings, ticket.channel, ticket.account, place, ticket.requester):
        return "stopped"
    return bars(scene.conn, scene.ctx, ticket.channel, ticket.requester, kind)


def wants_none(
    conn: Connection,
    settings: Settings,
    channel: str,
    account: str,
    place: Mapping[str, Any] | None,
    address: str,
) -> bool:
    """This person said STOP to our number: networks let nothing through after that, so nothing is sent from it. What
    a bot was told stops only what nobody asked for, which is not asked here."""
    if identity_kind(channel) != PHONE:
        return False
    return consents.stopped(conn, channel, our_end(settings, channel, account, place), address)


def our_end(settings: Settings, channel: str, account: str, place: Mapping[str, Any] | None) -> str:
    """Whom of us a conversation is with: the number of ours that it names, else the account's first; for others than
    telephones the account."""
    found = settings.account(channel, account)
    numbers = numbers_of(found) if found is not None and identity_kind(channel) == PHONE else ()
    return consents.endpoint(numbers[0] if numbers else account, place)


def numbers_of(account: AccountSettings) -> tuple[str, ...]:
    """Our numbers, as people know them: without the name of the channel that an address of ours may begin with."""
    return tuple(end.rpartition(":")[2] for end in account.endpoints())


def destination_of(ticket: Row[Any]) -> Mapping[str, Json] | None:
    """Where in a chat the requester is answered; None for mail, and when the chat is somebody else's."""
    place = ticket.conversation
    if not place or place.get("person", ticket.requester) != ticket.requester:
        return None
    answer_to: Mapping[str, Json] = place.get("answer_to") or {}
    return answer_to or None


def is_overheard(ticket: Row[Any]) -> bool:
    """The ticket's conversation is a group: others read what goes there."""
    return bool(ticket.conversation) and not ticket.conversation.get("private", True)


def last_status_at(scene: Scene) -> datetime | None:
    """When the last status notice of the ticket went out, or was to."""
    last: datetime | None = scene.conn.scalar(
        select(func.max(schema.outbox.c.due_at)).where(
            schema.outbox.c.ticket_id == scene.ticket.id,
            schema.outbox.c.replaces == STATUS,
            schema.outbox.c.state.not_in(("waiting", *GONE)),
        )
    )
    return last


# -- the link to a ticket -----------------------------------------------------------------


def view_token(ctx: Context, ticket: Row[Any], recipient: str) -> str:
    """The token of `/t/{token}` for this person and ticket; only its hash is stored."""
    return ctx.keyring.token("view", ticket.number, ticket.opened_at.isoformat(), people.normal(recipient))


def show_ticket_to(conn: Connection, ctx: Context, ticket: Row[Any], recipient: str, now: datetime) -> None:
    """Let this person's link work for `VIEW_LIFE` from now."""
    token_hash, expires_at = ctx.keyring.hash(view_token(ctx, ticket, recipient)), now + VIEW_LIFE
    row = {"token_hash": token_hash, "ticket_id": ticket.id, "recipient": people.normal(recipient)}
    if not add_new(conn, schema.view_token, {**row, "expires_at": expires_at}):
        known = schema.view_token.c.token_hash == token_hash
        conn.execute(update(schema.view_token).where(known).values(expires_at=expires_at))
