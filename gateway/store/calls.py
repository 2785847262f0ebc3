"""Telephone calls in the database: sync functions inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, Table, and_, bindparam, delete, func, or_, select, update

from gateway.store.dialect import add_new, insert_new, is_one_of
from gateway.store.prepared import Prepared
from gateway.store.schema import call, call_recording, call_step, entry, ticket

NO_END = "no_end"
"""Outcome of a call of which we never heard that it was over."""
UNFINISHED = "unfinished"
"""Outcome of a call that its caller left in the middle."""
UNASKED = -1
"""Step of a call in which nothing was asked yet."""

# Made once: somebody waits on the line for each of them.
_PENDING, _QUARANTINED = (is_one_of(entry.c.state, state) for state in ("pending", "quarantined"))
_CALL = Prepared(select(call).where(call.c.id == bindparam("of_call")))
_PLACE = (
    call.c.channel == bindparam("of_channel"),
    call.c.account == bindparam("of_account"),
    call.c.call == bindparam("of_call"),
)
_PLACED = Prepared(select(call).where(*_PLACE))
_LOCK = Prepared(select(call).where(*_PLACE).with_for_update())
_LOCK_KNOWN = Prepared(select(call).where(call.c.id == bindparam("of_call")).with_for_update())
_TICKET = Prepared(
    select(call.c.ticket_id, ticket.c.number)
    .outerjoin(ticket, ticket.c.id == call.c.ticket_id)
    .where(call.c.id == bindparam("of_call"))
)
_SAID = Prepared(
    select(call.c.caller, call.c.step, call_step.c.answer)
    .outerjoin(call_step, and_(call_step.c.call_id == call.c.id, call_step.c.step == bindparam("of_step")))
    .where(*_PLACE)
)
_ANSWER = Prepared(
    select(call_step.c.answer).where(
        call_step.c.call_id == bindparam("of_call"), call_step.c.step == bindparam("of_step")
    )
)
# The few entries that are pending are looked through: an index on the channel finds every call that there ever was.
_UNFILED = Prepared(
    select(entry.c.id)
    .where(_PENDING, entry.c.channel.concat("") == bindparam("of_channel"), entry.c.peer == bindparam("of_peer"))
    .where(entry.c.id <= bindparam("until"))
    .order_by(entry.c.id)
)
_WAITS = Prepared(select(entry.c.id).where(_PENDING, entry.c.id == bindparam("of_entry")))
_MINE = (call_recording.c.call_id == bindparam("of_call"), call_recording.c.recording == bindparam("of_recording"))
_RECORDING = Prepared(select(call_recording).where(*_MINE))


@lru_cache(maxsize=64)
def _changed(table: Table, names: tuple[str, ...]) -> Prepared:
    """An UPDATE of these columns of one call, or of one of its recordings."""
    mine = _MINE if table is call_recording else (call.c.id == bindparam("of_call"),)
    values = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    return Prepared(update(table).where(*mine).values(values))


def _change(conn: Connection, table: Table, key: Mapping[str, Any], columns: Mapping[str, Any]) -> None:
    new = {f"new_{name}": value for name, value in columns.items()}
    _changed(table, tuple(columns)).run(conn, {**key, **new})


def lock(
    conn: Connection, channel: str, account: str, sid: str, *, caller: str, called: str, state: Mapping[str, Any],
    now: datetime, entry_id: int | None = None,
) -> Row[Any]:  # fmt: skip
    """The call's row, made when missing (`entry_id` tells of it), locked until the transaction ends."""
    place = {"of_channel": channel, "of_account": account, "of_call": sid}
    known = _LOCK.first(conn, place)
    if known is not None:
        return known
    new = {
        "channel": channel, "account": account, "call": sid, "caller": caller[:320], "called": called[:320],
        "state": dict(state), "step": UNASKED, "outcome": "", "begun_at": now, "seconds": 0,
        "entry_id": entry_id,
    }  # fmt: skip
    insert_new(conn, call, new)
    return _LOCK.one(conn, place)


def change(conn: Connection, call_id: int, **columns: Any) -> None:
    """Set columns of a call."""
    _change(conn, call, {"of_call": call_id}, columns)


def get(conn: Connection, call_id: int) -> Row[Any]:
    """The call's row. Raises NoResultFound."""
    return _CALL.one(conn, {"of_call": call_id})


def lock_known(conn: Connection, call_id: int) -> Row[Any]:
    """The call's row, locked until the transaction ends. Raises NoResultFound."""
    return _LOCK_KNOWN.one(conn, {"of_call": call_id})


def ticket_of(conn: Connection, call_id: int) -> tuple[int | None, str]:
    """(id, number) of the call's ticket as of now; (None, "") while it has none. Raises NoResultFound."""
    row = _TICKET.one(conn, {"of_call": call_id})
    return row.ticket_id, row.number or ""


def find(conn: Connection, channel: str, account: str, sid: str) -> Row[Any] | None:
    """The call's row, or None."""
    return _PLACED.first(conn, {"of_channel": channel, "of_account": account, "of_call": sid})


