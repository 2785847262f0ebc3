"""Feeds in the database: which ticket is which in a store, what still has to be written there, and in which order.

Every function runs inside the caller's transaction. `due` only reads and may run in a reader; `claim` looks again at
everything that `due` looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, literal, or_, select, update
from sqlalchemy import Row as Found

from gateway.store import leases
from gateway.store.dialect import insert_new, is_one_of, is_postgresql, wake
from gateway.store.hold import not_held
from gateway.store.schema import Instant, feed_link, feed_write

Kind: TypeAlias = Literal["open", "say", "file", "alter"]
State: TypeAlias = Literal["waiting", "sending", "done", "refused", "dead", "skipped"]
TOPIC = "feeds"
"""What other nodes are woken by."""
BLOCKING = ("waiting", "sending", "refused", "dead")
"""States of a row that the younger ones of its ticket wait for."""
NEEDS_SOMEBODY = ("refused", "dead")
DETAIL = 1000
"""Characters that are kept of a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A ticket's place in a store; columns as in `schema.feed_link`."""

    feed: str
    ticket_id: int
    ref: str | None
    number: str | None
    url: str
    state: Literal["wanted", "linked", "merged", "vanished"]
    into: str | None
    told: Mapping[str, str]
    created_at: datetime
    heard: Mapping[str, str] | None = None

    @property
    def target(self) -> str | None:
        """What writes go to: of a merged ticket the one that it is a part of."""
        return self.into or self.ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One write; columns as in `schema.feed_write`."""

    id: int
    feed: str
    ticket_id: int
    key: str
    kind: Kind
    message_id: int | None
    fields: Mapping[str, str]
    """Of an alter: the values that it was queued for."""
    files: Sequence[int] | None
    state: State
    attempts: int
    uncertain: bool
    owner: str | None
    created_at: datetime
    due_at: datetime
    sending_at: datetime | None
    first_sending_at: datetime | None
    settled_at: datetime | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What one try came to. `state` "waiting" with `due_at` means: try again then."""

    state: State
    due_at: datetime | None = None
    detail: str = ""
    uncertain: bool = False
    files: Sequence[int] = ()
    uncounted: bool = False
    """Nothing was tried: the attempt does not count."""


def _unsettled() -> ColumnElement[bool]:
    """As the partial index says it, word for word: without this a look reads all that was ever written to a store."""
    return is_one_of(feed_write.c.state, *BLOCKING)


def row_of(row: Mapping[Any, Any]) -> Row:
    """A row of the table as a write."""
    return Row(**row)


# -- links --------------------------------------------------------------------------------


def link_of(conn: Connection, ticket_id: int, *, lock: bool = False) -> Link | None:
    """The ticket's place in a store; None: it has none."""
    wanted = select(feed_link).where(feed_link.c.ticket_id == ticket_id).limit(1)
    row = conn.execute(wanted.with_for_update() if lock else wanted).mappings().one_or_none()
    return None if row is None else Link(**row)


def make_link(conn: Connection, feed: str, ticket_id: int, now: datetime) -> Link:
    """The ticket belongs to this store from now on."""
    insert_new(conn, feed_link, {"feed": feed, "ticket_id": ticket_id, "told": {}, "created_at": now})
    made = link_of(conn, ticket_id, lock=True)
    assert made is not None
    return made


def links_to(conn: Connection, feed: str, ref: str) -> list[Link]:
    """Tickets of ours that a ticket of the store stands for: its own first, then those that were merged into it."""
    mine = and_(feed_link.c.feed == feed, or_(feed_link.c.ref == ref, feed_link.c.into == ref))
    rows = conn.execute(select(feed_link).where(mine).order_by(feed_link.c.ticket_id)).mappings()
    links = [Link(**row) for row in rows]
    # What a part of another ticket is still called by itself is heard of under both names.
    return sorted(links, key=lambda link: link.ref != ref)


def is_used(conn: Connection, feed: str) -> bool:
    """Has the store a ticket of ours?"""
    wanted = select(feed_link.c.ticket_id).where(feed_link.c.feed == feed, feed_link.c.ref.is_not(None))
    return conn.execute(wanted.limit(1)).first() is not None


def change_link(conn: Connection, link: Link, **columns: Any) -> None:
    """Set columns of a link."""
    mine = and_(feed_link.c.feed == link.feed, feed_link.c.ticket_id == link.ticket_id)
    conn.execute(update(feed_link).where(mine).values(columns))


