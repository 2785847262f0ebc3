"""Telephone calls in the database: sync functions inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, select, update

from gateway.store.dialect import add_new, insert_new, is_one_of
from gateway.store.prepared import Prepared
from gateway.store.schema import call, call_recording, call_step, entry

NO_END = "no_end"
"""Outcome of a call of which we never heard that it was over."""
UNASKED = -1
"""Step of a call in which nothing was asked yet."""

# Made once: somebody waits on the line for each of them.
_PENDING = is_one_of(entry.c.state, "pending")
_CALL = Prepared(select(call).where(call.c.id == bindparam("of_call")))
_PLACED = Prepared(
    select(call).where(
        call.c.channel == bindparam("of_channel"),
        call.c.account == bindparam("of_account"),
        call.c.call == bindparam("of_call"),
    )
)
_ANSWER = Prepared(
    select(call_step.c.answer).where(
        call_step.c.call_id == bindparam("of_call"), call_step.c.step == bindparam("of_step")
    )
)
_UNFILED = Prepared(
    select(entry.c.id)
    .where(_PENDING, entry.c.channel == bindparam("of_channel"), entry.c.peer == bindparam("of_peer"))
    .where(entry.c.id <= bindparam("until"))
    .order_by(entry.c.id)
)
_WAITS = Prepared(select(entry.c.id).where(_PENDING, entry.c.id == bindparam("of_entry")))


def lock(
    conn: Connection, channel: str, account: str, sid: str, *, caller: str, called: str, state: Mapping[str, Any],
    now: datetime, entry_id: int | None = None,
) -> Row[Any]:  # fmt: skip
    """The call's row, made when missing (`entry_id` tells of it), locked until the transaction ends."""
    new = {
        "channel": channel, "account": account, "call": sid, "caller": caller[:320], "called": called[:320],
        "state": dict(state), "step": UNASKED, "outcome": "", "begun_at": now, "seconds": 0,
        "entry_id": entry_id,
    }  # fmt: skip
    insert_new(conn, call, new)
    place = (call.c.channel == channel, call.c.account == account, call.c.call == sid)
    return conn.execute(select(call).where(*place).with_for_update()).one()


def change(conn: Connection, call_id: int, **columns: Any) -> None:
    """Set columns of a call."""
    conn.execute(update(call).where(call.c.id == call_id).values(columns))


def get(conn: Connection, call_id: int) -> Row[Any]:
    """The call's row. Raises NoResultFound."""
    return _CALL.one(conn, {"of_call": call_id})


def lock_known(conn: Connection, call_id: int) -> Row[Any]:
    """The call's row, locked until the transaction ends. Raises NoResultFound."""
    return conn.execute(select(call).where(call.c.id == call_id).with_for_update()).one()


def find(conn: Connection, channel: str, account: str, sid: str) -> Row[Any] | None:
    """The call's row, or None."""
    return _PLACED.first(conn, {"of_channel": channel, "of_account": account, "of_call": sid})


def answer(conn: Connection, call_id: int, step: int) -> Mapping[str, Any] | None:
    """What this step was answered; None: it was not."""
    found: Mapping[str, Any] | None = _ANSWER.scalar(conn, {"of_call": call_id, "of_step": step})
    return found


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
    mine = (call_recording.c.call_id == call_id, call_recording.c.recording == recording)
    return conn.execute(select(call_recording).where(*mine)).one_or_none()


def change_recording(conn: Connection, call_id: int, recording: str, **columns: Any) -> None:
    """Set columns of a recording."""
    mine = (call_recording.c.call_id == call_id, call_recording.c.recording == recording)
    conn.execute(update(call_recording).where(*mine).values(columns))


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
