"""What the web site is given: everything it may touch, built by the composition root."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from aiohttp import web

from channels.contract import Clock, Intake, Webhook
from gateway.context import Context
from gateway.feeds.running import Feeds
from gateway.health import Check
from gateway.metrics import Metrics
from gateway.reload import Reloaded
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from normalizer.message import RawMessage


def _nothing() -> None:
    return None


async def _no_number(_entry: int, _within: float) -> str | None:
    return None


Begin: TypeAlias = Callable[[RawMessage, Callable[[BaseException | None], None]], None]
"""(message, told): `told` is called once, with None after the commit, else with what went wrong."""


@dataclass(slots=True, kw_only=True)
class Services:
    """The parts of a running gateway that requests work with. A reload replaces `ctx` and `webhooks`, nothing else."""

    ctx: Context
    db: Database
    blobs: Blobs
    clock: Clock
    metrics: Metrics
    intake: Intake | None = None
    """None: webhooks are not mounted."""
    begin: Begin | None = None
    """`intake` of one small message without a task; None: every request goes through the application."""
    webhooks: Mapping[tuple[str, str], Webhook] = field(default_factory=dict)
    """(channel, account) -> what is mounted under `/channels/<channel>/<account>`."""
    checks: Sequence[Check] = ()
    """What `/readyz` looks at."""
    listening: Callable[[], Mapping[str, str]] = dict
    """Name -> "host:port" of every open port."""
    workers: Callable[[], Mapping[str, int]] = dict
    """Worker processes: alive, busy, restarts."""
    var: Path | None = None
    """The data folder, for free space."""
    started_at: datetime | None = None
    processed: Callable[[int, float], Awaitable[str | None]] = _no_number
    """(entry, seconds to wait) -> the number of the ticket that it became; None: not known by then."""
    wake_outbox: Callable[[], None] = _nothing
    """Called after a commit that may have put notices."""
    wake_journal: Callable[[], None] = _nothing
    """Called after a commit that may have made entries pending."""
    wake_timers: Callable[[], None] = _nothing
    """Called after a commit that may have put timers."""
    feeds: Feeds | None = None
    """The ticket stores of the desk; None: there are none."""
    reload: Callable[[], Awaitable[Reloaded]] | None = None
    """Brings a changed configuration into force."""
    new_secret: Callable[[], str] = lambda: secrets.token_hex(24)
    """192 random bits as hex: request ids (its beginning) and API tokens."""


SERVICES = web.AppKey("services", Services)
