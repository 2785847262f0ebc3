"""What the provider lists and we never saw is taken in: Twilio does not bring again what was not answered.

At each start and then every quarter of an hour. How far a number's list has been read stands in a cursor, committed
with what it passes (rule 3); each reading begins an hour before it, because lists lag. A message is known by its SID,
whatever way it came. What is younger than two minutes may still be on its way to the webhook, and is left for the next
time. Messages are read here; calls in `channels.voice.missed`, in the same way.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from channels.contract import Clock, Cursor, Intake, Ledger
from channels.rounds import Pace, Rounds, Setback
from channels.twilio.listed import File, Listed, listed, raw_listed
from channels.twilio.lists import Lists, NotListed
from channels.twilio.patience import Patience
from channels.twilio.settings import TwilioAccount, TwilioNumbers
from normalizer.message import RawMessage

log = logging.getLogger(__name__)

OVERLAP = timedelta(hours=1)
SETTLED = timedelta(minutes=2)
"""Twilio tries a webhook for less time, its repeats and the other address included."""
WINDOW = timedelta(days=1)
"""Read at a time; after a long outage each day is committed by itself."""
PAGES = 1_000
"""Of one window."""
UNSEEN = 2_000
"""Items that are held at a time; what is committed is passed over when the list is read again."""
TOGETHER = 50
"""Committed at a time."""
PACE = Pace(first=2.0, longest=300.0, hopeless=300.0)
DENIED = frozenset({401, 403})
"""No waiting mends these."""


async def _judge(error: Exception) -> Setback | None:
    if not isinstance(error, NotListed):
        return None
    denied = error.status in DENIED
    return Setback(why=str(error), urgent=denied, hopeless=denied, retry_after=error.retry_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How far the list of a number is read."""

    begun: datetime
    """Nothing before this is ever taken in."""
    until: datetime

    @classmethod
    def of(cls, value: str | None) -> Reached | None:
        """From a cursor's value; None where there is none, or none that can be read."""
        try:
            said = json.loads(value or "null")
            begun, until = (datetime.fromisoformat(said[name]).astimezone(UTC) for name in ("begun", "until"))
        except (ValueError, TypeError, KeyError):
            return None
        return cls(begun=begun, until=until)

    def value(self) -> str:
        """For a cursor."""
        return json.dumps({"begun": self.begun.isoformat(), "until": self.until.isoformat()})


class Item(Protocol):
    """Something that somebody sent to a number of ours, as far as reading a list goes."""

    @property
    def sid(self) -> str:
        """The provider's name of it."""
        ...

    @property
    def sent_at(self) -> datetime | None:
        """By which it stands in the list; None: the list does not say."""
        ...

    @property
    def whole(self) -> bool:
        """The provider has all of it."""
        ...


T = TypeVar("T", bound=Item)


@dataclass(slots=True)
class _Found(Generic[T]):
    """What a window had."""

    unseen: list[T] = field(default_factory=list)
    whole: bool = False
    """All of it was read."""


