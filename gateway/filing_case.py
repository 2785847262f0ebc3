"""What is being filed: one entry with its meaning, as every step of filing gets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from channels.registry import identity_kind
from gateway.context import Context
from gateway.shared_numbers import TAG
from gateway.store import media
from gateway.store.dialect import TryAgain
from gateway.store.journal import Entry
from gateway.store.people import normal
from gateway.store.threads import key_value
from normalizer.message import Address, DeliveryReport, Event, Message
from router.assignment import Assignment


class Conflict(TryAgain):
    """Somebody else tied a key of this thread to a ticket meanwhile: search again (rule 7)."""


def big_attachments(event: Event) -> list[str]:
    """Names of the blobs that a worker made of attachments, those of forwarded messages included."""
    message = event.content if isinstance(event, DeliveryReport) else event
    names: list[str] = []
    while isinstance(message, Message):
        names += [item.sha256 for item in message.attachments if item.content is None and item.sha256]
        message = message.forwarded
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """What an entry became; the journal keeps it as the entry's outcome."""

    kind: str
    """opened, appended, revised, joined, reply, note, rating, bounce, auto_reply, report, loop, feedback, later …"""
    ticket_id: int | None = None
    number: str = ""
    message_id: int | None = None
    """Row of the table `message`."""
    because: str = ""

    def outcome(self) -> dict[str, Any]:
        """As the journal keeps it."""
        return {
            "kind": self.kind,
            "ticket": self.number or None,
            "ticket_id": self.ticket_id,
            "message": self.message_id,
            "because": self.because,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One message on its way into a ticket."""

    ctx: Context
    entry: Entry
    message: Message
    assignment: Assignment
    now: datetime
    sender: Address
    """Who counts as the author: From, or the envelope's sender where there is no From."""
    registered_by: str = ""
    """Key of the agent who forwarded it for the sender."""
    shared: str = ""
    """Why the sender's telephone number is no one person's; "" for everybody else."""
    fresh: bool = False
    """The sender asked for a new ticket, although one of the conversation is open."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """More data for the event "opened"."""

    @property
    def peer(self) -> str:
        """The conversation's other side: of a chat the place and the person, else the sender."""
        talk = self.message.conversation
        return normal(talk.id if talk is not None else self.sender.address or self.entry.raw.peer)

    @property
    def identity(self) -> str:
        """Kind of the sender's identity."""
        return identity_kind(self.entry.raw.channel)

    def key(self, effect: str) -> str:
        """What makes an effect of this entry happen once, whatever is run twice (rule 6)."""
        return f"{effect}:{self.entry.id}"

    def revision(self) -> dict[str, Any]:
        """Columns of the table `message` for this reading."""
        said, raw = self.message, self.entry.raw
        chat: dict[str, Any] = {}
        if said.conversation is not None:
            chat = {name: key_value(value) or None for name, value in self._names().items()}
            chat["edited_at"] = said.edited_at
        return {
            **chat,
            "entry_id": self.entry.id,
            "generation": self.entry.generation,
            "author": self.sender.address or raw.peer,
            "author_name": self.sender.name,
            "subject": said.subject,
            "text": said.text,
            "visible_text": said.visible_text,
            "html": said.html,
            "language": said.language[:8],
            "sha256": raw.body.sha256,
            "oddities": list(said.oddities) or None,
            "at": raw.received_at,
            "dated": said.date,
        }

    def _names(self) -> dict[str, str]:
        return {"external_key": self.message.external_key, "group_key": self.message.group}

    def place(self) -> dict[str, Any]:
        """Columns of the table `ticket` that say where its conversation is; none for mail."""
        talk = self.message.conversation
        if talk is None:
            return {}
        said = {"id": self.peer, "private": talk.private, "answer_to": dict(talk.answer_to)}
        return {"conversation": {**said, "person": normal(self.sender.address)}}

    def columns(self) -> dict[str, Any]:
        """Columns of the table `ticket` that the assignment decides."""
        assigned = self.assignment
        return {
            "class_": assigned.class_,
            "proposed_class": assigned.proposed_class,
            "confidence": assigned.confidence,
            "line": assigned.line,
            "proposed_line": assigned.proposed_line,
            "onsite": assigned.onsite,
            "contract": assigned.contract,
            "tags": [*assigned.tags, *([TAG] if self.shared else [])],
            "because": [reason.as_json() for reason in assigned.because],
        }


def author(entry: Entry, message: Message) -> Address:
    """From, or the envelope's sender when a mail has none."""
    if message.sender.address:
        return message.sender
    envelope = entry.raw.facts.get("mail_from")
    return Address(address=envelope if isinstance(envelope, str) else "", name=message.sender.name)


def keep_files(conn: Connection, case: Case, ticket_id: int, message_id: int) -> None:
    """The files of this message: kept, or queued to be fetched in this very transaction (rule 10)."""
    raw = case.entry.raw
    media.add_files(
        conn,
        ticket_id,
        message_id,
        case.message.attachments,
        channel=raw.channel,
        account=raw.account,
        now=case.now,
    )
