"""What operators should know of the desk's ticket stores, beside one that is down: alert -> words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection

from gateway.context import Context
from gateway.feeds import remarks
from gateway.feeds.settings import FeedSettings
from gateway.store import feeds

Things: TypeAlias = Mapping[str, Mapping[str, Any]]
SHOWN = 5


def found(conn: Connection, ctx: Context, now: datetime) -> dict[str, str]:
    """Everything that is so now; nothing is read where there are no feeds."""
    if not ctx.settings.feeds:
        return {}
    return {**_writes(conn, ctx, now), **_remarks(conn, ctx, now)}


def _writes(conn: Connection, ctx: Context, now: datetime) -> dict[str, str]:
    said: dict[str, str] = {}
    limit = ctx.settings.alerts.outbox_age
    for name, backlog in feeds.backlog(conn).items():
        stuck, coming = backlog.refused + backlog.dead, backlog.waiting + backlog.sending
        if stuck:
            what = f"{stuck} writes to the ticket store {name} were refused or given up, and what is behind them waits"
            said[f"feed writes {name}"] = f"{what}; see `gateway outbox list --feed`"
        elif backlog.oldest is not None and now - backlog.oldest >= limit:
            waits = f"{coming} writes wait for the ticket store {name}"
            said[f"feed queue {name}"] = f"{waits}, the oldest since {backlog.oldest:%Y-%m-%d %H:%M} UTC"
    return said


def _remarks(conn: Connection, ctx: Context, now: datetime) -> dict[str, str]:
    said: dict[str, str] = {}
    for name, kinds in remarks.everything(conn, now).items():
        feed = ctx.settings.feeds.get(name)
        if feed is None:
            continue
        for kind, things in kinds.items():
            present = _still(feed, things) if kind == "unknown" else things
            if present:
                said[f"feed {kind} {name}"] = _WORDS[kind](name, present)
    return said


def _still(feed: FeedSettings, things: Things) -> Things:
    """Words that the map has not learnt meanwhile."""
    pairs = {thing: thing.partition(": ") for thing in things}
    return {thing: things[thing] for thing, (field, _, raw) in pairs.items() if feed.map.ours(field, raw) is None}


def _some(things: Iterable[str]) -> str:
    listed = list(things)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more


def _unknown(name: str, things: Things) -> str:
    return f"the ticket store {name} says what feeds.{name}.map has no word for: {_some(things)}"


def _vanished(name: str, things: Things) -> str:
    return f"tickets were deleted in the store {name}: {_some(things)}; they go on here alone"


def _doubles(name: str, things: Things) -> str:
    listed = _some(f"{key} ({said['detail']})" for key, said in things.items())
    return f"tickets of ours are in the store {name} more than once: {listed}"


def _failed(name: str, things: Things) -> str:
    return f"news of the ticket store {name} could not be applied: {_some(things)}; the log says why"


_WORDS: Mapping[str, Callable[[str, Things], str]] = {
    "unknown": _unknown, "vanished": _vanished, "doubles": _doubles, "failed": _failed,
}  # fmt: skip
