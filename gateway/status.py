"""The running gateway on one screen: what `GET /api/v1/status`, `gateway status` and the gauges show."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from typing import TypeAlias

from sqlalchemy import Connection, inspect, text

from gateway import health
from gateway.store import feeds, hold, media, queries
from gateway.web.frame import ApiModel
from gateway.web.services import Services


class JournalStatus(ApiModel):
    """The journal."""

    pending: int
    quarantined: int
    oldest: datetime | None
    """When the oldest pending entry was accepted."""


class OutboxStatus(ApiModel):
    """The outbox."""

    waiting: int
    due: int
    oldest: datetime | None
    """Since when the longest due notice has been due."""
    unknown: int
    """Perhaps sent, perhaps not: the gateway died in between."""
    dead: int
    held_since: datetime | None = None
    """Since when nothing goes out (`gateway outbox release` ends it); None: notices go out."""
    held_why: str = ""
    held_sources: bool = False
    """Nothing is read at far sides either: no mailbox, bot, list or ticket store, and no telephone registers."""


class FeedStatus(ApiModel):
    """What waits for one ticket store."""

    waiting: int
    sending: int
    refused: int
    """Writes that the store will not take as they are: somebody has to look (`gateway outbox`)."""
    dead: int
    oldest: datetime | None
    """When the oldest that waits was queued."""


class Status(ApiModel):
    """Everything at one moment."""

    version: str
    database_schema: str
    now: datetime
    started_at: datetime | None
    ready: bool
    trouble: Mapping[str, str]
    """Check -> reason."""
    listening: Mapping[str, str]
    journal: JournalStatus
    outbox: OutboxStatus
    tickets: Mapping[str, int]
    """Status -> how many; closed ones are not counted."""
    workers: Mapping[str, int]
    disk_free: int | None
    """Bytes."""
    last_accepted: Mapping[str, datetime]
    """"channel/account" -> when it last brought something."""
    media_waiting: int = 0
    """Files of messages that are not here yet."""
    media_oldest: datetime | None = None
    """Since when the oldest of them is waited for."""
    feeds: Mapping[str, FeedStatus] = {}
    """Ticket store -> what waits for it."""


_Read: TypeAlias = tuple[
    queries.Backlog, str, hold.Held | None, tuple[int, datetime | None], Mapping[str, FeedStatus]
]  # fmt: skip


async def gather(services: Services) -> Status:
    """Read everything. Raises Unavailable when the database cannot be read."""
    now = services.clock()

    def read(conn: Connection) -> _Read:
        files = media.waiting_since(conn)
        return queries.backlog(conn, now), _schema(conn), hold.get(conn), files, feed_status(conn, services)

    backlog, schema, held, (files, oldest), stores = await services.db.read(read)
    trouble = await asyncio.to_thread(health.look, services.checks)
    free = await asyncio.to_thread(health.free_bytes, services.var) if services.var is not None else None
    return Status(
        version=version("intake-gateway"),
        database_schema=schema,
        now=now,
        started_at=services.started_at,
        ready=not trouble,
        trouble=trouble,
        listening=dict(services.listening()),
        journal=JournalStatus(
            pending=backlog.journal_pending, quarantined=backlog.journal_quarantined, oldest=backlog.journal_oldest
        ),
        outbox=OutboxStatus(
            waiting=backlog.outbox_waiting,
            due=backlog.outbox_due,
            oldest=backlog.outbox_oldest,
            unknown=backlog.outbox_unknown,
            dead=backlog.outbox_dead,
            held_since=held.since if held else None,
            held_why=held.why if held else "",
            held_sources=held is not None and held.sources,
        ),
        tickets=backlog.tickets,
        workers=dict(services.workers()),
        disk_free=free,
        last_accepted=backlog.last_accepted,
        media_waiting=files,
        media_oldest=oldest,
        feeds=stores,
    )


def feed_status(conn: Connection, services: Services) -> dict[str, FeedStatus]:
    """Of every ticket store of the settings, and of those that still have something to be written."""
    found = feeds.backlog(conn)
    names = dict.fromkeys([*services.ctx.settings.feeds, *found])
    none = feeds.Backlog()
    return {
        name: FeedStatus(**{field: getattr(found.get(name, none), field) for field in FeedStatus.model_fields})
        for name in names
    }


def gauges(status: Status) -> dict[str, float]:
    """The numbers of it for `/metrics`."""

    def age(since: datetime | None) -> float:
        return 0.0 if since is None else max(0.0, (status.now - since).total_seconds())

    found: dict[str, float] = {
        "ready": status.ready,
        "journal_pending": status.journal.pending,
        "journal_quarantined": status.journal.quarantined,
        "journal_oldest_seconds": age(status.journal.oldest),
        "outbox_waiting": status.outbox.waiting,
        "outbox_due": status.outbox.due,
        "outbox_oldest_seconds": age(status.outbox.oldest),
        "outbox_unknown": status.outbox.unknown,
        "outbox_dead": status.outbox.dead,
        "media_waiting": status.media_waiting,
        "media_oldest_seconds": age(status.media_oldest),
        "outbox_held": status.outbox.held_since is not None,
        **{f"tickets_{name}": status.tickets.get(name, 0) for name in queries.OPEN_STATUSES},
        **{f"workers_{name}": number for name, number in status.workers.items()},
    }
    if status.disk_free is not None:
        found["disk_free_bytes"] = status.disk_free
    return found


def _schema(conn: Connection) -> str:
    if not inspect(conn).has_table("alembic_version"):
        return ""
    return conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none() or ""
