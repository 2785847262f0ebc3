"""What a channel is: the protocols that each one implements, and nothing about any one of them.

A channel must have a `Sender`; `Listener`, `Webhook`, `Fetcher` and `Prober` are add-ons.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

from channels.account import AccountSettings as AccountSettings
from channels.fetching import Erases as Erases
from channels.fetching import Fetched as Fetched
from channels.fetching import Fetcher as Fetcher
from channels.fetching import FetchFailed as FetchFailed
from channels.fetching import Recalls as Recalls
from normalizer.call import Act, Again
from normalizer.message import Notice, RawMessage, Receipt

if TYPE_CHECKING:
    from aiohttp import web

H = TypeVar("H", bound=Callable[..., object])
Clock: TypeAlias = Callable[[], datetime]
"""The present as an aware datetime in UTC; passed in, so that tests own the time."""


Answer: TypeAlias = "Callable[[web.Request, str, int], web.StreamResponse]"
"""A page that tells a person why something was not taken: (request, stable name of the reason, HTTP status)."""


def plain_answer(_request: web.Request, reason: str, status: int) -> web.StreamResponse:
    """An `Answer` without words, where there is no site around."""
    from aiohttp import web  # most commands have no use for it, and it is a tenth of what they would load

    return web.Response(status=status, text=f"{reason}\n")


_OWN_TIME = "has_own_time"


def own_time(handler: H) -> H:
    """Marks a web handler that limits the time of a body itself; the site's limit does not hold for it then."""
    setattr(handler, _OWN_TIME, True)
    return handler


def has_own_time(handler: object) -> bool:
    """Is it marked by `own_time`?"""
    return bool(getattr(handler, _OWN_TIME, False))


class Unavailable(Exception):
    """We cannot take anything in now (database, disk). The channel answers 451 or 503; the far side repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """One numbering of one folder of a mailbox: its UIDs mean something only together with `uidvalidity`."""

    account: str
    name: str
    uidvalidity: int
    """RFC 9051 section 2.3.1.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a message lies at its source; goes into the ledger in the transaction of its journal row."""

    folder: Folder
    uid: int
    stays: bool = False
    """True: nothing is to be done there after the commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far an account has been read; committed with what it passes (rule 3)."""

    channel: str
    account: str
    name: str
    value: str
    places: tuple[Place, ...] = ()
    """Of the raw messages, one each and in their order, where the source has places; a repeat has one, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """One raw message is safe on disk."""

    entry: int
    duplicate: bool
    variant: bool = False
    """New, but the same external id came before with another fingerprint."""


class Intake(Protocol):
    """The way in: `pipeline.accept`. Returning *is* the promise that everything is committed."""

    async def __call__(self, raws: Sequence[RawMessage], cursor: Cursor | None = None, /) -> Sequence[Accepted]:
        """Commit all of `raws` and the cursor in one transaction, or none of them.

        Returns one `Accepted` per raw message, in order.
        Raises `Unavailable` when nothing was (or may have been) committed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A message at the source that is still to be taken in."""

    uid: int
    quiet: bool = False
    """It was listed again under a new number: whatever it becomes, it is not acknowledged."""


Mark: TypeAlias = Literal["listed", "quiet", "old", "settled", "gone"]
"""listed, quiet: to be taken in, the second without an acknowledgement; old: left alone; settled: taken in and moved
or flagged; gone: not at the source any more."""


class Dialog(Protocol):
    """What is answered on the wire itself to what was just accepted, where the far side waits for words."""

    async def __call__(
        self, channel: str, account: str, accepted: Accepted, /, *, ours: bool = False
    ) -> Sequence[Act] | Again:
        """What is done next; the same for a repeat. It is filed by then, in one transaction with the answer. `Again` is
        for the beginning of a call that has gone on since. `ours`: we called.

        Never raises, and takes a second at most: where nobody can tell now it is filed later, and who called us is
        recorded; whom we called is let go.
        """
        ...