class ListReader(ABC, Generic[T]):
    """The lists of one account's numbers; `channels.contract.Listener`, `Watched`, `Exclusive`,
    `Reaches` and `Replaced`. May be started again."""

    KEY: ClassVar[str]
    """What the items of a page stand under."""
    MISSED: ClassVar[str]
    """What operators hear of what was missed: {at} and {count}."""
    OVERLAP: ClassVar[timedelta] = OVERLAP
    """Each reading begins so long before the place where the last one ended."""

    def __init__(
        self,
        channel: str,
        account_name: str,
        account: TwilioNumbers,
        tokens: Sequence[str],
        *,
        every: timedelta,
        back: timedelta,
        clock: Clock,
        ledger: Ledger,
        chance: Callable[[], float],
        pace: Pace | None = None,
    ) -> None:
        """`every`: the pause between comparisons. `back`: how long before its first start a list is read. `chance`
        gives numbers in [0, 1): it spreads the pauses."""
        self._channel, self._name, self._account, self._tokens = channel, account_name, account, tuple(tokens)
        self._every, self._back = every, back
        self._clock, self._ledger, self._chance = clock, ledger, chance
        self._lists = Lists(account, tokens)
        name = f"{channel}/{account_name} list"
        self._rounds = Rounds(name, clock=clock, chance=chance, pace=pace or PACE, judge=_judge)
        self._patience = Patience(clock, self._lists.host, self._rounds.or_stop)
        self._missed = ""
        self.compared = 0
        """Comparisons that were finished."""

    # -- what is listed -----------------------------------------------------------------------

    @abstractmethod
    def _numbers(self) -> Sequence[str]:
        """Those that have a list, as the provider names them."""

    @abstractmethod
    def _cursor_name(self, number: str) -> str:
        """Where it is kept how far the list of this number is read."""

    @abstractmethod
    def _first_page(self, number: str, first: date, last: date) -> str:
        """Path of the list of these days."""

    @abstractmethod
    def _read(self, item: Mapping[str, Any]) -> T | None:
        """What an item of the list says; None for what is none of ours to take in, yet or ever."""

    @abstractmethod
    async def _known(self, sids: Sequence[str]) -> frozenset[str]:
        """Those that came by themselves. Raises Unavailable."""

    @abstractmethod
    async def _raws(self, one: T, now: datetime) -> Sequence[RawMessage]:
        """What is taken in of it; nothing: it is looked at again at the next comparison. Raises NotListed."""

    # -- Listener, Watched, Exclusive, Reaches, Replaced ---------------------------------------------

    @property
    def reaches(self) -> bool:
        """Always: what is listed is the real desk's to take in."""
        return True

    @property
    def lease(self) -> str:
        """Two nodes would ask for the same lists."""
        return f"{self._channel}/{self._name} list"

    @property
    def name(self) -> str:
        """For operators."""
        return f"list {self._channel}/{self._name}"

    def serves(self, successor: ListReader[Any]) -> bool:
        """The account says the same."""
        return (self._account, self._tokens) == (successor._account, successor._tokens)

    async def troubles(self) -> Mapping[str, str]:
        """The list cannot be read; or the last comparison found something."""
        here = f"{self._channel}/{self._name}"
        # One cause with what keeps messages from going out: a wrong token is told of once.
        found = {f"twilio {here}": self._rounds.trouble(), f"reconciliation {here}": self._missed}
        return {cause: why for cause, why in found.items() if why}

    def listening(self) -> dict[str, str]:
        """Nothing listens here."""
        return {}

    async def start(self, intake: Intake) -> None:
        """Begin to compare. A far side that is not there is no error: it is tried again."""

        async def once() -> float:
            await self._round(intake)
            return self._every.total_seconds() * (0.8 + 0.4 * self._chance())

        self._rounds.start(once)

    async def stop(self) -> None:
        """No more comparisons; a commit under way is finished."""
        await self._rounds.stop()
        await self._lists.close()
        self._missed = ""

    # -- a round ----------------------------------------------------------------------------

    async def _round(self, intake: Intake) -> None:
        now, missed = self._clock(), 0
        for number in self._numbers():
            missed += await self._number(number, now, intake)
        # It stands until a comparison finds nothing, as long as webhooks do not reach us.
        self._missed = self.MISSED.format(at=f"{now:%Y-%m-%d %H:%M} UTC", count=missed) if missed else ""
        self.compared += 1

    async def _number(self, number: str, now: datetime, intake: Intake) -> int:
        """Compare one number's list. Returns how many messages it missed, of those since its first start."""
        reached, missed = Reached.of(await self._ledger.cursor(self._channel, self._name, self._cursor_name(number))), 0
        first, start = reached is None, now - self._back
        if reached is None:
            # Committed before anything is asked: a far side that is down must not move the beginning.
            reached = Reached(begun=start, until=start)
            await intake([], self._cursor(number, reached))
        elif reached.until > now:
            # A clock that was ahead must not end this until its time has come.
            reached = Reached(begun=min(reached.begun, start), until=start)
        while (until := min(reached.until + WINDOW, now - SETTLED)) > reached.until:
            since = max(reached.begun, reached.until - self.OVERLAP)
            found = await self._listed(number, since, until)
            passed = Reached(begun=reached.begun, until=until)
            taken = await self._take(found, self._cursor(number, passed), now, intake)
            missed += taken
            if not (found.whole or taken):
                break  # all that there is room for waits for what belongs to it
            # Of a window that had too much at once the rest is read now; what is committed is known.
            reached = passed if found.whole else reached
        if missed:
            log.warning(
                "%s/%s: %d %s that no webhook had brought are taken in%s",
                self._channel, self._name, missed, self.KEY, " at the first start" if first else "",
            )  # fmt: skip
        return 0 if first else missed

    def _cursor(self, number: str, reached: Reached) -> Cursor:
        return Cursor(channel=self._channel, account=self._name, name=self._cursor_name(number), value=reached.value())

    async def _listed(self, number: str, since: datetime, until: datetime) -> _Found[T]:
        """What was sent to a number within this time and is not known, the oldest first. Raises NotListed."""
        found, path, pages = _Found[T](), self._first_page(number, since.date(), (until + WINDOW).date()), set[str]()
        newer = None
        while path and len(found.unseen) < UNSEEN:
            if path in pages or len(pages) >= PAGES:
                raise NotListed(f"{self._lists.host} has no end of pages")
            pages.add(path)
            page = await self._rounds.or_stop(self._lists.page(path, self.KEY))
            items = [one for item in page.items if (one := self._read(item)) is not None]
            mine = [one for one in items if one.sent_at is None or since <= one.sent_at < until]
            late = until - self.OVERLAP / 2
            # What is still coming in gets time, but not for ever.
            mine = [one for one in mine if one.whole or (one.sent_at is not None and one.sent_at < late)]
            known = await self._known([one.sid for one in mine])
            found.unseen += [one for one in mine if one.sid not in known]
            times = [one.sent_at for one in items if one.sent_at is not None]
            ordered = times == sorted(times, reverse=True) and (newer is None or not times or times[0] <= newer)
            # The newest come first: behind a page that is older than we want there is nothing for us.
            path = "" if times and ordered and times[-1] < since else page.next
            newer = min(times) if times else newer
        found.whole = not path
        found.unseen = sorted(reversed(found.unseen), key=lambda one: one.sent_at or until)
        return found

    async def _take(self, found: _Found[T], cursor: Cursor, now: datetime, intake: Intake) -> int:
        """Commit what was found, and with the last of it the cursor. Returns how much of it was new. Raises NotListed
        when what belongs to something cannot be listed."""
        new, failure = 0, None
        self._patience.rest()
        batches = [found.unseen[at : at + TOGETHER] for at in range(0, len(found.unseen), TOGETHER)] or [[]]
        for number, batch in enumerate(batches, 1):
            raws, firsts = list[RawMessage](), list[int]()
            for one in batch:
                try:
                    brought = await self._raws(one, now)
                except NotListed as error:
                    if error.status == 401:
                        raise
                    failure = failure or error
                    continue
                firsts += [len(raws)] if brought else []
                raws += brought
            last = found.whole and failure is None and number == len(batches)
            accepted = await intake(raws, cursor if last else None) if raws or last else ()
            new += sum(not accepted[first].duplicate for first in firsts)
        if failure is not None:
            raise failure
        return new


