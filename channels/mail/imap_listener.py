"""One thread for each mailbox: connects, lets `Mailbox` tell its story, and begins again when it breaks."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from imapclient.exceptions import LoginError

from channels.contract import Clock, Folder, Intake, Ledger, Unavailable
from channels.mail.imap_login import Login, LoginRefused
from channels.mail.imap_mailbox import Mailbox, Trials
from channels.mail.imap_reader import Reader
from channels.mail.imap_session import Session
from channels.mail.imap_settings import Imap
from channels.mail.imap_watchdog import Watchdog
from channels.mail.settings import MailAccount

log = logging.getLogger(__name__)

T = TypeVar("T")
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 300.0
LOGIN_PAUSE = 60.0
"""Seconds after a refused login, at least: some servers lock an account that tries too often."""
IDLE_SECONDS = 540.0
"""The longest IDLE (RFC 2177 allows 29 minutes, NAT gateways less)."""
QUIET_TROUBLE = timedelta(minutes=5)
"""A connection that has been broken for less is no news for operators."""
ANSWERS = 50
"""More automatic answers than this at the first start wait for a yes."""
STOP_SECONDS = 30.0


def back_off(first: timedelta, failures: int, chance: float) -> float:
    """Seconds to wait after so many failures in a row (1 or more): doubles from `first` up to `LONGEST_PAUSE`.

    `chance` in [0, 1) spreads it over half to one and a half of itself, so that many mailboxes that one server
    has thrown out do not come back all at once.
    """
    whole = min(first.total_seconds() * 2.0 ** min(failures - 1, 20), LONGEST_PAUSE)
    return max(whole * (0.5 + chance), SHORTEST_PAUSE)


class Unconfirmed(Exception):
    """The first start would answer many people: an operator must say yes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """What is there at the first start."""

    old: Sequence[int]
    wanted: Sequence[int]
    answered: int
    old_before: datetime | None


