"""The story of one mailbox on one connection: settle what was committed, take in what is new, wait.

Nothing here knows threads or back-off: whatever goes wrong with the connection is raised, and the
next connection goes on from the ledger.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from imapclient.exceptions import IMAPClientAbortError, IMAPClientError

from channels.contract import Cursor, Folder, Intake, Ledger, Mark, Unavailable
from channels.mail.identity import Identity
from channels.mail.imap_reader import Absent, Fetched, Reader, discard
from channels.mail.imap_session import Session, Size
from channels.mail.imap_settings import Imap

log = logging.getLogger(__name__)

T = TypeVar("T")
BROKEN_TWICE = 2
"""A message that the connection breaks at, so many times alone, is put aside as failed."""
TOGETHER = 200
"""Messages moved or flagged by one command: servers limit its length."""
ABSENT = "the server named it, and gave nothing"


class Wait(Protocol):
    """Runs a coroutine in the event loop and waits for it, from the mailbox's thread."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T:
        """The result of `work`; raises what it raises."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far the folder was read: the cursor's value."""

    uidvalidity: int
    last: int
    """Every UID up to it is in the ledger."""
    old_before: datetime | None
    """Mail of before the first start, which is left alone; None when all of it was wanted."""

    def text(self) -> str:
        """As it is stored."""
        return json.dumps([self.uidvalidity, self.last, self.old_before.isoformat() if self.old_before else None])

    @classmethod
    def read(cls, text: str) -> Position:
        """From what was stored. Raises ValueError."""
        uidvalidity, last, old_before = json.loads(text)
        moment = datetime.fromisoformat(old_before) if old_before else None
        return cls(uidvalidity=int(uidvalidity), last=int(last), old_before=moment)


@dataclass(slots=True, kw_only=True)
class Trials:
    """What broke connections lately; outlives them."""

    in_flight: tuple[int, ...] = ()
    alone: set[int] = field(default_factory=set)
    breaks: Counter[int] = field(default_factory=Counter)

    def broken(self) -> int | None:
        """The connection broke. Returns the UID to put aside, if one has broken it alone too often."""
        uids, self.in_flight = self.in_flight, ()
        if len(uids) != 1:
            self.alone.update(uids)
            return None
        self.breaks[uids[0]] += 1
        return uids[0] if self.breaks[uids[0]] >= BROKEN_TWICE else None


def cursor_name(folder: str) -> str:
    """Name of the cursor of a folder: at most 64 characters."""
    name = f"imap:{folder}"
    return name if len(name) <= 64 else f"imap:{hashlib.sha256(folder.encode()).hexdigest()[:59]}"


