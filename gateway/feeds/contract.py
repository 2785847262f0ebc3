"""What a feed is: a translator between our tickets and the store that a desk already works in, and nothing else.

The engine beside it (`pushing`, `reading`) queues, repeats, keeps the order and applies what comes back; a feed makes
one try and says what it came to. A feed never writes to our database and never decides who is told of what.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from channels.contract import CannotTell

__all__ = [
    "Alter", "CannotTell", "Change", "Changes", "Existing", "Feed", "File", "Finding", "Heard", "Imports", "Inspects",
    "Merged", "Name", "Open", "Outcome", "Page", "Person", "Pushed", "Ref", "Replied", "Said", "Say", "Set", "Sweeps",
    "Ticket", "Vanished", "Write",
]  # fmt: skip

Name: TypeAlias = Literal["status", "class", "line", "onsite", "assignee", "contract", "subject", "requester"]
"""A field of a ticket that a feed may keep in step."""


# -- what we tell the store ----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody of a ticket."""

    address: str
    """As the channel writes it: a mail address, "+380…", a chat's id; "" when hidden."""
    name: str = ""
    channel: str = "mail"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An attachment, in either direction."""

    filename: str
    content_type: str
    size: int
    """Bytes."""
    sha256: str
    read: Callable[[], bytes]
    """The bytes; blocks, so call it in a thread. Raises OSError when they are gone, which is ours to repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A ticket as it is now, in our words (DESIGN section 2); a feed maps them to the store's."""

    key: str
    """Ours, the same for ever and in no other installation: what the store keeps, and is asked for before a repeat."""
    number: str
    subject: str
    requester: Person
    copies: Sequence[Person]
    status: str
    class_: int | None
    line: str
    onsite: bool
    contract: str
    assignee: str
    """Key of the agent; "" = nobody."""
    language: str
    tags: Sequence[str]
    result: str
    opened_at: datetime
    updated_at: datetime
    reaction_due: datetime | None
    resolution_due: datetime | None
    url: str
    """Of the ticket in our console; "" when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One message of a ticket."""

    key: str
    """Ours: what the store keeps beside it, and is asked for before a repeat."""
    author: Person
    text: str
    at: datetime
    public: bool
    """False: for staff only (a note, something unverified); the store must keep it from the requester."""
    inward: bool
    """From a person outside the desk."""
    message_id: str = ""
    """Of a mail, without angle brackets."""
    files: Sequence[File] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """A ticket of the store."""

    id: str
    """What its interface takes; may be composite, the feed reads it alone. At most 255 characters."""
    number: str
    """What people type and see in subjects; at most 64 characters."""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Make the ticket. `first` is what opened it."""

    key: str
    ticket: Ticket
    first: Said


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Append a message."""

    key: str
    ticket: Ticket
    ref: Ref
    said: Said


@dataclass(frozen=True, slots=True, kw_only=True)
class Alter:
    """Bring these fields to what `ticket` says now; to do it twice does no harm."""

    key: str
    ticket: Ticket
    ref: Ref
    fields: frozenset[Name]


Write: TypeAlias = Open | Say | Alter


class Outcome(StrEnum):
    """What one try came to."""

    DONE = "done"
    RETRY = "retry"
    """Not now: the store is down, busy, or refuses everybody."""
    REFUSED = "refused"
    """This write will never be taken as it is: a person has to look. It holds up its own ticket alone."""
    VANISHED = "vanished"
    """The store no longer has the ticket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """Result of one try. `detail` is for staff and logs: status code and the store's own words, never contents or
    secrets, at most 500 characters."""

    outcome: Outcome
    ref: Ref | None = None
    """Where it stands now; wanted for a finished `Open`, and when the store moved the ticket (a merge)."""
    detail: str = ""
    retry_after: float | None = None
    """Seconds, when the store says."""
    uncertain: bool = False
    """With RETRY: the store may have done it. The engine asks `find` before it tries again."""
    of_ticket: bool = False
    """With RETRY: the trouble is this ticket's (locked, a conflict of versions), so the others go on."""
    left_out: Sequence[str] = ()
    """Parts that the store did not take, in words for staff: a file over its limit, a value without a mapping."""


