"""A conversation with a bot while one entry of it is answered: who, where, in which language, in which state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from channels.registry import identity_kind
from gateway.context import Context
from gateway.dialogs.states import State, as_json, from_json
from gateway.identities import Identity
from gateway.store import dialogs, people, threads
from gateway.store.journal import Entry
from normalizer.message import Address, Conversation, KeyKind, Press

LANGUAGES = ("ru", "uk", "en")


@dataclass(slots=True, kw_only=True)
class Talk:
    """One entry of a conversation with a bot, while it is answered. `language` may change meanwhile."""

    conn: Connection
    ctx: Context
    entry: Entry
    sender: Address
    conversation: Conversation
    language: str
    now: datetime
    press: Press | None = None
    said: str = ""
    """External key of what the person wrote: in a group the answer points at it."""
    mute: str = ""
    """Why nothing is said; what is done is done all the same, and a pressed button is answered."""
    count: int = 0
    """Rows put so far."""
    toasted: bool = False

    @property
    def channel(self) -> str:
        """The channel that it came by."""
        return self.entry.raw.channel

    @property
    def account(self) -> str:
        """The account that it came to."""
        return self.entry.raw.account

    @property
    def person(self) -> str:
        """The identity's value."""
        return people.normal(self.sender.address)

    @property
    def edits(self) -> bool:
        """The message with the pressed button is there, and is this person's to change."""
        under = self.press.under if self.press is not None else ""
        # What a press says of itself is made up by whoever sends it, so it may stand under another one's message.
        return bool(under) and threads.told(self.conn, KeyKind.EXTERNAL, under) in (None, self.person)


def talk_of(
    conn: Connection,
    ctx: Context,
    entry: Entry,
    sender: Address,
    conversation: Conversation,
    language: str,
    press: Press | None,
    now: datetime,
) -> Talk:
    """The person's own language, else that of their device, else the account's."""
    account = ctx.settings.account(entry.raw.channel, entry.raw.account)
    talk = Talk(
        conn=conn,
        ctx=ctx,
        entry=entry,
        sender=sender,
        conversation=conversation,
        language=account.language if account else "en",
        press=press,
        now=now,
    )
    spoken = language.partition("-")[0].lower()
    talk.language = chosen(talk) or (spoken if spoken in LANGUAGES else talk.language)
    return talk


def save(talk: Talk, state: State) -> None:
    """Remember the state that this entry led to."""
    place = (talk.channel, talk.account, talk.conversation.id)
    kept = as_json(state)
    if talk.conversation.private:
        # Where this person is written to alone, also about what was said in a group.
        kept["private"] = dict(talk.conversation.answer_to)
    dialogs.save(talk.conn, *place, kept, entry_id=talk.entry.id, now=talk.now)


def state_of(talk: Talk) -> State:
    """The state of the conversation, locked until the transaction ends."""
    return from_json(dialogs.lock(talk.conn, talk.channel, talk.account, talk.conversation.id, talk.now))


def who_of(talk: Talk) -> Identity:
    """The identity that speaks."""
    return Identity(kind=identity_kind(talk.channel), value=talk.person)


def chosen(talk: Talk) -> str | None:
    """The language that the person has chosen."""
    known = people.find(talk.conn, identity_kind(talk.channel), talk.person)
    language = people.get(talk.conn, known.contact_id).language if known is not None else None
    return language if language in LANGUAGES else None
