"""Tells operators of trouble with the gateway itself: once when it begins, once when it is over.

Conditions are looked at again and again; what stands is kept in the store, so a restart repeats
nothing. A database that cannot be written to is told of in the log, and by mail when it is back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from sqlalchemy import Connection

from channels.contract import Clock, Unavailable
from gateway import canary, daily_caps, health, operators
from gateway.context import Context
from gateway.feeds import troubles as feed_troubles
from gateway.log import get_logger
from gateway.metrics import Metrics
from gateway.operators import Alarm
from gateway.store import alerts, outbox, queries, send_status, suspects
from gateway.store.alerts import Raised
from gateway.store.database import Database
from gateway.store.queries import Backlog
from gateway.waiting import wait_for_any

UNVERIFIED_MOST, UNVERIFIED_WITHIN = 3, timedelta(minutes=10)
"""So many requests of one account within this time that were not believed are trouble."""
MISFIT_WITHIN = timedelta(hours=1)
"""After the last message that did not arrive because of an account's setup its trouble is taken to be over."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the conditions look at."""

    ctx: Context
    backlog: Backlog
    stuck: frozenset[tuple[str, str]]
    """Accounts (channel, account) with notices that are overdue."""
    unverified: Mapping[tuple[str, str], int]
    """(channel, account) -> requests of the last minutes that a webhook did not believe."""
    canary: canary.State | None
    misfits: Mapping[tuple[str, str], str]
    """(channel, account) -> what of its setup keeps messages from arriving."""
    over: Mapping[str, str]
    """Daily limits that something ran into, with the words for it."""
    feeds: Mapping[str, str]
    """What operators should know of ticket stores: name -> words."""
    checks: Mapping[str, str]
    """Checks of the gateway's health that are in trouble, with the reason."""
    started_at: datetime
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing that operators should know."""

    name: str
    detail: str
    accounts: frozenset[tuple[str, str]] = frozenset()
    """Accounts in trouble themselves: the alert goes out by another one, when there is one."""


Condition: TypeAlias = Callable[[View], Sequence[Trouble]]
_OWN = re.compile(r"(?:\S+ )+([a-z]+)/(\S+)(?: .*)?")
"""Causes of an account's parts name it: "mailbox mail/support", "token mail/support relay"."""


def _quarantine(view: View) -> Sequence[Trouble]:
    count = view.backlog.journal_quarantined
    detail = f"{count} messages could not be read and wait in quarantine; see `gateway quarantine`"
    return [Trouble(name="quarantine", detail=detail)] if count else []


def _journal(view: View) -> Sequence[Trouble]:
    oldest = view.backlog.journal_oldest
    if oldest is None or view.now - oldest < view.ctx.settings.alerts.journal_age:
        return []
    detail = f"{view.backlog.journal_pending} messages are not filed, the oldest for {_minutes(view.now - oldest)}"
    return [Trouble(name="journal", detail=detail)]


def _overdue(view: View) -> Sequence[Trouble]:
    if not view.stuck:
        return []
    names = ", ".join(sorted(f"{channel}/{account}" for channel, account in view.stuck))
    limit = _minutes(view.ctx.settings.alerts.outbox_age)
    detail = f"notices wait for more than {limit} to go out by {names}; {view.backlog.outbox_due} are due in all"
    return [Trouble(name="outbox", detail=detail, accounts=view.stuck)]


def _dead(view: View) -> Sequence[Trouble]:
    count = view.backlog.outbox_dead
    detail = f"{count} notices were given up; see `gateway outbox`"
    return [Trouble(name="dead letters", detail=detail)] if count else []


def _silent(view: View) -> Sequence[Trouble]:
    limit = view.ctx.settings.alerts.silence
    if not limit or view.now - view.started_at < limit:
        return []
    heard = view.backlog.last_accepted
    return [
        Trouble(
            name=f"silent {channel}/{account}",
            detail=f"{channel}/{account} took nothing in for {_minutes(limit)}",
            accounts=frozenset({(channel, account)}),
        )
        for channel, accounts in view.ctx.settings.channels.items()
        for account in accounts
        if view.now - heard.get(f"{channel}/{account}", view.started_at) >= limit
    ]


