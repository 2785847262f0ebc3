"""The outbox table: what still has to go out, in which order, and what became of it (rules 11 to 13).

Every function runs inside the caller's transaction. `due` only reads and may run in a reader;
`claim` looks again at everything that `due` looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Integer,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    update,
)

from gateway.store.dialect import insert_new, is_one_of, is_postgresql, wake
from gateway.store.hold import not_held
from gateway.store.prepared import Prepared
from gateway.store.schema import Instant, outbox
from gateway.store.threads import add_keys
from normalizer.message import Act, Json

State: TypeAlias = Literal[
    "waiting",
    "sending",
    "sent",
    "captured",
    "suppressed",
    "refused",
    "unreachable",
    "unknown",
    "dead",
    "replaced",
]
REPEATED_BY_STAFF: tuple[State, ...] = ("dead", "unknown", "refused", "unreachable", "suppressed")
"""States from which a person may send a notice again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A notice to be sent, as the one who composes it puts it into the outbox."""

    key: str
    """Makes the effect happen once: "ack:<entry>", "reply:<event>" … (rule 6)."""
    lane: str
    """Order is kept within one lane: ticket + recipient; "" = no order (rule 13)."""
    kind: str
    """Of the notice: acknowledgement, reply, survey, alert …"""
    channel: str
    account: str
    recipient: str
    language: str
    template: str
    repeatable: bool
    """After a crash in the middle of sending: True repeats it (a person's reply), False shows `unknown`."""
    automatic: bool
    """False for what a person wrote."""
    ticket_id: int | None = None
    recipient_name: str = ""
    variables: Mapping[str, Json] = field(default_factory=dict)
    """No rendered text except what a person wrote; the rest is read from the ticket when it is sent."""
    message_id: str = ""
    """Chosen by us, without angle brackets; stored as a key we issued before anything is sent (rule 11)."""
    reply_token: str = ""
    """The token in the reply address; stored like `message_id`."""
    replaces: str | None = None
    """Waiting notices of the same ticket with the same value give way to this one."""
    due_at: datetime | None = None
    """None: at once."""
    destination: Mapping[str, Json] | None = None
    """Of a chat: where beside the recipient's address (`Conversation.answer_to`)."""
    act: Act = "send"
    target: str = ""
    """Of an edit or of the answer to a pressed button: `Notice.target`."""
    part: int = 0
    """Of a notice that takes several wire calls, from 0; each one puts the next when it is sent."""
    mute: str = ""
    """Why it never goes out: it is kept as suppressed, to be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One notice of the outbox; columns as in `schema.outbox`."""

    id: int
    key: str
    lane: str
    kind: str
    ticket_id: int | None
    channel: str
    account: str
    recipient: str
    recipient_name: str
    language: str
    template: str
    variables: Mapping[str, Any]
    message_id: str | None
    reply_token: str | None
    repeatable: bool
    automatic: bool
    replaces: str | None
    state: State
    created_at: datetime
    due_at: datetime
    attempts: int
    owner: str | None
    sending_at: datetime | None
    first_sending_at: datetime | None
    settled_at: datetime | None
    external_ids: Sequence[str] | None
    detail: str
    fault: str
    destination: Mapping[str, Any] | None = None
    act: Act = "send"
    target: str = ""
    part: int = 0

    @property
    def overheard(self) -> bool:
        """It goes to a place where others are, too: a group."""
        where = [str(value) for value in (self.destination or {}).values()]
        return bool(where) and self.recipient not in where


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What one try came to. `state` "waiting" with `due_at` means: try again then."""

    id: int
    owner: str
    attempts: int
    state: State
    due_at: datetime | None = None
    external_ids: tuple[str, ...] = ()
    detail: str = ""
    fault: str = ""
    more: bool = False
    """Of a notice that takes several wire calls: this was not the last one."""
    about: Literal["address", "channel", "consent"] = "address"
    """Beside "unreachable": as in `Receipt`."""
    tried: bool = True
    """False beside "waiting": it was not its time, and no try is counted."""
    moved_to: Mapping[str, Json] = field(default_factory=dict)
    """The row's destination from now on, where the far side gave the chat another id."""


def put(conn: Connection, draft: Draft, now: datetime) -> int | None:
    """Queue one notice. Returns its id, or None when the key is already there: the effect happened before.

    Waiting notices that `draft.replaces` names become `replaced`, and the new one takes over the
    earliest of their due times, so that a ticket that changes all the time is still reported.
    The Message-ID and the reply token become keys of the ticket that we issued.
    Raises ValueError when one of them is known already.
    """
    values = {name: getattr(draft, name) for name in Draft.__slots__ if name != "mute"}
    if draft.mute:
        values |= {"state": "suppressed", "detail": draft.mute, "settled_at": now}
    values |= {"message_id": draft.message_id or None, "reply_token": draft.reply_token or None}
    values |= {"due_at": draft.due_at or now, "created_at": now, "variables": dict(draft.variables)}
    row_id: int | None = insert_new(conn, outbox, values)
    if row_id is None:
        if conn.scalar(select(outbox.c.id).where(outbox.c.key == draft.key)) is None:
            raise ValueError(f"the Message-ID or reply token chosen for {draft.key} is known already")
        return None
    if draft.replaces is not None:
        _replace(conn, draft, row_id, values["due_at"], now)
    _issue(conn, draft)
    wake(conn, "outbox")
    return row_id


def _replace(conn: Connection, draft: Draft, row_id: int, due_at: datetime, now: datetime) -> None:
    same_ticket = outbox.c.ticket_id.is_(None) if draft.ticket_id is None else outbox.c.ticket_id == draft.ticket_id
    older = conn.scalars(
        update(outbox)
        .where(
            same_ticket, outbox.c.id < row_id, outbox.c.replaces == draft.replaces, is_one_of(outbox.c.state, "waiting")
        )
        .values(state="replaced", settled_at=now, detail=f"replaced by {row_id}")
        .returning(outbox.c.due_at)
    ).all()
    if older and min(older) < due_at:
        conn.execute(update(outbox).where(outbox.c.id == row_id).values(due_at=min(older)))


def _first_key(row: Row) -> str:
    return row.key.rpartition("#")[0] if row.part else row.key


def first_of(conn: Connection, row: Row) -> int:
    """Id of the first row of a notice that takes several wire calls; of others the row's own."""
    found: int | None = conn.scalar(select(outbox.c.id).where(outbox.c.key == _first_key(row))) if row.part else None
    return row.id if found is None else found


def put_next(conn: Connection, row: Row, now: datetime) -> int | None:
    """Queue the next wire call of a notice that takes several. Returns its id; None when it is there already."""
    first, part = _first_key(row), row.part + 1
    # Every part is filled in as of the first: a text that changed meanwhile would be cut elsewhere.
    begun = row.variables.get("as_of") or (row.sending_at or now).isoformat()
    names = ("lane", "kind", "channel", "account", "recipient", "language", "template", "repeatable", "automatic",
             "ticket_id", "recipient_name", "destination")  # fmt: skip
    same = {name: getattr(row, name) for name in names}
    return put(conn, Draft(key=f"{first}#{part}", part=part, variables={**row.variables, "as_of": begun}, **same), now)


def take_back(conn: Connection, ticket_id: int, templates: Sequence[str], now: datetime, *, why: str) -> int:
    """Notices of a ticket that wait and are not true any more go to nobody. Returns how many."""
    statement = (
        update(outbox)
        .where(outbox.c.ticket_id == ticket_id, outbox.c.template.in_(templates), is_one_of(outbox.c.state, "waiting"))
        .values(state="replaced", settled_at=now, detail=why)
    )
    return conn.execute(statement).rowcount


def _issue(conn: Connection, draft: Draft) -> None:
    if draft.ticket_id is None:
        return
    chosen = (("message_id", draft.message_id), ("reply_token", draft.reply_token))
    keys = [key for key in chosen if key[1]]
    for kind, _ in add_keys(conn, draft.ticket_id, keys, issued=True, recipient=draft.recipient):
        # It would not count as issued, and the answer to this notice would be taken for a stranger's.
        raise ValueError(f"the {kind} chosen for {draft.key} is known already")


# -- sending ------------------------------------------------------------------------------


def claimable(now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Waiting, due, not held, and first of its lane among the rows that have ever been due.

    A row in back-off (attempts > 0) has been due and keeps its place; one that was never due blocks nobody. The next
    part of a notice that has begun to go out comes before everything else of its lane.
    """
    older = outbox.alias("older")
    blocked = exists().where(
        older.c.lane == outbox.c.lane,
        older.c.id != outbox.c.id,
        is_one_of(older.c.state, "waiting", "sending"),
        or_(
            and_(
                older.c.id < outbox.c.id,
                or_(is_one_of(older.c.state, "sending"), older.c.attempts > 0, older.c.due_at <= now),
            ),
            older.c.part > 0,
        ),
    )
    free = or_(outbox.c.lane == "", outbox.c.part > 0, ~blocked)
    return and_(is_one_of(outbox.c.state, "waiting"), outbox.c.due_at <= now, free, not_held())


# Made once: building these takes longer than running them, and they run for every notice.
_NOW = bindparam("now", type_=Instant)
_DUE = Prepared(
    select(outbox.c.id)
    .where(outbox.c.channel == bindparam("of_channel"), outbox.c.account == bindparam("of_account"), claimable(_NOW))
    .order_by(outbox.c.due_at, outbox.c.id)
    .limit(bindparam("most", type_=Integer))
)
_CLAIM = (
    update(outbox)
    .where(outbox.c.id.in_(bindparam("ids", expanding=True)), claimable(_NOW))
    .values(
        state="sending",
        owner=bindparam("by"),
        attempts=outbox.c.attempts + 1,
        sending_at=_NOW,
        first_sending_at=func.coalesce(outbox.c.first_sending_at, _NOW),
    )
    .returning(outbox)
)
_FREE = (
    select(outbox.c.id)
    .where(outbox.c.id.in_(bindparam("ids", expanding=True)), claimable(_NOW))
    .order_by(outbox.c.id)
    .with_for_update(skip_locked=True)
)
_NEXT_DUE = Prepared(
    select(func.min(outbox.c.due_at).label("earliest")).where(
        is_one_of(outbox.c.state, "waiting"),
        outbox.c.channel == bindparam("of_channel"),
        outbox.c.account == bindparam("of_account"),
        outbox.c.due_at > _NOW,
    )
)
_OURS = (
    outbox.c.id == bindparam("of_id"),
    outbox.c.owner == bindparam("of_owner"),
    outbox.c.attempts == bindparam("of_attempts"),
    outbox.c.state == "sending",
)
_SETTLE = Prepared(update(outbox).where(*_OURS))


def due(conn: Connection, channel: str, account: str, now: datetime, limit: int) -> list[int]:
    """Ids of at most `limit` notices of one account that may go out now, the longest due first."""
    wanted = {"of_channel": channel, "of_account": account, "now": now, "most": limit}
    return [row.id for row in _DUE.all(conn, wanted)]


def claim(conn: Connection, ids: Sequence[int], owner: str, now: datetime) -> list[Row]:
    """Mark those of `ids` as SENDING that may still go out. To be committed before the first byte (rule 12).

    Rows that another node is claiming at this moment are left to it.
    """
    free = list(ids)
    if is_postgresql(conn):
        free = list(conn.scalars(_FREE, {"ids": free, "now": now}))
    found = conn.execute(_CLAIM, {"ids": free, "now": now, "by": owner}).mappings()
    return sorted((row_of(row) for row in found), key=lambda row: row.id)


def settle(conn: Connection, done: Settlement, now: datetime) -> bool:
    """Write down what a try came to. False when the row is no longer this owner's and this attempt's."""
    values: dict[str, Any] = {
        "state": done.state,
        "detail": done.detail[:1000],
        "fault": done.fault,
        "external_ids": list(done.external_ids) or None,
    }
    values |= {"due_at": done.due_at or now} if done.state == "waiting" else {"settled_at": now}
    if not done.tried:
        values["attempts"] = done.attempts - 1
        if done.attempts == 1:
            values["first_sending_at"] = None
    if done.moved_to:
        values["destination"] = dict(done.moved_to)
    mine = {"of_id": done.id, "of_owner": done.owner, "of_attempts": done.attempts}
    return _SETTLE.run(conn, {**values, **mine}) == 1


def abandoned(conn: Connection, owner: str) -> list[Row]:
    """Rows that are SENDING for somebody else: on one server, for a process that died."""
    statement = (
        select(outbox).where(is_one_of(outbox.c.state, "sending"), outbox.c.owner != owner).order_by(outbox.c.id)
    )
    return [row_of(row) for row in conn.execute(statement).mappings()]


def is_sending(conn: Connection, channel: str, recipient: str) -> bool:
    """Whether a notice to this person is on its way: what they say may name an id that is not stored yet (rule 11)."""
    wanted = select(outbox.c.id).where(
        is_one_of(outbox.c.state, "sending"), outbox.c.channel == channel, outbox.c.recipient == recipient
    )
    return conn.execute(wanted.limit(1)).first() is not None


def release(conn: Connection, owner: str, sending: Sequence[int]) -> int:
    """Put back rows of `owner` that it is not sending: a claim whose COMMIT seemed to fail. Returns how many."""
    statement = (
        update(outbox)
        .where(is_one_of(outbox.c.state, "sending"), outbox.c.owner == owner, outbox.c.id.not_in(sending))
        .values(state="waiting", owner=None)
    )
    return conn.execute(statement).rowcount


def next_due(conn: Connection, accounts: Sequence[tuple[str, str]], now: datetime) -> datetime | None:
    """When the next notice of these accounts becomes due after `now`; None when there is none."""
    times = [
        _NEXT_DUE.scalar(conn, {"of_channel": channel, "of_account": account, "now": now})
        for channel, account in accounts
    ]
    return min((time for time in times if time is not None), default=None)


# -- staff --------------------------------------------------------------------------------


def get(conn: Connection, row_id: int) -> Row | None:
    """One notice, or None."""
    row = conn.execute(select(outbox).where(outbox.c.id == row_id)).mappings().one_or_none()
    return None if row is None else row_of(row)


def listing(
    conn: Connection, *, state: State | None = None, ticket_id: int | None = None, after: int = 0, limit: int = 50
) -> list[Row]:
    """Notices by id, from the one after `after`; of one state or ticket where given."""
    conditions = [outbox.c.id > after]
    if state is not None:
        conditions.append(is_one_of(outbox.c.state, state))
    if ticket_id is not None:
        conditions.append(outbox.c.ticket_id == ticket_id)
    statement = select(outbox).where(*conditions).order_by(outbox.c.id).limit(limit)
    return [row_of(row) for row in conn.execute(statement).mappings()]


def of_kind(conn: Connection, kind: str, since: datetime) -> list[Row]:
    """Notices of a kind that were made at `since` or later, by id."""
    wanted = select(outbox).where(outbox.c.kind == kind, outbox.c.created_at >= since).order_by(outbox.c.id)
    return [row_of(row) for row in conn.execute(wanted).mappings()]


def retry(conn: Connection, ids: Sequence[int], now: datetime) -> list[int]:
    """Queue settled notices again, because a person says so. Returns the ids that will be tried again."""
    statement = (
        update(outbox)
        .where(outbox.c.id.in_(ids), outbox.c.state.in_(REPEATED_BY_STAFF))
        .values(state="waiting", due_at=now, attempts=0, first_sending_at=None, settled_at=None, owner=None)
        .returning(outbox.c.id)
    )
    wake(conn, "outbox")
    return sorted(conn.scalars(statement))


def correct(conn: Connection, row_id: int, before: Sequence[State], after: State, detail: str, now: datetime) -> None:
    """The far side has told since what became of a notice that is in one of these states."""
    values = {"state": after, "detail": f"reported: {detail}"[:1000], "settled_at": now}
    conn.execute(update(outbox).where(outbox.c.id == row_id, outbox.c.state.in_(before)).values(values))


def drop(conn: Connection, ids: Sequence[int], now: datetime, *, why: str) -> list[int]:
    """Give up notices that are not out, because a person says so. Returns the ids that were given up."""
    statement = (
        update(outbox)
        .where(outbox.c.id.in_(ids), outbox.c.state.in_(("waiting", "dead", "unknown", "refused", "unreachable")))
        .values(state="suppressed", settled_at=now, detail=why[:500])
        .returning(outbox.c.id)
    )
    return sorted(conn.scalars(statement))


def open_counts(conn: Connection) -> dict[str, int]:
    """How many notices are waiting, sending and dead."""
    return {
        name: conn.scalar(select(func.count()).where(is_one_of(outbox.c.state, name))) or 0
        for name in ("waiting", "sending", "dead")
    }


def overdue_accounts(conn: Connection, since: datetime) -> list[tuple[str, str]]:
    """(channel, account) of those that have waiting notices that were due, or first tried, before `since`."""
    begun = func.coalesce(outbox.c.first_sending_at, outbox.c.due_at)
    statement = (
        select(outbox.c.channel, outbox.c.account)
        .where(is_one_of(outbox.c.state, "waiting"), begun < since)
        .group_by(outbox.c.channel, outbox.c.account)
    )
    return [(row.channel, row.account) for row in conn.execute(statement)]


def row_of(row: Mapping[Any, Any]) -> Row:
    """A row of the table as a notice."""
    return Row(**row)
