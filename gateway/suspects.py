"""What webhooks did not believe is kept, and looked at again when somebody mended the configuration (rule 5).

A wrong `public_url` or secret refuses every message of an account; none of them is lost by that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeAlias

from sqlalchemy import Row

from channels.contract import Clock, Intake, Rechecks, Unverified, Webhook
from gateway.log import get_logger
from gateway.metrics import Metrics
from gateway.store import suspects
from gateway.store.database import Database
from normalizer.message import RawMessage

FEED = "feed"
"""The channel of what ticket stores send; the account is the feed's name."""
PER_MINUTE = 600
AT_ONCE = 20
"""Requests that are read at a time when they are looked at again."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What a request that is believed brought."""

    count: int
    """New messages, or changes of a ticket store."""
    older: int = 0
    """Of these: changes that came too late, because something newer of the same field is known."""


News: TypeAlias = Callable[[str, Unverified, datetime], Awaitable[Brought | str]]
"""(feed, request, when it came) -> what it brought, or why it is not believed. Raises Unavailable."""


class StoreSuspects:
    """A `channels.contract.Suspects`."""

    def __init__(self, db: Database, clock: Clock, metrics: Metrics, *, per_minute: int = PER_MINUTE) -> None:
        """`per_minute` requests of an account are kept at most; those above it are only counted."""
        self._db, self._clock, self._metrics, self._per_minute = db, clock, metrics, per_minute
        self._minutes: dict[tuple[str, str], tuple[int, int]] = {}
        """Account -> (minute since the epoch, requests in it)."""

    async def __call__(self, channel: str, account: str, request: Unverified, /) -> None:
        """Keep it. Raises Unavailable."""
        now = self._clock()
        self._metrics.unverified(channel, account)
        if not self._has_room(channel, account, int(now.timestamp()) // 60):
            return
        kept = await self._db.write(lambda conn: suspects.keep(conn, channel, account, request, now))
        log.warning("request not believed", channel=channel, account=account, unverified=kept, reason=request.reason)

    def _has_room(self, channel: str, account: str, minute: int) -> bool:
        """Anybody may send such requests: the disk must not be busy with them."""
        last, count = self._minutes.get((channel, account), (minute, 0))
        count = count + 1 if last == minute else 1
        self._minutes[channel, account] = (minute, count)
        if count == self._per_minute + 1:
            log.warning("requests not believed are only counted for a while", channel=channel, account=account)
        return count <= self._per_minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """A request that is not believed now, either."""

    id: int
    channel: str
    account: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rechecked:
    """What looking again came to."""

    believed: int
    """Requests whose messages are in the journal now."""
    messages: int
    """New messages among what they brought."""
    older: int
    """Changes of ticket stores among them that came too late."""
    still: tuple[Still, ...]


async def recheck(
    db: Database,
    webhooks: Mapping[tuple[str, str], Webhook],
    intake: Intake,
    *,
    account: str | None = None,
    news: News | None = None,
) -> Rechecked:
    """Look again at every request that is kept, of one account where named, the oldest first.

    A request leaves the list after the commit of what it brings, so being killed between costs a look more.
    Raises Unavailable; what was believed before that is safe.
    """
    until = await db.read(suspects.newest)
    believed = messages = older = after = 0
    still: list[Still] = []
    some = partial(suspects.some, account=account, until=until, limit=AT_ONCE)
    while rows := await db.read(partial(some, after=after)):
        for row in rows:
            brought = await _again(row, webhooks, intake, news)
            if isinstance(brought, str):
                still.append(Still(id=row.id, channel=row.channel, account=row.account, why=brought))
                continue
            await db.write(partial(suspects.drop, request_id=row.id))
            believed += 1
            messages += brought.count
            older += brought.older
        after = rows[-1].id
    log.info("requests looked at again", believed=believed, messages=messages, older=older, still=len(still))
    return Rechecked(believed=believed, messages=messages, older=older, still=tuple(still))


async def _again(
    row: Row[Any], webhooks: Mapping[tuple[str, str], Webhook], intake: Intake, news: News | None
) -> Brought | str:
    """What the request brings that is new, or why it is not believed."""
    if row.channel == FEED and news is not None and not row.reason.endswith(suspects.CUT):
        return await news(row.account, _request(row), row.at)
    raws = _believed(webhooks.get((row.channel, row.account)), row)
    if isinstance(raws, str):
        return raws
    accepted = await intake(raws) if raws else ()
    return Brought(count=sum(not one.duplicate for one in accepted))


def _request(row: Row[Any]) -> Unverified:
    return Unverified(method=row.method, path=row.path, headers=row.headers, body=bytes(row.body), reason=row.reason)


def _believed(webhook: Webhook | None, row: Row[Any]) -> list[RawMessage] | str:
    """What the request brings, or why it is not believed."""
    if row.reason.endswith(suspects.CUT):
        return str(row.reason)
    if webhook is None:
        return "the configuration has no such account"
    if not isinstance(webhook, Rechecks):
        return "this channel cannot look again"
    try:
        return list(webhook.recheck(_request(row)))
    except PermissionError as error:
        return str(error) or str(row.reason)
    except Exception as error:
        # One that cannot be read must not keep the others back; it stays in the list.
        log.error("a request could not be looked at again", unverified=row.id, exc_info=error)
        return f"could not be looked at: {type(error).__name__}"
