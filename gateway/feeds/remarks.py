"""What operators should know of a store until it is mended or old: words without a mapping, tickets that vanished,
doubles. Kept beside the cursors, one row for each store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, select

from channels.contract import Cursor
from gateway.store import cursors, schema

What: TypeAlias = Literal["unknown", "vanished", "doubles", "failed"]
LIFE: Mapping[str, timedelta] = {
    "unknown": timedelta(days=30), "vanished": timedelta(days=1), "doubles": timedelta(days=2),
    "failed": timedelta(days=1),
}  # fmt: skip
MOST = 50
CHANNEL, NAME = "feed", "remarks"


def of(conn: Connection, feed: str) -> dict[str, dict[str, Any]]:
    """Kind -> thing -> {"at", "detail"}."""
    found = cursors.get(conn, CHANNEL, feed, NAME)
    kept: dict[str, dict[str, Any]] = json.loads(found) if found else {}
    return kept


def put(conn: Connection, feed: str, what: What, thing: str, detail: str, now: datetime) -> bool:
    """Remember one thing; what is over its time is forgotten. False when it is remembered already."""
    kept = of(conn, feed)
    known = kept.setdefault(what, {})
    fresh = thing[:200] not in known
    known[thing[:200]] = {"at": now.isoformat(), "detail": detail[:300]}
    _save(conn, feed, kept, now)
    return fresh


def replace(conn: Connection, feed: str, what: What, things: Mapping[str, str], now: datetime) -> None:
    """All that is so now of this kind."""
    kept = of(conn, feed)
    kept[what] = {thing[:200]: {"at": now.isoformat(), "detail": detail[:300]} for thing, detail in things.items()}
    _save(conn, feed, kept, now)


def everything(conn: Connection, now: datetime) -> dict[str, dict[str, dict[str, Any]]]:
    """Store -> kind -> thing -> {"at", "detail"}, of what is not over its time."""
    cursor = schema.cursor
    wanted = select(cursor.c.account, cursor.c.value).where(cursor.c.channel == CHANNEL, cursor.c.name == NAME)
    return {row.account: _young(json.loads(row.value), now) for row in conn.execute(wanted)}


def _young(kept: Mapping[str, Mapping[str, Any]], now: datetime) -> dict[str, dict[str, Any]]:
    return {
        what: {
            thing: said for thing, said in known.items()
            if now - datetime.fromisoformat(said["at"]) < LIFE.get(what, LIFE["failed"])
        }
        for what, known in kept.items()
    }  # fmt: skip


def _save(conn: Connection, feed: str, kept: Mapping[str, Mapping[str, Any]], now: datetime) -> None:
    bounded = {what: dict(list(known.items())[-MOST:]) for what, known in _young(kept, now).items()}
    value = json.dumps(bounded, ensure_ascii=False)
    cursors.put(conn, Cursor(channel=CHANNEL, account=feed, name=NAME, value=value))
