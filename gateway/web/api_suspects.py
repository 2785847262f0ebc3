"""What operators do with requests that webhooks did not believe."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from gateway import suspects
from gateway.store import suspects as store
from gateway.web import cursors, feed_hooks
from gateway.web.api_asked import Limit
from gateway.web.frame import ApiModel, Asked, Call, Job
from gateway.web.problems import Problem


class UnverifiedItem(ApiModel):
    """One request, without what it holds."""

    id: int
    channel: str
    account: str
    method: str
    size: int
    """Bytes of its body that are kept."""
    reason: str
    """Why it was not believed."""
    at: datetime


class UnverifiedPage(ApiModel):
    """Requests, the newest first."""

    items: Sequence[UnverifiedItem]
    next_cursor: str | None


class UnverifiedQuery(Asked):
    """Which requests."""

    account: str | None = None
    limit: Limit = 50
    cursor: str | None = None


class Recheck(Asked):
    """Which requests to look at again."""

    account: str | None = None
    """None: of every account."""


class StillUnverified(ApiModel):
    """A request that is not believed now, either; it stays in the list."""

    id: int
    channel: str
    account: str
    why: str


class Rechecked(ApiModel):
    """What looking again came to."""

    believed: int
    """Requests whose messages are in the journal now."""
    messages: int
    """New messages, and changes of ticket stores, among what they brought."""
    older: int
    """Changes of ticket stores among them that came too late: something newer of the same field is known, and they
    stand in the history of their tickets alone."""
    still: Sequence[StillUnverified]


async def listing(call: Call) -> UnverifiedPage:
    """What was not believed."""
    asked, before = call.query, cursors.read(call.query.cursor)

    def job(conn: Connection) -> UnverifiedPage:
        rows = store.listing(conn, account=asked.account, before=before, limit=asked.limit + 1)
        page, following = cursors.after(rows, asked.limit)
        names = UnverifiedItem.model_fields
        items = [UnverifiedItem(**{name: getattr(row, name) for name in names}) for row in page]
        return UnverifiedPage(items=items, next_cursor=following)

    return await call.read(job)


async def replay(call: Call) -> Job:
    """Look again: what is believed now goes the way of every message."""
    services = call.services
    if services.intake is None:
        raise Problem(409, "this server takes nothing in")
    done = await suspects.recheck(
        services.db, services.webhooks, services.intake, account=call.body.account,
        news=partial(feed_hooks.again, services),
    )  # fmt: skip
    found = Rechecked(
        believed=done.believed,
        messages=done.messages,
        older=done.older,
        still=[StillUnverified(id=one.id, channel=one.channel, account=one.account, why=one.why) for one in done.still],
    )
    return lambda _conn: found