class Mailbox:
    """One folder on one connection."""

    def __init__(
        self,
        session: Session,
        settings: Imap,
        reader: Reader,
        *,
        intake: Intake,
        ledger: Ledger,
        wait: Wait,
        trials: Trials,
        stopping: Callable[[], bool],
    ) -> None:
        self._session, self._settings, self._reader = session, settings, reader
        self._intake, self._ledger, self._wait, self._trials = intake, ledger, wait, trials
        self._stopping = stopping
        self.folder = Folder(account=reader.account, name=settings.folder, uidvalidity=session.uidvalidity)
        self._position: Position | None = None
        self.unsettled = ""
        """Why messages could not be moved or flagged; "" when they could."""

    # -- where we are ---------------------------------------------------------------------

    def known(self) -> bool:
        """Read how far this folder was read. False at the first start."""
        name = cursor_name(self.folder.name)
        text = self._wait(self._ledger.cursor("mail", self.folder.account, name))
        self._position = Position.read(text) if text else None
        return self._position is not None

    def begin(self, old: Sequence[int], wanted: Sequence[int], old_before: datetime | None) -> None:
        """The first start, in one transaction: what is left alone, what is to be taken in, and where we are."""
        last = max(self._session.uidnext - 1, *old, *wanted, 0)
        self._position = Position(uidvalidity=self.folder.uidvalidity, last=last, old_before=old_before)
        marks: dict[int, Mark] = dict.fromkeys(old, "old")
        marks.update(dict.fromkeys(wanted, "listed"))
        self._wait(self._ledger.mark(self.folder, marks, self._cursor(last)))

    def renumbered(self) -> bool:
        """The server numbers the folder anew (RFC 9051 section 2.3.1.1)."""
        return self._at.uidvalidity != self.folder.uidvalidity

    def list_again(self) -> int:
        """List the whole folder under its new numbers: rule 1 tells what is known, and nobody is answered."""
        uids = self._session.all()
        sizes = self._session.sizes(uids)
        before = self._at.old_before
        marks: dict[int, Mark] = {
            uid: "old" if before is not None and size.received_at < before else "quiet" for uid, size in sizes.items()
        }
        last = max(self._session.uidnext - 1, *uids, 0)
        self._position = Position(uidvalidity=self.folder.uidvalidity, last=last, old_before=before)
        # A message that gave no size is not in the ledger: the next comparison finds it.
        self._wait(self._ledger.mark(self.folder, marks, self._cursor(last)))
        return len(uids)

    @property
    def _at(self) -> Position:
        assert self._position is not None
        return self._position

    def _cursor(self, last: int) -> Cursor:
        at = Position(uidvalidity=self.folder.uidvalidity, last=last, old_before=self._at.old_before)
        name = cursor_name(self.folder.name)
        return Cursor(channel="mail", account=self.folder.account, name=name, value=at.text())

    # -- the rounds -----------------------------------------------------------------------

    def take_new(self) -> int:
        """Take in what has a number above the cursor. Returns how many."""
        found = self._session.above(self._at.last)
        return self._take(self._wait(self._ledger.missing(self.folder, found)), frozenset(), newest=True)

    def take_due(self) -> int:
        """Take in what is listed, and what failed before. Returns how many."""
        due = self._wait(self._ledger.due(self.folder))
        if not due:
            return 0
        there = set(self._session.all())
        gone: dict[int, Mark] = {one.uid: "gone" for one in due if one.uid not in there}
        if gone:
            self._wait(self._ledger.mark(self.folder, gone))
        quiet = frozenset(one.uid for one in due if one.quiet)
        return self._take([one.uid for one in due if one.uid in there], quiet, newest=False)

    def reconcile(self) -> int:
        """Compare all numbers of the folder with the ledger; take in what it missed. Returns how many."""
        lost = [
            uid for uid in self._wait(self._ledger.missing(self.folder, self._session.all())) if uid <= self._at.last
        ]
        if not lost:
            return 0
        log.warning(
            "mail/%s: %d messages in %s were not in the ledger; they are taken in now",
            self.folder.account, len(lost), self.folder.name,
        )  # fmt: skip
        self._take(lost, frozenset(), newest=False)
        return len(lost)

    def settle(self) -> None:
        """The second step for everything that is committed: move or flag, and note it."""
        if self._settings.read_only:
            return
        uids = self._wait(self._ledger.unsettled(self.folder))
        for start in range(0, len(uids), TOGETHER):
            self._settle(uids[start : start + TOGETHER])

    def prepare(self) -> None:
        """Make the folder that messages are moved to."""
        if self._settings.target and not self._settings.read_only:
            try:
                self._session.make_folder(self._settings.target)
            except IMAPClientError as error:
                _raise_if_lost(error)
                self._not_settled(error)

    # -- one batch ------------------------------------------------------------------------

    def _take(self, uids: Sequence[int], quiet: frozenset[int], *, newest: bool) -> int:
        """Fetch, commit and settle, batch by batch. `newest`: the cursor follows."""
        sizes = self._session.sizes(uids)
        alone = [sizes[uid] for uid in uids if uid in sizes and uid in self._trials.alone]
        together = [sizes[uid] for uid in uids if uid in sizes and uid not in self._trials.alone]
        batches = [[one] for one in alone] + list(self._reader.batches(together))
        # Out of order the cursor stays where it is: it never passes what is not in the ledger.
        newest = newest and not alone
        for uid in uids:
            if uid not in sizes:
                self._wait(self._ledger.failed(self.folder, uid, ABSENT))
        taken = 0
        for batch in batches:
            if self._stopping():
                return taken
            taken += self._take_batch(batch, quiet, newest=newest)
        return taken

    def _take_batch(self, batch: Sequence[Size], quiet: frozenset[int], *, newest: bool) -> int:
        self._trials.in_flight = tuple(one.uid for one in batch)
        try:
            fetched = self._reader.fetch(self._session, self.folder, batch, quiet, self._twin)
        except Unavailable:
            self._trials.in_flight = ()  # the disk is ours, no message is to blame
            raise
        except (Absent, IMAPClientError) as error:
            _raise_if_lost(error)
            self._trials.in_flight = ()
            return self._each(batch, quiet, str(error))
        self._trials.in_flight = ()
        try:
            self._absent(batch, fetched)
            self._commit(fetched, newest=newest)
        except Unavailable:
            raise
        except Exception as error:
            if len(batch) > 1:
                return self._each(batch, quiet, type(error).__name__)
            log.exception("mail/%s: a message cannot be taken in", self.folder.account)
            self._wait(self._ledger.failed(self.folder, batch[0].uid, f"{type(error).__name__}: {error}"))
            return 0
        finally:
            discard(fetched)
        for one in batch:
            self._trials.alone.discard(one.uid)
            self._trials.breaks.pop(one.uid, None)
        if not self._settings.read_only:
            self._settle([one.place.uid for one in fetched if not one.place.stays])
        return len(fetched)

    def _each(self, batch: Sequence[Size], quiet: frozenset[int], reason: str) -> int:
        """A batch failed, the connection lives: each alone, so that one takes nobody along."""
        if len(batch) == 1:
            log.warning("mail/%s: a message cannot be fetched: %s", self.folder.account, reason)
            self._wait(self._ledger.failed(self.folder, batch[0].uid, reason))
            return 0
        return sum(self._take_batch([one], quiet, newest=False) for one in batch)

    def _absent(self, batch: Sequence[Size], fetched: Sequence[Fetched]) -> None:
        """What the server named and did not give is in the ledger before the cursor passes it."""
        for uid in {one.uid for one in batch} - {one.place.uid for one in fetched}:
            self._wait(self._ledger.failed(self.folder, uid, ABSENT))

    def _commit(self, fetched: Sequence[Fetched], *, newest: bool) -> None:
        if not fetched:
            return
        last = max(self._at.last, *(one.place.uid for one in fetched)) if newest else self._at.last
        places = tuple(one.place for one in fetched)
        at = self._cursor(last)
        cursor = Cursor(channel=at.channel, account=at.account, name=at.name, value=at.value, places=places)
        self._wait(_committed(self._intake, [one.raw for one in fetched], cursor))
        self._position = Position.read(at.value)

    def _settle(self, uids: Sequence[int]) -> None:
        if not uids:
            return
        try:
            if self._settings.target:
                self._session.move(uids, self._settings.target)
            else:
                self._session.flag(uids)
        except IMAPClientError as error:
            # They are committed. What the server refuses now is repeated at the next connect.
            _raise_if_lost(error)
            self._not_settled(error)
            return
        self.unsettled = ""
        self._wait(self._ledger.mark(self.folder, dict.fromkeys(uids, "settled")))

    def _not_settled(self, error: IMAPClientError) -> None:
        self.unsettled = f"messages are taken in but cannot be moved or flagged: {error}"
        log.warning("mail/%s: %s", self.folder.account, self.unsettled)

    def _twin(self, folder: Folder, who: Identity, size: Size) -> str | None:
        return self._wait(self._ledger.twin(folder, who.fingerprint, size.received_at))


async def _committed(intake: Intake, raws: Sequence[Any], cursor: Cursor) -> None:
    await intake(raws, cursor)


def _raise_if_lost(error: Exception) -> None:
    """Raises `error` when it says that the connection is of no more use."""
    if isinstance(error, IMAPClientAbortError):
        raise error