class Ledger(Protocol):
    """What is known of each message of a mailbox. Every method raises `Unavailable` when the database cannot tell."""

    async def cursor(self, channel: str, account: str, name: str) -> str | None:
        """The cursor's value as it was committed last; None when there was none."""
        ...

    async def known(self, channel: str, ids: Sequence[str]) -> frozenset[str]:
        """Those external ids of a channel that are in the journal."""
        ...

    async def known_calls(self, channel: str, account: str, calls: Sequence[str]) -> frozenset[str]:
        """Those telephone calls, by the provider's ids of them, of which something is in the journal."""
        ...

    async def has_been_called(self, channel: str, account: str, number: str) -> bool:
        """Whether anything of a call to this number of ours was ever filed."""
        ...

    async def missing(self, folder: Folder, uids: Sequence[int]) -> Sequence[int]:
        """Those of `uids`, in order, of which nothing is known, or whose journal row is not there any more."""
        ...

    async def due(self, folder: Folder) -> Sequence[Listed]:
        """What is listed, and what failed and is to be tried again now, by UID."""
        ...

    async def unsettled(self, folder: Folder) -> Sequence[int]:
        """UIDs that are committed, but neither moved nor flagged yet, ascending."""
        ...

    async def mark(self, folder: Folder, marks: Mapping[int, Mark], cursor: Cursor | None = None) -> None:
        """Set the states of UIDs, and the cursor, in one transaction."""
        ...

    async def failed(self, folder: Folder, uid: int, reason: str) -> None:
        """This one could not be fetched: it is tried again after a pause that doubles."""
        ...

    async def twin(self, folder: Folder, fingerprint: str, received_at: datetime) -> str | None:
        """External id of a message of this folder, in any numbering, with this fingerprint and time; None: no such."""
        ...


class Vault(Protocol):
    """Secrets that change while the gateway runs, kept encrypted."""

    async def get(self, name: str) -> str | None:
        """The secret; None when there is none, or it was sealed under another key. Raises `Unavailable`."""
        ...

    async def put(self, name: str, secret: str) -> None:
        """Keep it. Raises `Unavailable`."""
        ...


class Sender(Protocol):
    """The way out: one try per call. The outbox repeats, orders and counts."""

    async def send(self, notice: Notice) -> Receipt:
        """Make one wire call within the sender's own hard time limit.

        Never raises for what the far side says: that is a `Receipt`.
        """
        ...


@runtime_checkable
class Divides(Protocol):
    """Add-on of a sender: a notice that is too long for one wire call, or has files, takes several."""

    def divide(self, notice: Notice) -> Sequence[Notice]:
        """The notice as wire calls, at least one; pure, and the same each time. Each is a row of the outbox."""
        ...


@dataclass(frozen=True, slots=True)
class CannotTell:
    """The far side gave no answer about an earlier send."""

    detail: str


class Prober(Protocol):
    """Add-on of a sender: did this go out? Asked after a crash between send and settle (rule 12)."""

    async def find(self, notice: Notice, since: datetime) -> Receipt | CannotTell | None:
        """A receipt when it went out, None when it surely did not, `CannotTell` otherwise."""
        ...


@runtime_checkable
class Listener(Protocol):
    """Add-on: ports and polls."""

    async def start(self, intake: Intake) -> None:
        """Open what listens. Raises OSError when a port is taken."""
        ...

    def listening(self) -> dict[str, str]:
        """Name -> "host:port" of each open port, for `var/listening.json`."""
        ...

    async def stop(self) -> None:
        """Stop taking in; let commits under way finish and be answered."""
        ...


@runtime_checkable
class Watched(Protocol):
    """Add-on of a listener or a sender: operators hear of its trouble, of each cause by itself."""

    async def troubles(self) -> Mapping[str, str]:
        """Cause -> why, for an operator, of everything that is in trouble now; the causes' names do not change."""
        ...


@runtime_checkable
class Reloads(Protocol):
    """Add-on of a listener: it takes over a new configuration with its ports open."""

    def adopt(self, successor: Any) -> Sequence[Callable[[], Awaitable[None]]]:
        """Go on as `successor`, one of the same class, built from the new accounts and never started.

        Returns what closes that which only the old configuration needed.
        """
        ...


@runtime_checkable
class Prepares(Protocol):
    """Add-on of a listener that reloads: asked of a successor before anything is taken over."""

    async def prepare(self) -> None:
        """Read what it needs. Raises OSError; then nothing is taken over."""
        ...


@runtime_checkable
class Exclusive(Protocol):
    """Add-on of a listener: among several nodes one at a time runs it. `start` and `stop` are called in turns then."""

    @property
    def lease(self) -> str:
        """What is read, the same on every node: "mail/support imap"."""
        ...


@runtime_checkable
class Reaches(Protocol):
    """Add-on of a listener that goes to a far side by itself: it reads there, or registers as the one to be called.

    A copy of a desk must not do that beside the real one: what it takes in the other never sees. A listener that only
    waits for others to come does not have this.
    """

    @property
    def name(self) -> str:
        """What it reads or serves, for operators."""
        ...

    @property
    def reaches(self) -> bool:
        """Whether it does so as it is configured."""
        ...


