"""The vocabulary: the one file that every package may import.

Everything here is a frozen value. Times are aware `datetime`s in UTC. Text is `str`
without NUL and without lone surrogates; what could not be decoded is named in `oddities`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal, TypeAlias

from normalizer.call import Happening

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
Facts: TypeAlias = Mapping[str, Json]

INLINE_LIMIT = 256 * 1024
"""Bytes of a body that travel in memory and in a row; a bigger one is a spooled file."""


# -- raw: the bytes as they arrived -------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineBody:
    """A body of at most `INLINE_LIMIT` bytes."""

    content: bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content)

    @property
    def sha256(self) -> str:
        """Lower-case hex digest of the content."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledBody:
    """A body on disk. Until it is accepted `path` is a spool file, afterwards a blob."""

    path: Path
    size: int
    sha256: str


Body: TypeAlias = InlineBody | SpooledBody


@dataclass(frozen=True, slots=True, kw_only=True)
class RawMessage:
    """The bytes of one message as they came over a wire, with the facts of the transport."""

    channel: str
    account: str
    """The account of ours it came to; the first one where it came to several."""
    format: str
    """What the body is, with a version: `mail/1`, `telegram/1` …; a key of `PARSERS`."""
    external_id: str
    """The far side's id, the same when it repeats the message (Message-ID, update_id, SID)."""
    fingerprint: str
    """Hex SHA-256 of what stays the same in a repeat; a repeat is equal in both."""
    peer: str
    """Who it is from, as far as the wire tells: orders the filing of one person's messages."""
    received_at: datetime
    """The source's time (SMTP: acceptance; IMAP: INTERNALDATE; Telegram, Twilio: the provider's)."""
    body: Body
    facts: Facts = field(default_factory=dict)
    """Of the transport. Mail: `client_ip, helo, mail_from, rcpt_to[], tls, transport`."""
    deliveries: tuple[tuple[str, str], ...] = ()
    """(account, recipient address) for each of our addresses it came to."""


# -- event: what a raw message means ------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A mail address. `address` is lower-case in its domain part and "" when there is none."""

    address: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that came with a message."""

    filename: str
    """A bare file name, safe to show and to store: no folder, no control character; may be ""."""
    content_type: str
    size: int
    sha256: str
    inline: bool = False
    content_id: str = ""
    content: bytes | None = None
    """None: kept as a blob under `sha256`, or not fetched yet (`source`)."""
    source: str = ""
    """For media by reference: what the channel's Fetcher needs to fetch it."""


class KeyKind(StrEnum):
    """What ties a message to a ticket."""

    MESSAGE_ID = "message_id"
    REPLY_TOKEN = "reply_token"
    TICKET_NUMBER = "ticket_number"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadKey:
    """One thread key as it stands in a message. Whether we issued it only the store knows."""

    kind: KeyKind
    value: str


class Trust(StrEnum):
    """How far the sender's name can be believed (RFC 8601 verdicts of a relay we configured)."""

    VERIFIED = "verified"
    """The relay we trust says DMARC pass, or DKIM/SPF pass aligned with From."""
    UNKNOWN = "unknown"
    """Nobody we trust said anything."""
    SUSPECT = "suspect"
    """DMARC fail, or the relay's spam verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Where on a chat channel a message stands, and where an answer to it goes."""

    id: str
    """What joins the messages of one person in one place: their own address in private, else place and address."""
    private: bool = True
    """Nobody else reads along."""
    answer_to: Facts = field(default_factory=dict)
    """What the channel's sender needs beside the recipient's address: chat, topic, connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A button of ours was pressed. The far side waits for an answer to it, whatever it means."""

    id: str
    """Names the press; the answer bears it."""
    under: str = ""
    """External key of the message of ours that has the button; "" when it is gone."""