def by_number(conn: Connection, numbers: Collection[str]) -> list[tuple[str, int]]:
    """(number of a store, id of our ticket) of those that stores have given to tickets of ours."""
    if not numbers:
        return []
    wanted = select(feed_link.c.number, feed_link.c.ticket_id).where(feed_link.c.number.in_(list(numbers)))
    return [(row.number, row.ticket_id) for row in conn.execute(wanted.order_by(feed_link.c.ticket_id))]


def numbers_of(conn: Connection, ticket_ids: Collection[int]) -> dict[int, str]:
    """Ticket -> the store's number, of those that have one."""
    if not ticket_ids:
        return {}
    wanted = select(feed_link.c.ticket_id, feed_link.c.number).where(
        feed_link.c.ticket_id.in_(list(ticket_ids)), feed_link.c.number.is_not(None)
    )
    return {row.ticket_id: row.number for row in conn.execute(wanted)}


# -- queueing -----------------------------------------------------------------------------


def put(
    conn: Connection,
    link: Link,
    *,
    key: str,
    kind: Kind,
    now: datetime,
    due_at: datetime,
    message_id: int | None = None,
    fields: Mapping[str, str] | None = None,
) -> int | None:
    """Queue one write. Returns its id, None when it was queued before."""
    values = {
        "feed": link.feed, "ticket_id": link.ticket_id, "key": key, "kind": kind, "message_id": message_id,
        "fields": dict(fields or {}), "created_at": now, "due_at": due_at,
    }  # fmt: skip
    made: int | None = insert_new(conn, feed_write, values)
    if made is not None:
        wake(conn, TOPIC)
    return made


def of_ticket(conn: Connection, link: Link) -> list[Row]:
    """Everything that was ever queued for a ticket, the oldest first."""
    mine = and_(feed_write.c.feed == link.feed, feed_write.c.ticket_id == link.ticket_id)
    return [row_of(row) for row in conn.execute(select(feed_write).where(mine).order_by(feed_write.c.id)).mappings()]


def change(conn: Connection, row_id: int, **columns: Any) -> None:
    """Set columns of a write."""
    conn.execute(update(feed_write).where(feed_write.c.id == row_id).values(columns))


def withdraw(conn: Connection, link: Link) -> bool:
    """Forget that a ticket was to be opened in the store. False when it may be there: then everything stays."""
    if link.state != "wanted":
        return False
    mine = and_(feed_write.c.feed == link.feed, feed_write.c.ticket_id == link.ticket_id)
    opening = and_(mine, feed_write.c.kind == "open", feed_write.c.state == "waiting", ~feed_write.c.uncertain)
    if not conn.execute(delete(feed_write).where(opening)).rowcount:
        return False
    # All others stood behind it, and none of them was tried.
    conn.execute(delete(feed_write).where(mine))
    conn.execute(delete(feed_link).where(feed_link.c.feed == link.feed, feed_link.c.ticket_id == link.ticket_id))
    return True


def skip_open(conn: Connection, link: Link, now: datetime, why: str) -> int:
    """What still waits for a ticket is not written any more. Returns how many."""
    mine = and_(feed_write.c.feed == link.feed, feed_write.c.ticket_id == link.ticket_id)
    waiting = is_one_of(feed_write.c.state, "waiting", "refused", "dead")
    values = {"state": "skipped", "settled_at": now, "detail": why}
    return conn.execute(update(feed_write).where(mine, waiting).values(values)).rowcount


# -- taking turns -------------------------------------------------------------------------


def _claimable(now: datetime) -> ColumnElement[bool]:
    older = feed_write.alias("older")
    blocked = exists().where(
        older.c.feed == feed_write.c.feed,
        older.c.ticket_id == feed_write.c.ticket_id,
        older.c.id < feed_write.c.id,
        is_one_of(older.c.state, *BLOCKING),
    )
    waiting = is_one_of(feed_write.c.state, "waiting")
    return and_(_unsettled(), waiting, feed_write.c.due_at <= now, ~blocked, not_held())


def due(conn: Connection, feed: str, now: datetime, limit: int) -> list[int]:
    """Ids of at most `limit` writes to a store whose turn it is, the longest due first."""
    wanted = select(feed_write.c.id).where(feed_write.c.feed == feed, _claimable(now))
    return list(conn.scalars(wanted.order_by(feed_write.c.due_at, feed_write.c.id).limit(limit)))