def _unverified(view: View) -> Sequence[Trouble]:
    return [
        Trouble(
            name=f"unverified {channel}/{account}",
            detail=f"{channel}/{account} was sent {count} requests within {_minutes(UNVERIFIED_WITHIN)} whose secret or"
            " signature does not fit: somebody guesses, or the configuration is wrong; they are kept, see"
            " `gateway replay --unverified`",
            accounts=frozenset({(channel, account)}),
        )
        for (channel, account), count in view.unverified.items()
        if count >= UNVERIFIED_MOST
    ]


def _canary(view: View) -> Sequence[Trouble]:
    wanted, under_way = view.ctx.settings.canary, view.canary
    if wanted is None or under_way is None or under_way.account != wanted.account:
        return []
    sent = under_way.oldest()
    # What came while we were down is still on its way in.
    if sent is None or view.now - max(sent, view.started_at) < wanted.within:
        return []
    detail = (
        f"the mail that the gateway sent to itself at {sent:%Y-%m-%d %H:%M} UTC by mail/{wanted.account} is not back"
    )
    said = f"; the relay said: {under_way.why}" if under_way.why else ""
    here = frozenset({("mail", wanted.account)})
    return [Trouble(name=f"canary mail/{wanted.account}", detail=f"{detail}{said}", accounts=here)]


def _setup(view: View) -> Sequence[Trouble]:
    return [
        Trouble(
            name=f"setup {channel}/{account}",
            detail=f"the far side does not deliver what {channel}/{account} sends, because of how it is set up: {why}",
            accounts=frozenset({(channel, account)}),
        )
        for (channel, account), why in view.misfits.items()
    ]


def _limits(view: View) -> Sequence[Trouble]:
    # What did not go out is told by mail, which costs nothing: no account is in trouble itself.
    return [Trouble(name=name, detail=detail) for name, detail in view.over.items()]


def _feeds(view: View) -> Sequence[Trouble]:
    return [Trouble(name=name, detail=detail) for name, detail in view.feeds.items()]


def _health(view: View) -> Sequence[Trouble]:
    return [Trouble(name=name, detail=detail, accounts=_named(name)) for name, detail in view.checks.items()]


def _named(cause: str) -> frozenset[tuple[str, str]]:
    """The account that a cause is about."""
    found = _OWN.fullmatch(cause)
    return frozenset({(found[1], found[2])}) if found else frozenset()


CONDITIONS: tuple[Condition, ...] = (
    _quarantine, _journal, _overdue, _dead, _silent, _unverified, _setup, _limits, _canary, _feeds, _health,
)  # fmt: skip


