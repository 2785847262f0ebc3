"""How far a store has been read (rule 3): one cursor for each, in words that its feed alone understands.

A store is read from its first look on. What staff say there of a ticket that was put there before is not heard, so new
tickets wait for that look: a while, since staff are to see them whatever is wrong with reading.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from channels.contract import Cursor
from gateway.feeds.settings import FeedSettings
from gateway.store import cursors
from gateway.store.feeds import Row

CHANNEL, NAME = "feed", "changes"
PATIENCE = timedelta(minutes=1)
"""How long a new ticket waits for the first look."""


def get(conn: Connection, feed: str) -> str | None:
    """None: nothing was ever read there."""
    return cursors.get(conn, CHANNEL, feed, NAME)


def put(conn: Connection, feed: str, value: str) -> None:
    """To be called in the transaction of what was passed."""
    cursors.put(conn, Cursor(channel=CHANNEL, account=feed, name=NAME, value=value))


def is_awaited(conn: Connection, settings: FeedSettings, opening: Row, now: datetime) -> bool:
    """Does this opening of a ticket wait for the first look?"""
    if not settings.read or opening.uncertain or now - opening.created_at >= PATIENCE:
        return False
    return get(conn, opening.feed) is None