def known(conn: Connection, channel: str, account: str, sids: Sequence[str]) -> frozenset[str]:
    """Those of these calls that have a row, or of which something waits to be filed, or could not be."""
    if not sids:
        return frozenset()
    filed = select(call.c.call).where(call.c.channel == channel, call.c.account == account, call.c.call.in_(sids))
    found = frozenset(conn.scalars(filed))
    for state in (_PENDING, _QUARANTINED):
        # As above: not by the index on the channel.
        held = select(entry.c.peer).where(state, entry.c.channel.concat("") == channel, entry.c.peer.in_(sids))
        found |= frozenset(conn.scalars(held))
    return found


def has_come(conn: Connection, channel: str, account: str, number: str) -> bool:
    """Is there a call to this number?"""
    place = (call.c.channel == channel, call.c.account == account, call.c.called == number)
    return conn.execute(select(call.c.id).where(*place).limit(1)).first() is not None


def answer(conn: Connection, call_id: int, step: int) -> Mapping[str, Any] | None:
    """What this step was answered; None: it was not."""
    found: Mapping[str, Any] | None = _ANSWER.scalar(conn, {"of_call": call_id, "of_step": step})
    return found


def said(conn: Connection, channel: str, account: str, sid: str, step: int) -> Row[Any] | None:
    """Who calls (`caller`), the last step that was answered (`step`), and what this one was (`answer`, None: it was
    not); None for a call that nobody knows."""
    return _SAID.first(conn, {"of_channel": channel, "of_account": account, "of_call": sid, "of_step": step})


def keep_answer(conn: Connection, call_id: int, step: int, said: Mapping[str, Any], now: datetime) -> None:
    """Remember what a step was answered; the first answer stays."""
    add_new(conn, call_step, {"call_id": call_id, "step": step, "answer": dict(said), "at": now})


# -- recordings ---------------------------------------------------------------------------


def add_recording(conn: Connection, call_id: int, recording: str, *, source: str, seconds: int, now: datetime) -> bool:
    """False when it is known already."""
    row = {"call_id": call_id, "recording": recording, "source": source, "seconds": seconds, "at": now}
    return add_new(conn, call_recording, row)


def recording_of(conn: Connection, call_id: int, recording: str) -> Row[Any] | None:
    """What is known of a recording, or None."""
    return _RECORDING.first(conn, {"of_call": call_id, "of_recording": recording})


def change_recording(conn: Connection, call_id: int, recording: str, **columns: Any) -> None:
    """Set columns of a recording."""
    _change(conn, call_recording, {"of_call": call_id, "of_recording": recording}, columns)


def about_ticket(conn: Connection, ticket_id: int) -> Row[Any] | None:
    """The call that opened this ticket; None where none did."""
    return conn.execute(select(call).where(call.c.ticket_id == ticket_id).order_by(call.c.id).limit(1)).one_or_none()


def first_words(conn: Connection, call_id: int) -> int | None:
    """The message in which the caller speaks first; None: nothing was recorded."""
    first = select(func.min(call_recording.c.message_id)).where(call_recording.c.call_id == call_id)
    found: int | None = conn.scalar(first)
    return found


# -- calls that are over ------------------------------------------------------------------


def without_end(conn: Connection, *, before: datetime, limit: int = 100) -> Sequence[int]:
    """Calls begun before `before` that go on as far as we know: nobody told us of an end, and nothing closed them."""
    open_ = (call.c.outcome == "", call.c.ended_at.is_(None), call.c.begun_at < before)
    return list(conn.scalars(select(call.c.id).where(*open_).order_by(call.c.id).limit(limit)))


def untold(
    conn: Connection, channel: str, account: str, *, after: datetime, before: datetime, limit: int
) -> list[tuple[int, str]]:
    """(id, call) of those begun between the two of which we heard no end, or whose caller left while we were to hear
    something, and which the provider was not asked about; the oldest first."""
    place = (call.c.channel == channel, call.c.account == account, call.c.begun_at > after, call.c.begun_at <= before)
    unheard = or_(call.c.ended_at.is_(None), call.c.outcome == UNFINISHED)
    wanted = select(call.c.id, call.c.call).where(*place, unheard, call.c.recalled_at.is_(None))
    return [(row.id, row.call) for row in conn.execute(wanted.order_by(call.c.begun_at, call.c.id).limit(limit))]


def recalled(conn: Connection, call_id: int, now: datetime) -> None:
    """The provider was asked what became of it."""
    conn.execute(update(call).where(call.c.id == call_id).values(recalled_at=now))


def drop(conn: Connection, *, before: datetime, limit: int = 200) -> int:
    """Forget calls that were over before `before`, with what their requests were answered and what was recorded.

    Returns how many: repeat until 0. Raw bytes that could be filed again must be gone by then, or a replay would take
    them for another call.
    """
    last = func.coalesce(call.c.ended_at, call.c.begun_at)
    ids = list(conn.scalars(select(call.c.id).where(last < before, call.c.outcome != "").limit(limit)))
    for table in (call_step, call_recording):
        conn.execute(delete(table).where(table.c.call_id.in_(ids)))
    return conn.execute(delete(call).where(call.c.id.in_(ids))).rowcount


def unfiled(conn: Connection, channel: str, peer: str, until: int) -> Sequence[int]:
    """Entries of a call that wait to be filed, up to this one, in order."""
    rows = _UNFILED.all(conn, {"of_channel": channel, "of_peer": peer, "until": until})
    return [row.id for row in rows]


def waits(conn: Connection, entry_id: int) -> bool:
    """This entry is still to be filed."""
    return bool(_WAITS.all(conn, {"of_entry": entry_id}))