def _minutes(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


class Alerts:
    """Looks at the conditions every `alerts.interval`."""

    def __init__(
        self,
        db: Database,
        ctx: Context,
        clock: Clock,
        *,
        checks: Sequence[health.Check] = (),
        metrics: Metrics,
        after: Callable[[], None],
        elsewhere: Callable[[Connection], Mapping[str, str]] = lambda _: {},
        watched: Callable[[], Awaitable[Mapping[str, str]]] | None = None,
    ) -> None:
        """`checks` are of the gateway's health, `watched` tells what is wrong with the channels' parts (cause -> why),
        `elsewhere` gives what other nodes say of theirs (name -> reason).

        `after` is called when notices were put into the outbox.
        """
        self._elsewhere = elsewhere
        self.ctx = ctx
        self._watched = watched
        self._db, self._clock, self._checks, self._metrics, self._after = db, clock, checks, metrics, after
        self._started_at = clock()
        self._unwritable: Raised | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Look until `stop` is set."""
        while not stop.is_set():
            await self.look()
            await wait_for_any(stop, seconds=self.ctx.settings.alerts.interval.total_seconds())

    async def look(self) -> None:
        """Look once: raise what began, repeat what lasts, clear what is over."""
        now = self._clock()
        checks = await asyncio.to_thread(health.look, self._checks)
        try:
            if self._watched is not None:
                checks |= await self._watched()
            changed = await self._write_down(checks, now)
        except Unavailable as error:
            if self._unwritable is None:
                detail = str(error) or "the database takes nothing"
                self._unwritable = Raised(name="database", raised_at=now, told_at=now, detail=detail)
                self._metrics.alert("database")
                log.error("alert raised", alert="database", detail=detail)
            return
        for name, state, detail in changed:
            if state in ("raised", "repeated"):
                self._metrics.alert(name.partition(" ")[0])
            log.warning(f"alert {state}", alert=name, detail=detail)
        if changed:
            self._after()

    async def _write_down(self, checks: Mapping[str, str], now: datetime) -> list[tuple[str, str, str]]:
        view = await self._db.read(lambda conn: self._view(conn, checks, now))
        found = {trouble.name: trouble for condition in CONDITIONS for trouble in condition(view)}
        before = self._unwritable
        if not before and not found and not await self._db.read(alerts.standing):
            return []  # the usual case costs no commit
        changed = await self._db.write(lambda conn: _compare(conn, self.ctx, found, before, now))
        self._unwritable = None
        return changed

    def _view(self, conn: Connection, checks: Mapping[str, str], now: datetime) -> View:
        since = now - self.ctx.settings.alerts.outbox_age
        return View(
            ctx=self.ctx,
            backlog=queries.backlog(conn, now),
            stuck=frozenset(outbox.overdue_accounts(conn, since)),
            unverified=suspects.counts_since(conn, now - UNVERIFIED_WITHIN),
            canary=canary.state(conn),
            misfits=send_status.alarms_since(conn, now - MISFIT_WITHIN),
            over=daily_caps.exceeded(conn, self.ctx, now),
            feeds=feed_troubles.found(conn, self.ctx, now),
            checks={**checks, **self._elsewhere(conn)},
            started_at=self._started_at,
            now=now,
        )


def _compare(
    conn: Connection, ctx: Context, found: Mapping[str, Trouble], unwritable: Raised | None, now: datetime
) -> list[tuple[str, str, str]]:
    """Bring the table up to what was found and put the notices. Returns (name, state, detail) of each change."""
    changed: list[tuple[str, str, str]] = []

    troubled = frozenset(account for trouble in found.values() for account in trouble.accounts)

    def tell(trouble: Trouble, state: str, since: datetime) -> None:
        alarm = Alarm(name=trouble.name, detail=trouble.detail, state=state, since=since)
        # What a cause names was in trouble a moment ago, although it is over.
        operators.tell(conn, ctx, alarm, troubled | trouble.accounts, now)
        changed.append((trouble.name, state, trouble.detail))

    known = alerts.standing(conn)
    if unwritable and unwritable.name not in known:
        over = replace(_over(unwritable), detail=f"nothing could be written for a while: {unwritable.detail}")
        tell(over, "cleared", unwritable.raised_at)
    for name, trouble in found.items():
        old = known.get(name)
        if old is None:
            alerts.raise_(conn, name, trouble.detail, now)
            tell(trouble, "raised", now)
        elif (repeat := ctx.settings.alerts.repeat) and now - old.told_at >= repeat:
            alerts.told_again(conn, name, trouble.detail, now)
            tell(trouble, "repeated", old.raised_at)
        else:
            alarm = Alarm(name=name, detail=trouble.detail, state="raised", since=old.raised_at, told_at=old.told_at)
            if operators.tell_again(conn, ctx, alarm, troubled, now):
                changed.append((name, "told by another way", trouble.detail))
    for name, old in known.items():
        if name not in found and not operators.flaps(conn, name, now):
            alerts.clear(conn, name)
            tell(_over(old), "cleared", old.raised_at)
    return changed


def _over(old: Raised) -> Trouble:
    # The all-clear takes the way of the alarm.
    return Trouble(name=old.name, detail=old.detail, accounts=_named(old.name))