def claim(conn: Connection, ids: Sequence[int], owner: str, now: datetime) -> list[Row]:
    """Mark those of `ids` as SENDING whose turn it still is. To be committed before the first byte (rule 12)."""
    free = list(ids)
    if is_postgresql(conn):
        wanted = select(feed_write.c.id).where(feed_write.c.id.in_(ids), _claimable(now))
        free = list(conn.scalars(wanted.order_by(feed_write.c.id).with_for_update(skip_locked=True)))
    taken = (
        update(feed_write)
        .where(feed_write.c.id.in_(free), _claimable(now))
        .values(
            state="sending",
            owner=owner,
            attempts=feed_write.c.attempts + 1,
            sending_at=now,
            first_sending_at=func.coalesce(feed_write.c.first_sending_at, literal(now, Instant)),
        )
        .returning(feed_write)
    )
    return sorted((row_of(row) for row in conn.execute(taken).mappings()), key=lambda row: row.id)


def next_due(conn: Connection, feeds: Collection[str], now: datetime) -> datetime | None:
    """When, after `now`, the next write of these stores is due whose turn it would be; None: none is.

    What is due by now is not looked at: that is for `due`, and may be a backlog of thousands.
    """
    older = feed_write.alias("older")
    blocked = exists().where(
        older.c.feed == feed_write.c.feed,
        older.c.ticket_id == feed_write.c.ticket_id,
        older.c.id < feed_write.c.id,
        is_one_of(older.c.state, *BLOCKING),
    )
    waiting = is_one_of(feed_write.c.state, "waiting")
    wanted = select(func.min(feed_write.c.due_at)).where(
        _unsettled(), waiting, feed_write.c.due_at > now, feed_write.c.feed.in_(list(feeds)), ~blocked
    )
    found: datetime | None = conn.scalar(wanted)
    return found


def settle(conn: Connection, row: Row, done: Settled, now: datetime) -> bool:
    """Write down what a try came to. False when the row is no longer this owner's and this attempt's."""
    mine = (
        feed_write.c.id == row.id,
        feed_write.c.owner == row.owner,
        feed_write.c.attempts == row.attempts,
        feed_write.c.state == "sending",
    )
    values: dict[str, Any] = {"state": done.state, "detail": done.detail[:DETAIL], "owner": None}
    values |= {"uncertain": done.uncertain, "files": list(done.files) or None}
    values |= {"due_at": done.due_at or now} if done.state == "waiting" else {"settled_at": now}
    if done.uncounted:
        values["attempts"] = row.attempts - 1
    return conn.execute(update(feed_write).where(*mine).values(values)).rowcount == 1


def forsake(conn: Connection, owner: str, pauses: Mapping[str, timedelta], now: datetime, *, alone: bool) -> int:
    """Writes that a dead server left SENDING wait for their turn again, in doubt: the store is asked first, and not
    before its time limit is surely over. Returns how many.

    `pauses`: store -> how long after the try began that is. `alone`: there are no other nodes, so everything
    SENDING that is not `owner`'s is a dead server's; else what no living node has.
    """
    sending = is_one_of(feed_write.c.state, "sending")
    others = [_unsettled(), sending, feed_write.c.owner != owner]
    if not alone:
        others.append(feed_write.c.owner.not_in(leases.living(conn).scalar_subquery()))
    wanted = select(feed_write.c.id, feed_write.c.feed, feed_write.c.sending_at).where(*others)
    rows = conn.execute(wanted if alone else wanted.with_for_update(skip_locked=True)).all()
    for row in rows:
        free_at = (row.sending_at or now) + pauses.get(row.feed, timedelta(minutes=5))
        why = "the gateway was stopped while this was being written"
        change(conn, row.id, state="waiting", owner=None, uncertain=True, due_at=free_at, detail=why)
    return len(rows)


def put_back(conn: Connection, owner: str, known: Collection[int]) -> int:
    """Rows that are SENDING in our name and were never handed to us wait again: nothing was sent. Returns how many."""
    mine = and_(feed_write.c.owner == owner, _unsettled(), is_one_of(feed_write.c.state, "sending"))
    statement = update(feed_write).where(mine, feed_write.c.id.not_in(list(known)))
    return conn.execute(statement.values(state="waiting", owner=None, attempts=feed_write.c.attempts - 1)).rowcount