class ImapListener:
    """One mailbox; `channels.contract.Listener`, `Watched`, `Exclusive`,
    `Reaches` and `Replaced`."""

    def __init__(
        self,
        name: str,
        account: MailAccount,
        settings: Imap,
        login: Login,
        *,
        clock: Clock,
        ledger: Ledger,
        spool: Path,
        unique: Callable[[], str],
        chance: Callable[[], float],
        answer_age: timedelta,
        confirmed: bool = False,
    ) -> None:
        """`chance` gives numbers in [0, 1): it spreads the pauses of many mailboxes."""
        self._account_name, self._account, self._settings, self._login = name, account, settings, login
        self._clock, self._ledger, self._chance = clock, ledger, chance
        self._answer_age = answer_age
        self._confirmed = confirmed or settings.confirmed
        self._reader = Reader(
            account=name,
            settings=account,
            limit=settings.message_size,
            stays=settings.read_only,
            tls=settings.tls != "none",
            spool=spool,
            unique=unique,
        )
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._trials = Trials()
        self._folder: Folder | None = None
        self._failures = 0
        self._broken_since: datetime | None = None
        self._why = ""
        self._urgent = False
        self._unsettled = ""
        self._missed = ""
        self._reconciled_at: datetime | None = None
        self.connections = 0
        """How often a connection was made and the folder opened."""

    # -- Listener, Watched, Exclusive, Reaches, Replaced -------------------------------------------

    @property
    def name(self) -> str:
        """For operators."""
        return f"mailbox mail/{self._account_name}"

    @property
    def reaches(self) -> bool:
        """Always: what it has read is moved or flagged there."""
        return True

    @property
    def lease(self) -> str:
        """One node at a time reads a mailbox: servers limit connections, and every mail would be fetched twice."""
        return f"mail/{self._account_name} imap"

    def serves(self, successor: ImapListener) -> bool:
        """The account says the same, and nobody has to say yes any more."""
        return (self._account, self._settings, self._answer_age) == (
            successor._account,
            successor._settings,
            successor._answer_age,
        )

    async def troubles(self) -> Mapping[str, str]:
        """The mailbox, moving or flagging in it, what a comparison found missing, and a login that ends soon."""
        account, since = f"mail/{self._account_name}", self._broken_since
        broken = since is not None and (self._urgent or self._clock() - since >= QUIET_TROUBLE)
        found = {
            self.name: f"{self._why} (since {since:%Y-%m-%d %H:%M} UTC)" if since is not None and broken else "",
            f"moving {account}": self._unsettled,
            f"reconciliation {account}": self._missed,
            f"token {account} imap": self._login.trouble(self._clock()),
        }
        return {cause: why for cause, why in found.items() if why}

    async def start(self, intake: Intake) -> None:
        """Start the thread. A server that is not there is no error: it is tried again."""
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)  # it was told to stop; two would read at once
        self._stopping.clear()
        # At debug the library shows what goes over the wire.
        logging.getLogger("imapclient").setLevel(logging.WARNING)
        loop = asyncio.get_running_loop()
        self._watchdog = Watchdog(loop)
        self._thread = threading.Thread(
            target=self._run, args=(loop, intake), name=f"imap-{self._account_name}", daemon=True
        )
        self._thread.start()

    def listening(self) -> dict[str, str]:
        """Nothing listens here."""
        return {}

    async def stop(self) -> None:
        """Cut the connection; a commit under way is finished, and what follows it is done at the next start."""
        if self._thread is None:
            return
        self._stopping.set()
        self._watchdog.shut()
        await asyncio.to_thread(self._thread.join, STOP_SECONDS)
        # Whoever reads it from now on knows how it is.
        self._failures, self._broken_since, self._why, self._urgent, self._unsettled = 0, None, "", False, ""

    # -- the thread -----------------------------------------------------------------------

    def _run(self, loop: asyncio.AbstractEventLoop, intake: Intake) -> None:
        def wait(work: Coroutine[Any, Any, T], /) -> T:
            return asyncio.run_coroutine_threadsafe(work, loop).result()

        while not self._stopping.is_set():
            pause: float | None = 0.0
            try:
                self._connection(intake, wait)
            except Unconfirmed as error:
                self._failed(str(error), urgent=True)
                pause = None
            except (LoginError, LoginRefused) as error:
                self._login.refused()
                self._failed(f"the server refuses the login: {error}", urgent=True)
                pause = max(LOGIN_PAUSE, self._next_pause())
            except Exception as error:  # noqa: BLE001 - whatever it is, the mailbox is tried again
                pause = self._broken(error, wait)
            self._stopping.wait(pause)

    def _broken(self, error: Exception, wait: Callable[..., Any]) -> float:
        if self._stopping.is_set():
            return 0.0
        self._failed(f"{type(error).__name__}: {error}", urgent=False)
        if (uid := self._trials.broken()) is not None and self._folder is not None:
            try:
                wait(self._ledger.failed(self._folder, uid, f"the connection breaks at it: {type(error).__name__}"))
            except Unavailable as unavailable:
                log.warning("mail/%s: cannot note a failure: %s", self._account_name, unavailable)
        return self._next_pause()

    def _failed(self, why: str, *, urgent: bool) -> None:
        self._failures += 1
        self._broken_since = self._broken_since or self._clock()
        self._why, self._urgent = why, urgent
        log.warning("mail/%s: %s", self._account_name, why)

    def _next_pause(self) -> float:
        return back_off(self._settings.retry, self._failures, self._chance())

    def _good(self) -> None:
        if self._broken_since is not None:
            log.info("mail/%s: the mailbox is read again", self._account_name)
        self._failures, self._broken_since, self._why, self._urgent = 0, None, "", False

    def _connection(self, intake: Intake, wait: Any) -> None:
        """One connection, until it breaks, another one has to compare, or we stop."""
        password, token = self._login.credentials(wait)
        with Session.open(self._settings, self._watchdog, password=password, token=token) as session:
            session.select(self._settings.folder, read_only=self._settings.read_only)
            mailbox = Mailbox(
                session,
                self._settings,
                self._reader,
                intake=intake,
                ledger=self._ledger,
                wait=wait,
                trials=self._trials,
                stopping=self._stopping.is_set,
            )
            self._folder = mailbox.folder
            self.connections += 1
            self._where(session, mailbox)
            mailbox.prepare()
            mailbox.settle()
            # A server may go on showing an open connection what the folder was: only another one sees what it is.
            compares = self._comparison_is_due()
            while not self._stopping.is_set() and (compares or not self._comparison_is_due()):
                session.heard()  # what came before this look is seen by it
                mailbox.take_new()
                mailbox.take_due()
                if compares:
                    self._compare(mailbox)
                    compares = False
                self._unsettled = mailbox.unsettled
                self._good()
                if not self._stopping.is_set() and not session.heard():
                    self._pause_for_news(session)

    def _where(self, session: Session, mailbox: Mailbox) -> None:
        """Find our place: the first start, the old numbers, or new ones."""
        if not mailbox.known():
            there = self._existing(session)
            log.info(
                "mail/%s: first start: %d messages will be filed, %d of them answered; %d are left alone",
                self._account_name, len(there.wanted), there.answered, len(there.old),
            )  # fmt: skip
            if there.answered > ANSWERS and not self._confirmed:
                raise Unconfirmed(
                    f"the first start would file {len(there.wanted)} messages and answer {there.answered} people; "
                    "start with `gateway serve --yes`, or set imap.confirmed or imap.existing"
                )
            mailbox.begin(there.old, there.wanted, there.old_before)
            self._reconciled_at = self._clock()
        elif mailbox.renumbered():
            count = mailbox.list_again()
            log.warning("mail/%s: the server numbers the folder anew; %d messages listed", self._account_name, count)

    def _existing(self, session: Session) -> Existing:
        now, uids = self._clock(), session.all()
        since = self._settings.since
        if self._settings.existing == "new":
            return Existing(old=uids, wanted=[], answered=0, old_before=now)
        sizes = session.sizes(uids)
        wanted = [uid for uid in uids if since is None or uid not in sizes or sizes[uid].received_at >= since]
        young = [uid for uid in wanted if uid in sizes and now - sizes[uid].received_at <= self._answer_age]
        answered = len(young) if self._account.outbound == "on" else 0
        return Existing(old=sorted(set(uids) - set(wanted)), wanted=wanted, answered=answered, old_before=since)

    def _comparison_is_due(self) -> bool:
        """At the start, and then every hour (`reconcile`)."""
        last = self._reconciled_at
        return last is None or self._clock() - last >= self._settings.reconcile

    def _compare(self, mailbox: Mailbox) -> None:
        now = self._clock()
        missing = mailbox.reconcile()
        # It stands until a comparison finds nothing: whoever delivers below the cursor does it again.
        self._missed = (
            f"at {now:%Y-%m-%d %H:%M} UTC {missing} messages lay in {self._settings.folder} that had not been "
            "taken in; they are now"
            if missing
            else ""
        )
        mailbox.settle()
        self._reconciled_at = now

    def _pause_for_news(self, session: Session) -> None:
        poll = self._settings.poll.total_seconds()
        if self._settings.idle and session.can_idle():
            session.idle(min(poll, IDLE_SECONDS))
        else:
            self._stopping.wait(poll)
