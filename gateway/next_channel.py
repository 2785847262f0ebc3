"""The next way to a person whom a notice did not reach: another identity of theirs, on a channel that we have.

The order of channels is the desk's (`outbox.next_channel`). A notice goes on once: the second way failing ends it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, select

from channels.registry import identity_kind
from gateway import notices, shared_numbers
from gateway.automatic import within_caps
from gateway.context import Context
from gateway.notices import Change, Letter, Scene
from gateway.shared_numbers import PHONE
from gateway.store import outbox, people, tickets
from gateway.store.outbox import Row
from gateway.store.schema_chats import consent
from gateway.texts import TO_REQUESTER
from normalizer.message import RATING_CALL, Json

MARK = "instead_of"
"""Variable of a notice that goes by the next channel: the row that did not arrive, 0 where none was tried."""

AS_WORDS: Mapping[str, str] = {RATING_CALL: "survey"}
"""Kind and template of what is no text -> of the text that asks the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How else to reach somebody."""

    channel: str
    account: str
    address: str
    place: Mapping[str, Json] | None = None
    """Where beside the address: to and from which number."""


def hand_on(conn: Connection, ctx: Context, row: Row, now: datetime) -> Way | None:
    """Queue the same notice for the next way to the requester. None: there is none, or it is no notice for them."""
    if row.ticket_id is None or row.act != "send" or MARK in row.variables:
        return None
    scene = Scene(
        conn=conn, ctx=ctx, ticket=tickets.get(conn, row.ticket_id), now=now,
        change=Change(ticket_id=row.ticket_id, event_id=None, kind="undelivered", actor="gateway"),
    )  # fmt: skip
    letter = Letter(
        # Several parts may fail: the whole goes on once.
        key=f"next:{outbox.first_of(conn, row)}", kind=AS_WORDS.get(row.kind, row.kind),
        template=AS_WORDS.get(row.template, row.template), recipient=row.recipient,
        language=row.language, recipient_name=row.recipient_name, channel=row.channel, account=row.account,
        automatic=row.automatic, repeatable=row.repeatable, variables=dict(row.variables),
    )  # fmt: skip
    found = _elsewhere(scene, letter, row.id)
    if found is None or (found.automatic and not _within_caps(scene, found)):
        return None
    notices.put(scene, found)
    return Way(channel=found.channel, account=found.account, address=found.recipient)


def instead(scene: Scene, letter: Letter) -> Letter:
    """The letter, by the next way where it is barred from this one; as it is where there is no other.

    The caller asks the caps of automatic mail.
    """
    return (_elsewhere(scene, letter, 0) or letter) if letter.barred else letter


def _elsewhere(scene: Scene, letter: Letter, row_id: int) -> Letter | None:
    if letter.recipient != scene.ticket.requester or letter.template not in TO_REQUESTER:
        return None
    way = next(_ways(scene, letter), None)
    if way is None:
        return None
    return replace(
        letter, channel=way.channel, account=way.account, recipient=way.address, barred="", destination=way.place,
        variables={**letter.variables, MARK: row_id},
    )  # fmt: skip


def _ways(scene: Scene, letter: Letter) -> Iterator[Way]:
    """Every other way to the requester that may be used, the best first."""
    conn, settings = scene.conn, scene.ctx.settings
    known = people.find(conn, identity_kind(letter.channel), letter.recipient)
    others = people.identities(conn, known.contact_id) if known is not None else []
    for channel in settings.outbox.next_channel:
        if channel == letter.channel:
            continue
        for identity in others:
            fits = identity.kind == identity_kind(channel) and _reaches(scene, channel, identity.value, letter.kind)
            way = _way(scene, channel, identity.value) if fits else None
            if way is not None:
                yield way


def _reaches(scene: Scene, channel: str, address: str, kind: str) -> bool:
    conn, settings = scene.conn, scene.ctx.settings
    if settings.is_own(address) or settings.agent_by_address(address) is not None:
        return False
    gone = people.unreachable_by(conn, identity_kind(channel), address, channel) is not None
    return not gone and not shared_numbers.bars(conn, scene.ctx, channel, address, kind)


def _way(scene: Scene, channel: str, address: str) -> Way | None:
    """From the first end of ours that the person did not tell to stop."""
    known = scene.ctx.settings.accounts(channel).items()
    accounts = {name: account for name, account in known if account.outbound != "off"}
    stopped = _stopped(scene, channel, address)
    if identity_kind(channel) != PHONE:
        return Way(channel=channel, account=next(iter(accounts)), address=address) if accounts and not stopped else None
    for name, account in accounts.items():
        ours = next((number for number in notices.numbers_of(account) if number not in stopped), None)
        if ours is not None:
            return Way(channel=channel, account=name, address=address, place={"to": address, "from": ours})
    return None


def _stopped(scene: Scene, channel: str, address: str) -> set[str]:
    """Ends of ours that were told to stop."""
    no = select(consent.c.endpoint).where(
        consent.c.channel == channel, consent.c.peer == people.normal(address), consent.c.wish == "stop"
    )
    return set(scene.conn.scalars(no))


def _within_caps(scene: Scene, letter: Letter) -> bool:
    return within_caps(scene.conn, scene.ctx, letter.channel, letter.account, letter.recipient, scene.now)