MessageKind: TypeAlias = Literal["message", "auto_reply", "report", "loop", "feedback"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Somebody says something. `kind` other than "message" opens no ticket and is never answered."""

    sender: Address
    """The author (From)."""
    text: str
    """All of the text, quotes included."""
    visible_text: str
    """The part that the sender wrote now. A view: `text` is always kept."""
    kind: MessageKind = "message"
    subject: str = ""
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    on_behalf: Address | None = None
    """The other name beside the author (Sender, "on behalf of", the author of a forwarded mail): only offered."""
    message_id: str = ""
    """Without angle brackets; "" when there is none."""
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    date: datetime | None = None
    """As the sender claims."""
    html: str = ""
    """Sanitised, for staff's eyes; "" when the message had none."""
    attachments: tuple[Attachment, ...] = ()
    thread_keys: tuple[ThreadKey, ...] = ()
    """At most 50 references and the tokens and numbers found, best first."""
    language: str = ""
    """"ru", "uk", "en", another ISO 639-1 code, or "" when there is nothing to tell it by."""
    language_sure: bool = False
    """True when the guess is sure and the text has five words or more."""
    thanks: bool = False
    """The new part is only thanks or a greeting."""
    rating: int | None = None
    """1-5: what the text would count as if a survey were open."""
    rating_comment: str = ""
    stop_surveys: bool = False
    """The text asks for no more surveys ("9", "stop")."""
    chosen: tuple[str, ...] = ()
    """What the sender chose from menus, in order: "urgent" (everything has stopped), "report", "status", "person"."""
    ours: bool = False
    """The words are the gateway's, about a call: nothing in them decides anything."""
    trust: Trust = Trust.UNKNOWN
    robot: bool = False
    """A machine or a mailing list sent it (RFC 3834 section 2, Precedence, List-Id, null return path): it may
    open a ticket, but nothing automatic goes back to it."""
    forwarded: Message | None = None
    """The message inside, when this one is a forward (for an agent's forward)."""
    conversation: Conversation | None = None
    """Of a chat, a text message, a call; None for mail, whose threads are made by `thread_keys`."""
    external_key: str = ""
    """The channel's own name of this message where it has no Message-ID, unique over all accounts; an edit of it
    has the same. An answer names it by a thread key of kind EXTERNAL."""
    edited_at: datetime | None = None
    """This is a newer text of the message with this `external_key`."""
    group: str = ""
    """Parts of one message (an album) have the same, unique over all accounts; "" when it is whole."""
    answers_us: bool = False
    """It answers a message that this account of ours sent."""
    oddities: tuple[str, ...] = ()
    """What was wrong with the bytes, as stable names: "charset:unknown:x-foo", "base64:bad" …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRecipient:
    """One recipient of a delivery report (RFC 3464 section 2.3)."""

    address: str
    action: str
    """failed, delayed, delivered, relayed, expanded."""
    status: str = ""
    """RFC 3463 code, "5.1.1"; "" when unknown."""
    diagnostic: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """What became of something that we (or somebody in our name) sent: a bounce."""

    recipients: tuple[ReportedRecipient, ...]
    original_message_id: str = ""
    thread_keys: tuple[ThreadKey, ...] = ()
    content: Message | None = None
    """The report itself as a readable message; its `kind` is "report"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """An answer to a survey that names the survey itself (a button, a form), so needs no guessing."""

    token: str
    score: int
    comment: str = ""
    voter: Address | None = None
    """Who pressed the button; None where only the one who was asked can know the token."""
    press: Press | None = None
    conversation: Conversation | None = None


OWN_NUMBER = "own-number"
"""Name of the command that says the sender's own telephone, as the far side vouches for it. No parser of typed commands
or of buttons' data may give a name with a hyphen: what people write themselves is no proof."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Somebody tells the gateway itself what to do: a bot command, a button of a menu, a shared contact."""

    name: str
    """start, help, new, status, language, stop, `OWN_NUMBER` …, without a slash, in lower case; unknown ones, too."""
    argument: str = ""
    sender: Address
    conversation: Conversation
    language: str = ""
    """What the person's device speaks: a hint, "" when unknown."""
    press: Press | None = None
    external_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reachability:
    """The far side says whether somebody can be written to: they blocked us, came back, left."""

    address: str
    reachable: bool
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A place where people talk with us got another id at the far side; from now on only that one works."""

    where: str
    """The member of a notice's destination that names it."""
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """A whole message that only says whether its sender wants messages from us (STOP, START, HELP)."""

    sender: Address
    wish: Literal["stop", "start", "help"]
    conversation: Conversation
    answered: bool = False
    """The far side has answered it itself."""


SendState: TypeAlias = Literal[
    "accepted", "queued", "sending", "sent", "undelivered", "failed", "canceled", "delivered", "read"
]
"""How far a message of ours has got at the far side."""
Verdict: TypeAlias = Literal["", "temporary", "permanent", "unreachable", "consent", "alarm"]
"""Why it did not arrive. temporary: later it may; permanent: this text will never, or not on this channel; unreachable:
nothing ever arrives at this address; consent: the person wants none; alarm: our account is set up wrongly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendStatus:
    """The far side says how far a message of ours has got. Such reports come late, twice, in any order, or never."""

    external_key: str
    """The key that the sender's `Receipt.external_ids` has for it."""
    state: SendState
    recipient: str
    endpoint: str = ""
    """The address of ours that it went out from."""
    verdict: Verdict = ""
    """Beside undelivered, failed and canceled."""
    code: str = ""
    """The far side's number for why."""
    detail: str = ""
    """Safe to show to staff."""
    notice: int = 0
    """Row of the outbox, where the report bears it (it was in the address that we gave); 0: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """Nothing for a ticket, and why: a service message, somebody joined a group."""

    reason: str
    """A stable name: "service:pinned_message", "from:bot" …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent:
    """Something happened in a telephone call. The line waits for what comes next, unless it is `aside`."""

    call: str
    """The provider's id of the call."""
    happening: Happening
    step: int = 0
    """How many answers of ours came before; 0: the call begins."""
    aside: bool = False
    """It is told beside the conversation: the call is over, a recording is there."""
    caller: Address
    """A number in international form, or a SIP address; "" when the network does not say who calls."""
    called: str = ""
    """Our number."""
    forwarded_from: str = ""
    source: str = ""
    """Beside a recording: what the channel's Fetcher needs."""
    ours: bool = False
    """We called: `caller` is whom, `called` the number of ours that it was from."""
    notice: int = 0
    """Row of the outbox that such a call was made for, where the request bears it (it was in the address that we gave);
    0: not known."""


Event: TypeAlias = (
    Message | DeliveryReport | Rating | Command | Reachability | Moved | Consent | SendStatus | CallEvent | Ignored
)


# -- notice: one thing to tell one person -------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """A button under a message: it opens a link, or sends `data` back to us."""

    label: str
    data: str = ""
    """What comes back when it is pressed: `rate:<token>:<score>` is a vote, `<command>:<argument>` a command."""
    url: str = ""


RATING_CALL = "rating_call"
"""The kind of a notice that is a telephone call which asks for a mark: the only one that calls anybody."""

Act: TypeAlias = Literal["send", "edit", "press"]
"""send: a message of its own; edit: another text for one that we sent; press: the answer to a pressed button."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A notice as a channel's sender gets it: rendered, addressed, with the keys chosen before sending."""

    id: int
    """Row of the outbox; stable over repeats."""
    channel: str
    account: str
    recipient: Address
    kind: str
    """acknowledgement, status, reply, question, resolved, survey, reminder, alert …"""
    language: str
    text: str
    html: str = ""
    subject: str = ""
    message_id: str = ""
    """Chosen by us and stored before sending (rule 11); without angle brackets."""
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    reply_to: str = ""
    """Address with the signed reply token (plus-address)."""
    automatic: bool = True
    """False for what a person wrote: no Auto-Submitted header then (RFC 3834 section 5)."""
    attachments: tuple[Attachment, ...] = ()
    created_at: datetime | None = None
    destination: Facts = field(default_factory=dict)
    """Where beside the recipient's address: the conversation's `answer_to`."""
    answers: str = ""
    """External key of the message that this one answers; "" when it stands alone."""
    buttons: tuple[tuple[Button, ...], ...] = ()
    """Rows of buttons, for channels that have them; the text says the same for the others."""
    act: Act = "send"
    target: str = ""
    """Beside edit the external key of our message, beside press the id of the press."""
    part: int = 0
    """Which one of the wire calls that a long notice takes (`Divides`), from 0."""
    link: str = ""
    """The recipient's own page of the ticket; "" when they have none."""


class Delivery(StrEnum):
    """What one delivery try came to."""

    SENT = "sent"
    RETRY = "retry"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


class Fault(StrEnum):
    """Whose a failure is: the message's (refused for what it is), the far side's, or ours."""

    NONE = ""
    MESSAGE = "message"
    FAR_SIDE = "far_side"
    OURS = "ours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What one delivery try came to; `detail` is safe to show to staff."""

    delivery: Delivery
    external_ids: tuple[str, ...] = ()
    detail: str = ""
    retry_after: float | None = None
    """Seconds that the far side asks us to wait."""
    fault: Fault = Fault.NONE
    """NONE beside RETRY: it was not tried, because the far side gets no more for a moment."""
    moved_to: Facts = field(default_factory=dict)
    """The notice's destination has these values from now on: the chat got another id. Whatever names a conversation by
    a value that changed (at the front of its id) is renamed, too."""
    about: Literal["address", "channel", "consent"] = "address"
    """Beside UNREACHABLE. address: nothing ever arrives there. channel: the person is reached, only not by this channel
    now: the next one is used, and the address stays good. consent: as channel, and they want nothing from the number or
    account of ours that it was to go out from."""
    uncertain: bool = False
    """Beside RETRY: nobody knows whether it went out (the answer to a complete send was lost). Rule 12 decides."""