@runtime_checkable
class Replaced(Protocol):
    """Add-on of a listener or webhook: where a new configuration is another one, its successor takes its place."""

    @property
    def name(self) -> str:
        """What it reads or serves; a successor has the same."""
        ...

    def serves(self, successor: Any) -> bool:
        """Whether it can go on as it is in place of `successor`, one of the same class and name."""
        ...


class Webhook(Protocol):
    """Add-on: routes that the gateway mounts under `/channels/<channel>/<account>`."""

    def routes(self, intake: Intake) -> Sequence[web.RouteDef]:
        """Routes with paths relative to the account's prefix; a path is fixed, and no pattern."""
        ...


@runtime_checkable
class AtOnce(Protocol):
    """Add-on of a `Webhook`: most of its requests are only to be kept, and an empty 200 is all that is said to them.

    The gateway asks it about a POST of the account's prefix that arrived whole. Those that it takes, and could commit,
    are answered without the web framework; all others go to the route that `routes` has for them, from the beginning.
    """

    def at_once(self, headers: Mapping[str, str], body: bytes) -> RawMessage | None:
        """What is to be committed before the 200, as the route would make it; None: the route has to look at it.

        `headers` by lower-case name, printable ASCII. Called in the loop: for what takes no longer than a message does.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Unverified:
    """A request whose signature or secret did not fit; it is kept and never acted on (rule 5)."""

    method: str
    path: str
    """Raw path and query, as they stood in the request line."""
    headers: Mapping[str, str]
    """Those that the check needs, by lower-case name; no cookies."""
    body: bytes
    reason: str
    """A stable name: "no secret", "wrong signature" …"""


class Suspects(Protocol):
    """Where a webhook puts what it did not believe."""

    async def __call__(self, channel: str, account: str, request: Unverified, /) -> None:
        """Keep it, in a list that is bounded; operators hear of many. Raises `Unavailable`."""
        ...


@runtime_checkable
class Rechecks(Protocol):
    """Add-on of a webhook: looks again at what it did not believe, after somebody mended the configuration."""

    def recheck(self, request: Unverified) -> Sequence[RawMessage]:
        """What the request brings, now that it is believed. Raises `PermissionError` when it still is not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a look at something real came to, for an engineer's eyes; no secret is in it."""

    what: str
    good: str = ""
    trouble: str = ""
    """"" when it is as it should be."""
    ahead: float | None = None
    """Seconds that the far side's clock is ahead of ours; None: it told no time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a look at what accounts name may use."""

    clock: Clock
    options: Mapping[str, object] = field(default_factory=dict)
    """As in `Wiring`."""
    listening: Mapping[str, str] = field(default_factory=dict)
    """Name -> "host:port" of what a running gateway listens on; empty when none runs."""
    vault: Vault | None = None
    """None: tokens are left alone, because a running gateway renews them, or because they could not be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What the composition root gives to a channel when it builds its parts."""

    clock: Clock
    spool: Path
    """Folder for bodies as they arrive; the same file system as the blobs."""
    outgoing: Path
    """Folder of the file transport, `var/outgoing`."""
    upload_url: str
    """The page that takes what is too big for a wire; named in the refusal."""
    answer: Answer = plain_answer
    """How a webhook that people use answers them in their language."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Settings of the channel that are not an account's (mail: the `smtp` section)."""
    ledger: Ledger | None = None
    """For channels whose source keeps messages under numbers of its own."""
    vault: Vault | None = None
    answer_age: timedelta = timedelta(days=1)
    """A message older than this when it is taken in gets no automatic answer."""
    confirmed: bool = False
    """An operator has said yes to whatever asks before it answers many people at once."""
    suspects: Suspects | None = None
    """Where webhooks put requests that they do not believe; None: nowhere."""
    dialog: Dialog | None = None
    """For channels whose far side waits for what is said next; None: there is nobody to ask."""
    data: Path = Path("var")
    """The data folder; a channel keeps what is its own in the folder of its name there."""
    public_url: str = ""
    """`http.public_url`: what stands before "/channels/…" in the address that a far side was told, and signs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a channel is made of, by account where it is an account's."""

    senders: Mapping[str, Sender]
    listeners: Sequence[Listener] = ()
    webhooks: Mapping[str, Webhook] = field(default_factory=dict)
    fetchers: Mapping[str, Fetcher] = field(default_factory=dict)
    probers: Mapping[str, Prober] = field(default_factory=dict)