def hurry(conn: Connection, feed: str, now: datetime) -> int:
    """The store is back: what only waited for that is due now. What is in doubt keeps its time. Returns how many."""
    waiting = (feed_write.c.feed == feed, _unsettled(), is_one_of(feed_write.c.state, "waiting"),
               feed_write.c.attempts > 0)  # fmt: skip
    statement = update(feed_write).where(*waiting, ~feed_write.c.uncertain, feed_write.c.due_at > now)
    return conn.execute(statement.values(due_at=now)).rowcount


def in_doubt(conn: Connection, feed: str, *, kind: Kind) -> bool:
    """Is there a write of this kind that the store may have done and we do not know of yet?"""
    doubt = or_(
        is_one_of(feed_write.c.state, "sending"),
        and_(is_one_of(feed_write.c.state, "waiting"), feed_write.c.uncertain),
    )
    wanted = select(feed_write.c.id).where(feed_write.c.feed == feed, feed_write.c.kind == kind, _unsettled(), doubt)
    return conn.execute(wanted.limit(1)).first() is not None


def written_since(conn: Connection, link: Link, field: str, since: datetime) -> bool:
    """Did we change this field there by a try that began after `since`?"""
    mine = (feed_write.c.feed == link.feed, feed_write.c.ticket_id == link.ticket_id, feed_write.c.kind == "alter")
    done = (feed_write.c.state == "done", feed_write.c.sending_at > since)
    return any(field in fields for fields in conn.scalars(select(feed_write.c.fields).where(*mine, *done)))


def altered_since(conn: Connection, feed: str, ticket_id: int, since: datetime) -> bool:
    """Is a change of fields on its way, or was one finished after `since`?"""
    alters = (feed_write.c.feed == feed, feed_write.c.ticket_id == ticket_id, feed_write.c.kind == "alter")
    fresh = or_(
        is_one_of(feed_write.c.state, "sending"),
        and_(feed_write.c.state == "done", feed_write.c.settled_at >= since),
    )
    return conn.execute(select(feed_write.c.id).where(*alters, fresh).limit(1)).first() is not None


# -- for people ---------------------------------------------------------------------------


def find(conn: Connection, row_id: int) -> Found[Any] | None:
    """One write."""
    return conn.execute(select(feed_write).where(feed_write.c.id == row_id)).one_or_none()


def retry(conn: Connection, row_id: int, now: datetime) -> bool:
    """Write a refused or dead one again, because a person says so; the store is asked first whether it has it."""
    again = (feed_write.c.id == row_id, is_one_of(feed_write.c.state, *NEEDS_SOMEBODY))
    values = {
        "state": "waiting", "due_at": now, "attempts": 0, "first_sending_at": None, "settled_at": None, "owner": None,
        "uncertain": True,
    }  # fmt: skip
    wake(conn, TOPIC)
    return conn.execute(update(feed_write).where(*again).values(values)).rowcount == 1


def drop(conn: Connection, row_id: int, now: datetime, *, why: str) -> bool:
    """Give one up, because a person says so: the ticket's later writes go on without it."""
    given_up = (feed_write.c.id == row_id, is_one_of(feed_write.c.state, "waiting", *NEEDS_SOMEBODY))
    values = {"state": "skipped", "settled_at": now, "detail": why[:DETAIL]}
    wake(conn, TOPIC)
    return conn.execute(update(feed_write).where(*given_up).values(values)).rowcount == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits for a store, at one moment."""

    waiting: int = 0
    sending: int = 0
    refused: int = 0
    dead: int = 0
    oldest: datetime | None = None
    """When the oldest that waits was queued."""


def backlog(conn: Connection) -> dict[str, Backlog]:
    """Store -> what waits for it; counts over a partial index."""
    states, count = is_one_of(feed_write.c.state, *BLOCKING), func.count().label("many")
    oldest = func.min(feed_write.c.created_at).label("oldest")
    wanted = select(feed_write.c.feed, feed_write.c.state, count, oldest).where(states)
    found: dict[str, dict[str, Any]] = {}
    for row in conn.execute(wanted.group_by(feed_write.c.feed, feed_write.c.state)):
        known = found.setdefault(row.feed, {})
        known[row.state] = row.many
        if row.state in ("waiting", "sending"):
            known["oldest"] = min(row.oldest, known.get("oldest") or row.oldest)
    return {feed: Backlog(**values) for feed, values in found.items()}
