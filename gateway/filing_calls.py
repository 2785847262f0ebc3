"""A telephone call, one request at a time: what the step says is done, and what the caller hears is kept.

Everything of a request is one transaction with the answer to it, so a call goes on after a restart, and a request that
comes again is answered as before. Caller ids prove nothing: they tell at most when a ticket came and where it stands.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from gateway import call_answers, call_facts, call_transcripts, call_words, rating_calls
from gateway.call_tickets import Turn
from gateway.context import Context
from gateway.dialogs import ivr_states as ivr
from gateway.dialogs.ivr import left_behind, step
from gateway.facts import desk_name
from gateway.filing_case import Filed
from gateway.filing_robots import may_wait, put_back
from gateway.store import calls
from gateway.store.journal import Entry
from normalizer.call import Ended, Recorded, Transcribed
from normalizer.message import CallEvent

OUTCOMES = 10
"""Outcomes of one request; each step has one at most, and none leads back."""
LISTENS = ("recording", "comment")
"""Where a recording is expected."""
_FIRST = ivr.as_json(ivr.State())


def file_call(conn: Connection, ctx: Context, entry: Entry, event: CallEvent, now: datetime) -> Filed:
    """File one request of a call; doing it again changes nothing. Raises Conflict."""
    raw, caller = entry.raw, call_facts.caller_of(event)
    if event.aside and rating_calls.is_under_way(conn, raw.channel, raw.account, event) and may_wait(entry, now):
        return put_back(conn, entry, now)
    row = calls.lock(
        conn, raw.channel, raw.account, event.call, caller=caller, called=event.called,
        state=_FIRST, now=_begun(raw.received_at, event), entry_id=entry.id,
    )  # fmt: skip
    if row.caller != caller and not event.aside:
        if row.step != calls.UNASKED or not call_facts.is_hidden(row.caller):
            return Filed(kind="ignored", because="a call of somebody else")
        # What was told beside it came first, and does not always say who calls.
        calls.change(conn, row.id, caller=caller)
        row = calls.get(conn, row.id)
    turn = Turn(conn=conn, ctx=ctx, entry=entry, event=event, call=row, now=now)
    because = _aside(turn) if event.aside else _asked(turn)
    ticket_id, number = turn.ticket()
    return Filed(kind="call", ticket_id=ticket_id, number=number, because=because)


def _begun(at: datetime, event: CallEvent) -> datetime:
    """When the call began of which this is told at `at`: the end may be the first that we hear of it."""
    return at - timedelta(seconds=event.happening.seconds) if isinstance(event.happening, Ended) else at


def _aside(turn: Turn) -> str:
    """What is told beside the conversation, in any order and repeated."""
    happening = turn.event.happening
    if isinstance(happening, Recorded):
        return "" if turn.keep_recording(ivr.from_json(turn.call.state)) else "known already"
    if isinstance(happening, Transcribed):
        # It may be the first that we hear of its recording.
        turn.keep_recording(ivr.from_json(turn.call.state))
        return call_transcripts.write_down(turn, happening)
    if not isinstance(happening, Ended) or turn.call.ended_at is not None:
        return "known already"
    calls.change(turn.conn, turn.call.id, ended_at=turn.entry.raw.received_at, seconds=happening.seconds)
    state = is_over(turn)
    if turn.call.outcome == calls.NO_END:
        turn.do(state, ivr.Close(reason=left_behind(state)))
    turn.tell_length(happening.seconds)
    if turn.event.ours:
        turn.settle_notice(happening)
    return ""


def is_over(turn: Turn) -> ivr.State:
    """Let the call end as it stands. Returns its last state."""
    state, _ = _carried_out(turn, *_stepped(turn, ivr.from_json(turn.call.state), turn.event.happening))
    return state


def _asked(turn: Turn) -> str:
    """The line waits for what comes next."""
    event, call = turn.event, turn.call
    # An answer is kept in one transaction with its step.
    if event.step <= call.step and calls.answer(turn.conn, call.id, event.step) is not None:
        return "repeated"
    state = ivr.from_json(call.state)
    if event.step != call.step + 1:
        # Whatever it is, nobody's words are lost.
        turn.keep_recording(state)
        return "out of turn"
    happening = event.happening
    if event.step == 0:
        turn.keep_recording(state)
        heard: Any = call_facts.known(turn)
    else:
        if isinstance(happening, Recorded) and happening.recording:
            if state.node == "over":
                turn.keep_recording(state)
            elif state.node not in LISTENS:
                # We could not answer for a moment, and the caller was recorded.
                state = replace(state, node="recording")
        heard = happening
    state, wire = _carried_out(turn, *_stepped(turn, state, heard), step=event.step)
    language = state.language or turn.plan.languages[0]
    account = turn.ctx.settings.account(call.channel, call.account)
    said = call_words.act(wire, turn.ctx.texts, language=language, desk=desk_name(turn.ctx, account))
    calls.keep_answer(turn.conn, call.id, event.step, call_answers.as_json(said), turn.now)
    return ""


def _stepped(turn: Turn, state: ivr.State, event: Any) -> tuple[ivr.State, tuple[ivr.Action, ...]]:
    return step(turn.plan, state, event)


def _carried_out(
    turn: Turn, state: ivr.State, actions: tuple[ivr.Action, ...], **columns: int
) -> tuple[ivr.State, ivr.Wire]:
    """Do what was decided, and what its outcomes lead to; keep where the call stands then, with more columns of it.
    Returns what the caller hears."""
    wire: ivr.Wire = ivr.Bye()
    for _ in range(OUTCOMES):
        outcome: ivr.Event | None = None
        for action in actions:
            match action:
                case ivr.Ask() | ivr.Listen() | ivr.Ring() | ivr.Bye():
                    wire = action
                case _:
                    outcome = turn.do(state, action)
        if outcome is None:
            break
        state, actions = step(turn.plan, state, outcome)
    calls.change(turn.conn, turn.call.id, state=ivr.as_json(state), **columns)
    return state, wire