class Reconciler(ListReader[Listed]):
    """Messages of one account."""

    KEY = "messages"
    MISSED = "at {at} the provider listed {count} messages that no webhook had brought; they are taken in now"

    def __init__(
        self,
        channel: str,
        account_name: str,
        account: TwilioAccount,
        tokens: Sequence[str],
        *,
        clock: Clock,
        ledger: Ledger,
        chance: Callable[[], float],
        pace: Pace | None = None,
    ) -> None:
        """`chance` gives numbers in [0, 1): it spreads the pauses."""
        super().__init__(
            channel, account_name, account, tokens, every=account.reconcile, back=account.reconcile_back,
            clock=clock, ledger=ledger, chance=chance, pace=pace,
        )  # fmt: skip

    def _numbers(self) -> Sequence[str]:
        return self._account.endpoints()

    def _cursor_name(self, number: str) -> str:
        return f"messages {number.removeprefix('whatsapp:')}"

    def _first_page(self, number: str, first: date, last: date) -> str:
        return self._lists.messages(number, first, last)

    def _read(self, item: Mapping[str, Any]) -> Listed | None:
        return listed(item)

    async def _known(self, sids: Sequence[str]) -> frozenset[str]:
        return await self._ledger.known(self._channel, sids)

    async def _raws(self, one: Listed, now: datetime) -> Sequence[RawMessage]:
        raw = raw_listed(
            one, await self._files(one), channel=self._channel, account=self._name,
            account_sid=self._account.account_sid, now=now,
        )  # fmt: skip
        return (raw,)

    async def _files(self, one: Listed) -> Sequence[File]:
        """A message's files; none when they cannot be had after several tries. Raises NotListed."""

        async def asked() -> Sequence[File]:
            page = await self._lists.page(self._lists.media(one.sid), "media_list")
            return [
                File(self._lists.url(uri.removesuffix(".json")), kind if isinstance(kind, str) else "")
                for uri, kind in ((item.get("uri"), item.get("content_type")) for item in page.items)
                if isinstance(uri, str)
            ]

        return await self._patience.wait(one.sid, asked) if one.media else ()