# -- what the store tells us ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """A field changed."""

    field: Name
    value: str
    """In our words by the value maps: "resolved", "L2", "3", "" = nobody or none."""
    raw: str
    """The store's own word, for the history."""
    known: bool = True
    """False: the maps have no word for it; recorded, and nothing is changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replied:
    """Staff wrote. Only what the store calls public comes with `public`; in doubt it is not."""

    text: str
    public: bool
    files: Sequence[File] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """The ticket is a part of another one now."""

    into: Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Vanished:
    """It was deleted."""


Change: TypeAlias = Set | Replied | Merged | Vanished


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One change in the store."""

    id: str
    """The store's own name of the change, unique in this feed: a transaction, a journal, a version."""
    ref: str
    """`Ref.id` of its ticket."""
    at: datetime
    actor: str
    """Who did it, as the store calls them; "" unknown."""
    ours: bool
    """We did it, by our user or by a key of ours: no news."""
    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """A page of what changed, oldest first."""

    heard: Sequence[Heard]
    cursor: str
    """Where the next call goes on; committed in the transaction of what it passes. Short as a rule, and
    1,000,000 characters at most; the same as before when nothing happened, so that nothing has to be written."""
    more: bool = False
    """There is more now."""
    odd: Sequence[str] = ()
    """What could not be read, for operators; it is passed all the same."""


# -- troubles and findings -----------------------------------------------------------------


class FeedError(Exception):
    """Reading from the store did not work; the text says what and what to do, without secrets.

    `again` False: a person has to mend it (credentials, rights, a field that is missing).
    """

    def __init__(self, text: str, *, again: bool = True, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.again = again
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of `gateway check --online`."""

    good: bool
    what: str
    """Exactly which connection, right, field or value."""
    mend: str = ""
    """What would make it right."""
    warning: bool = False
    """With good False: it works, but somebody should know (the store mails requesters itself)."""


# -- the protocols -------------------------------------------------------------------------


class Feed(Protocol):
    """One configured store. Nothing here may be called before `open` or after `close`.

    Each call is bounded by the engine's time limit and may be cancelled at any await.
    """

    async def open(self) -> None:
        """Make sessions and pools; asks the store nothing, so that one that is down delays no start."""

    async def close(self) -> None:
        """Let go of everything."""

    async def push(self, write: Write) -> Pushed:
        """One try. Never raises for the store's sake. Files and fields go with it, all or as much as can be found
        again by `find`: a try that broke off in the middle may be gone on with."""

    async def find(self, write: Write) -> Ref | CannotTell | None:
        """Was it done? By the key of ours in the store, read where writes are visible at once (no search index).
        None: surely not. An `Alter` needs no asking: it is pushed again."""

    async def changes(self, cursor: str | None) -> Changes:
        """What changed since `cursor`; None: since now, and the first cursor comes back. Raises FeedError."""

    async def check(self) -> Sequence[Finding]:
        """Connection, credentials, each right and field that the configuration needs. Writes nothing."""

    async def undo(self, ref: Ref) -> Pushed:
        """Close or delete a ticket that `gateway feeds try` made."""


@runtime_checkable
class Hears(Protocol):
    """Add-on: the store calls us. Mounted at `/feeds/<name>`."""

    async def heard(self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, now: datetime) -> Changes:
        """What a request says; `cursor` is ignored. Raises Forged (403) or Unreadable (422)."""


class Forged(Exception):
    """The signature is wrong, absent, or too old."""


class Unreadable(Exception):
    """The signature is right and the body makes no sense; the text says what was expected."""


@runtime_checkable
class Sweeps(Protocol):
    """Add-on: look for doubles."""

    async def doubles(self) -> Mapping[str, Sequence[Ref]]:
        """Key of ours -> the tickets that have it, where there is more than one. Raises FeedError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """A ticket that was in the store before us."""

    ref: Ref
    subject: str
    requester: Person
    copies: Sequence[Person] = ()
    status: str = "open"
    class_: int | None = None
    line: str = "L1"
    assignee: str = ""
    opened_at: datetime
    message_ids: Sequence[str] = ()
    """Of its mails, without angle brackets, so that answers to them find it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of the open tickets."""

    tickets: Sequence[Existing]
    cursor: str | None
    """None: these were the last."""
    total: int | None = None
    odd: Sequence[str] = field(default=())


@runtime_checkable
class Imports(Protocol):
    """Add-on: give the open tickets."""

    async def existing(self, cursor: str | None) -> Page:
        """Open tickets, oldest first. Raises FeedError."""


@runtime_checkable
class Inspects(Protocol):
    """Add-on: propose a mapping for a store that nobody has mapped yet."""

    async def propose(self) -> str:
        """YAML of a feed's settings, with comments on what was guessed and why. Raises FeedError."""
