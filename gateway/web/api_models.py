"""What the API answers. Times are RFC 3339 in UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from gateway.web.frame import ApiModel

Status: TypeAlias = Literal["new", "open", "waiting", "resolved", "closed", "held"]
LineName: TypeAlias = Literal["L1", "L2", "L3", "L4"]
ClassNumber: TypeAlias = Annotated[int, Field(ge=1, le=6)]

# -- answers ------------------------------------------------------------------------------


class Person(ApiModel):
    """Somebody outside the desk."""

    address: str
    name: str


class Participant(Person):
    """Somebody who takes part in a ticket."""

    role: str
    """requester, cc or vendor."""


class AttachmentItem(ApiModel):
    """A file of a message."""

    id: int
    filename: str
    content_type: str
    size: int
    """Bytes."""
    sha256: str
    inline: bool
    state: str
    """here, pending (not fetched yet) or failed."""
    transcript: str = ""
    """What is said in it, where a program wrote that down."""
    url: str
    """Where to download it, with the same token."""


class Revision(ApiModel):
    """An earlier reading of the same raw message, or what it said before its author edited it."""

    generation: int
    text: str
    at: datetime


class MessageItem(ApiModel):
    """One message of a ticket."""

    id: int
    direction: Literal["in", "out", "note"]
    kind: str
    author: str
    """A mail address, "agent:<key>" or "gateway"."""
    author_name: str
    verified: bool
    """False: not surely from a participant; only staff see it."""
    subject: str
    text: str
    visible_text: str
    """The part that the author wrote now, without quotes."""
    language: str
    oddities: Sequence[Any]
    """What was wrong with the bytes."""
    entry: int | None
    """The journal entry it was read from."""
    at: datetime
    attachments: Sequence[AttachmentItem]
    revisions: Sequence[Revision] = ()


class Clock(ApiModel):
    """One deadline; `due` is empty when it is met, paused or not promised."""

    due: datetime | None
    met_at: datetime | None


class Deadlines(ApiModel):
    """Both deadlines of a ticket."""

    reaction: Clock
    resolution: Clock


class TicketItem(ApiModel):
    """A ticket with its messages."""

    id: int
    number: str
    channel: str
    account: str
    requester: Person
    subject: str
    status: Status
    class_: ClassNumber | None = Field(alias="class")
    proposed_class: ClassNumber | None
    line: LineName
    proposed_line: LineName | None
    onsite: bool
    visit: Mapping[str, Any] | None
    contract: str | None
    assignee: str | None
    registered_by: str | None
    language: str
    tags: Sequence[str]
    result: str | None
    deadlines: Deadlines
    opened_at: datetime
    updated_at: datetime
    resolved_at: datetime | None
    related: Sequence[str]
    """Numbers of possibly related tickets."""
    messages: Sequence[MessageItem]


class TicketDetail(TicketItem):
    """A ticket with everything that staff see on one page."""

    confidence: float | None
    because: Sequence[Any]
    """Why class, line, contract and deadlines are what they are."""
    participants: Sequence[Participant]
    incident: int | None = None
    """The known incident that it is linked to."""


class TicketPage(ApiModel):
    """Tickets, the newest first."""

    items: Sequence[TicketItem]
    next_cursor: str | None
    """For `cursor`; none: this was the last page."""


class EventItem(ApiModel):
    """One thing that happened to a ticket."""

    id: int
    at: datetime
    actor: str
    kind: str
    data: Mapping[str, Any]


class EventList(ApiModel):
    """The history of a ticket, oldest first."""

    items: Sequence[EventItem]


class Filed(ApiModel):
    """What became of one journal entry, and why."""

    entry: int
    state: str
    generation: int
    received_at: datetime
    accepted_at: datetime
    outcome: Mapping[str, Any] | None


class Decision(ApiModel):
    """How the gateway came to file and route a ticket as it did."""

    number: str
    class_: int | None = Field(alias="class")
    line: str
    contract: str | None
    confidence: float | None
    deadlines: Deadlines
    because: Sequence[Any]
    entries: Sequence[Filed]
    changes: Sequence[EventItem]
    """Events that changed a decision, people's included."""


class NoticeItem(ApiModel):
    """One notice of the outbox."""

    id: int
    kind: str
    template: str
    state: str
    channel: str
    account: str
    recipient: str
    ticket: int | None
    language: str
    created_at: datetime
    due_at: datetime
    settled_at: datetime | None
    attempts: int
    detail: str
    fault: str


class NoticePage(ApiModel):
    """Notices, the newest first."""

    items: Sequence[NoticeItem]
    next_cursor: str | None


class WriteItem(ApiModel):
    """One write to the desk's own ticket store."""

    id: int
    feed: str
    """The store's name in the settings."""
    ticket: int
    number: str
    """Of the ticket, ours."""
    kind: str
    """open, say (a message), file (one that came late), alter (fields)."""
    fields: Sequence[str]
    """Of an alter."""
    state: str
    """waiting, sending, done, refused, dead, skipped."""
    uncertain: bool
    """The store may have done it; it is asked before the next try."""
    attempts: int
    created_at: datetime
    due_at: datetime
    settled_at: datetime | None
    detail: str


class WritePage(ApiModel):
    """Writes, the newest first."""

    items: Sequence[WriteItem]
    next_cursor: str | None


class RatingItem(ApiModel):
    """One vote; the `current` one of each survey counts."""

    id: int
    score: Annotated[int, Field(ge=1, le=5)]
    comment: str
    channel: str
    at: datetime
    current: bool
    recipient: str
    resolution: int
    """Which resolution of the ticket it is about."""


class SurveyItem(ApiModel):
    """One time that somebody was asked."""

    id: int
    recipient: str
    resolution: int
    asked_at: datetime
    expires_at: datetime
    closed_at: datetime | None


class RatingList(ApiModel):
    """The ratings of a ticket, oldest first, and when they were asked for."""

    items: Sequence[RatingItem]
    surveys: Sequence[SurveyItem]


class TicketState(ApiModel):
    """A ticket after a change."""

    id: int
    number: str
    status: Status
    class_: ClassNumber | None = Field(alias="class")
    line: LineName
    onsite: bool
    assignee: str | None
    event: int
    """The event that the change made."""
