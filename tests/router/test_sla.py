"""Deadlines against a model that walks through the history minute by minute, and reasons that hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.assignment import Deadline, Deadlines
from router.hours import is_open
from router.policy import Policy, Terms
from router.sla import Moment, deadlines
from tests.router.building import ALWAYS, HOUR, MINUTE, ODD, WEEKDAYS, at, contract, policy

OPENED = at("2026-11-20 14:00")  # a Friday, 16:00 in Kyiv
POLICY = policy()


def opened(moment: datetime = OPENED, class_: int | None = 4, key: str | None = "acme") -> Moment:
    return Moment(at=moment, kind="opened", data={"class": class_, "contract": key})


def said(kind: str, minutes: int, **data: object) -> Moment:
    return Moment(at=OPENED + minutes * MINUTE, kind=kind, data=data)  # type: ignore[arg-type]  # drawn by name


def due(*history: Moment, by: Policy = POLICY) -> tuple[datetime | None, datetime | None]:
    found = deadlines(history, by)
    return found.reaction.due, found.resolution.due


# -- the minute-by-minute model -----------------------------------------------------------


def model(history: Sequence[Moment], amount: timedelta, calendar_key: str, *, waits: bool) -> datetime | None:
    """When the clock runs out: a minute counts when the calendar is open and nothing stops the clock."""
    calendar = POLICY.calendars[calendar_key]
    moments = sorted(history, key=lambda moment: moment.at)
    begins = next(moment.at for moment in moments if moment.kind == "opened")
    last = max(moments[-1].at, begins)
    now, left = begins, amount // MINUTE
    waiting = done = False
    while True:
        while moments and max(moments[0].at, begins) <= now:
            kind = moments.pop(0).kind
            done = kind in ("resolved", "closed") or (done and kind not in ("reopened", "waiting"))
            waiting = kind == "waiting" or (waiting and kind not in ("resumed", "reopened", "resolved", "closed"))
        stopped = done or (waits and waiting)
        if left == 0 and now >= last:
            return None if stopped else now
        if stopped and now >= last:
            return None
        if not stopped and left and is_open(calendar, now):
            left -= 1
            if left == 0:
                ran_out = now + MINUTE
                return ran_out if not _stops_later(moments, begins, done, waiting, waits) else None
        now += MINUTE


def _stops_later(moments: Sequence[Moment], begins: datetime, done: bool, waiting: bool, waits: bool) -> bool:
    for moment in moments:
        kind = moment.kind
        done = kind in ("resolved", "closed") or (done and kind not in ("reopened", "waiting"))
        waiting = kind == "waiting" or (waiting and kind not in ("resumed", "reopened", "resolved", "closed"))
    return done or (waits and waiting)


KINDS = st.sampled_from(["waiting", "resumed", "resolved", "reopened", "closed"])
HISTORIES = st.lists(st.tuples(st.integers(0, 5 * 1440), KINDS), max_size=6).map(
    lambda drawn: [opened(), *(said(kind, minutes) for minutes, kind in drawn)]
)


@given(HISTORIES, st.integers(1, 20 * 60), st.sampled_from(["weekdays", "always", "odd"]))
def test_resolution_runs_out_when_the_open_unpaused_minutes_are_used_up(
    history: list[Moment], minutes: int, calendar: str
) -> None:
    terms = {4: Terms(resolution=minutes * MINUTE, calendar=calendar)}
    found = deadlines(history, policy(contract(terms=terms))).resolution
    assert found.due == model(history, minutes * MINUTE, calendar, waits=True)
    assert (found.due is None) == (found.paused or found.met_at is not None)


@given(HISTORIES, st.integers(1, 20 * 60), st.sampled_from(["weekdays", "always", "odd"]))
def test_reaction_waits_for_nobody_but_a_resolved_ticket(history: list[Moment], minutes: int, calendar: str) -> None:
    terms = {4: Terms(reaction=minutes * MINUTE, calendar=calendar)}
    found = deadlines(history, policy(contract(terms=terms))).reaction
    assert found.due == model(history, minutes * MINUTE, calendar, waits=False)


@given(HISTORIES, st.integers(0, 5 * 1440), st.integers(0, 600))
def test_a_pause_said_twice_is_one_pause(history: list[Moment], minutes: int, length: int) -> None:
    pause, end = said("waiting", minutes), said("resumed", minutes + length)
    again = said("waiting", minutes + length // 2)
    if any(minutes <= (m.at - OPENED) // MINUTE <= minutes + length for m in history[1:]):
        return
    assert due(*history, pause, end) == due(*history, pause, again, end)
    assert due(*history, pause, end) == due(*history, pause, pause, end, end)


@given(HISTORIES, st.randoms(use_true_random=False))
def test_the_order_of_recording_does_not_matter_where_times_differ(history: list[Moment], random: object) -> None:
    by_time = {moment.at: moment for moment in history}
    by_time[OPENED] = history[0]
    once = list(by_time.values())
    shuffled = list(once)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a hypothesis Random
    assert deadlines(once, POLICY) == deadlines(shuffled, POLICY)


@given(st.integers(0, 5000), st.integers(1, 5000))
def test_a_longer_pause_never_brings_the_end_nearer(start: int, length: int) -> None:
    shorter = due(opened(), said("waiting", start), said("resumed", start + length))[1]
    longer = due(opened(), said("waiting", start), said("resumed", start + length + 30))[1]
    assert shorter is not None and longer is not None
    assert due(opened())[1] <= shorter <= longer  # type: ignore[operator]  # never None here


@given(st.integers(0, 14 * 1440), st.integers(0, 600))
def test_opened_later_is_due_later_or_at_the_same_time(start: int, later: int) -> None:
    one = due(opened(OPENED + start * MINUTE))
    other = due(opened(OPENED + (start + later) * MINUTE))
    assert all(a is not None and b is not None and a <= b for a, b in zip(one, other, strict=True))


# -- single promises ----------------------------------------------------------------------


def test_clocks_start_at_the_next_opening() -> None:
    assert due(opened(at("2026-11-21 10:00"))) == (at("2026-11-23 07:30"), at("2026-11-23 13:00"))
    assert due(opened()) == (at("2026-11-20 14:30"), at("2026-11-23 11:00"))


def test_only_a_person_answers() -> None:
    assert deadlines([opened(), said("class", 5, **{"class": 4}), said("waiting", 6)], POLICY).reaction.due
    met = deadlines([opened(), said("staff_answer", 20), said("staff_answer", 40)], POLICY).reaction
    assert (met.due, met.met_at) == (None, OPENED + 20 * MINUTE)
    late = deadlines([opened(), said("staff_answer", 4000)], POLICY).reaction
    assert late.met_at == OPENED + 4000 * MINUTE
    assert "due 2026-11-20 14:30 UTC" in late.because[-1].detail


def test_a_resolution_with_a_result_is_an_answer_and_one_without_only_stops_the_clock() -> None:
    told = deadlines([opened(), said("resolved", 10, result="Restarted.")], POLICY)
    assert told.reaction.met_at == told.resolution.met_at == OPENED + 10 * MINUTE
    silent = deadlines([opened(), said("resolved", 10)], POLICY)
    assert (silent.reaction.due, silent.reaction.met_at, silent.reaction.paused) == (None, None, True)


def test_waiting_stops_resolution_only_and_the_answer_shifts_it() -> None:
    waits = deadlines([opened(), said("waiting", 60)], POLICY)
    assert waits.resolution == dataclasses.replace(waits.resolution, due=None, paused=True)
    assert waits.reaction.due == at("2026-11-20 14:30")
    # Friday 17:00 to Monday 10:00 local: two open hours of pause
    assert due(opened(), said("waiting", 60), Moment(at=at("2026-11-23 08:00"), kind="resumed"))[1] == at(
        "2026-11-23 13:00"
    )


def test_a_reopened_ticket_goes_on_with_what_was_left() -> None:
    history = [opened(), said("resolved", 60), Moment(at=at("2026-11-23 10:00"), kind="reopened")]
    assert due(*history)[1] == at("2026-11-23 15:00")
    closed = deadlines([opened(), said("resolved", 60), said("closed", 90)], POLICY)
    assert closed.resolution.met_at == OPENED + 60 * MINUTE


def test_a_change_of_class_counts_from_the_beginning() -> None:
    changed = deadlines([opened(class_=5), said("class", 30, **{"class": 3})], POLICY)
    assert (changed.class_, changed.reaction.due) == (3, OPENED + 15 * MINUTE)
    assert due(opened(class_=5), said("class", 30, **{"class": 3})) == due(opened(class_=3))


def test_a_change_of_contract_counts_from_the_beginning() -> None:
    other = contract("other", domains=("other.example",), terms={4: Terms(reaction=10 * HOUR)})
    both = policy(contract(), other)
    assert due(opened(), said("contract", 30, contract="other"), by=both) == due(opened(key="other"), by=both)
    assert due(opened(), said("contract", 30, contract=None), by=both) == (None, None)
    assert due(opened(key=None), said("contract", 30, contract="acme"), by=both) == due(opened(), by=both)


def test_while_the_class_is_open_the_strictest_deadline_runs() -> None:
    found = deadlines([opened(class_=None)], POLICY)
    assert (found.class_, found.reaction.due, found.resolution.due) == (3, OPENED + 15 * MINUTE, OPENED + 4 * HOUR)
    for class_ in (1, 2, 3, 4, 5):
        for mine, strict in zip(due(opened(class_=class_)), due(opened(class_=None)), strict=True):
            assert mine is not None and strict is not None and strict <= mine
    # on a working morning class 3's calendar is no shorter, but its time is
    weekdays_only = policy(contract(terms={4: Terms(reaction=HOUR), 5: Terms(resolution=2 * HOUR)}))
    found = deadlines([opened(class_=None)], weekdays_only)
    assert found.reaction.due == OPENED + HOUR and found.resolution.due == OPENED + 2 * HOUR


def test_what_is_not_covered_or_not_promised_has_no_deadline() -> None:
    for history, cause, detail in [
        ([opened(key=None)], "contract:none", "no contract"),
        ([opened(key="gone")], "contract:none", "no contract"),
        ([opened(class_=6)], "contract:acme", "not covered"),
    ]:
        found = deadlines(history, POLICY)
        for clock in (found.reaction, found.resolution):
            assert clock.due is None and not clock.paused
            assert clock.because[0].cause == cause and detail in clock.because[0].detail
    nothing = deadlines([opened(class_=None)], policy(contract(terms={})))
    assert nothing.reaction.because[0].detail == "class open: no promised time"
    lost = deadlines([opened()], policy(contract(calendar="lost")))
    assert lost == deadlines([opened()], policy(contract(calendar="lost"))) and lost.reaction.due is None


def test_an_answer_is_kept_without_a_promise() -> None:
    found = deadlines([opened(key=None), said("staff_answer", 10), said("resolved", 20)], POLICY)
    assert (found.reaction.met_at, found.resolution.met_at) == (OPENED + 10 * MINUTE, OPENED + 20 * MINUTE)


def test_moments_before_the_opening_count_as_at_it() -> None:
    early = deadlines([said("waiting", -100), opened(), said("resumed", 30)], POLICY)
    assert early.resolution == deadlines([opened(), said("waiting", 0), said("resumed", 30)], POLICY).resolution


def test_a_history_begins_somewhere() -> None:
    with pytest.raises(ValueError, match="opened"):
        deadlines([said("waiting", 1)], POLICY)


# -- because: take the named cause away and something else comes out -----------------------


def causes(found: Deadline) -> set[str]:
    return {reason.cause for reason in found.because}


def outcome(found: Deadline) -> tuple[object, ...]:
    return found.due, found.met_at, found.paused


def flipped(cause: str, history: list[Moment], by: Policy) -> Deadlines:
    """The same case without the cause."""
    kind, _, key = cause.partition(":")
    if kind == "contract":
        return deadlines([opened(m.at, m.data["class"], None) if m.kind == "opened" else m for m in history], by)
    if kind == "class":
        other = 5 if key == "open" else 6
        return deadlines([opened(m.at, other, m.data["contract"]) if m.kind == "opened" else m for m in history], by)
    if kind == "calendar":
        always = dataclasses.replace(ALWAYS, key=key)
        return deadlines(history, dataclasses.replace(by, calendars={**by.calendars, key: always}))
    return deadlines([m for m in history if m.kind != kind and (m.kind, kind) != ("closed", "resolved")], by)


@given(HISTORIES, st.integers(0, 14 * 1440), st.sampled_from([None, 1, 3, 4, 5, 6]), st.booleans())
def test_every_cause_named_is_one(history: list[Moment], start: int, class_: int | None, answered: bool) -> None:
    begins = OPENED + start * MINUTE
    moved = [opened(begins, class_), *(dataclasses.replace(m, at=m.at + start * MINUTE) for m in history[1:])]
    if answered:
        moved.append(Moment(at=begins + 10 * MINUTE, kind="staff_answer"))
    found = deadlines(moved, POLICY)
    for what in ("reaction", "resolution"):
        clock: Deadline = getattr(found, what)
        assert clock.because, "no deadline without a reason"
        for reason in clock.because:
            assert reason.what == what
            if reason.cause == "contract:none" or clock.due is None:
                continue  # what was met or stands still is compared below
            other: Deadline = getattr(flipped(reason.cause, moved, POLICY), what)
            assert outcome(other) != outcome(clock), reason


@pytest.mark.parametrize(
    ("what", "cause", "history"),
    [
        ("reaction", "staff_answer", [opened(), said("staff_answer", 5)]),
        ("resolution", "resolved", [opened(), said("resolved", 5)]),
        ("reaction", "resolved", [opened(), said("resolved", 5)]),
        ("resolution", "waiting", [opened(), said("waiting", 5)]),
        ("resolution", "waiting", [opened(), said("waiting", 5), said("resumed", 65)]),
        ("reaction", "calendar:weekdays", [opened(at("2026-11-21 10:00"))]),
        ("resolution", "calendar:weekdays", [opened()]),
        ("reaction", "class:open", [opened(class_=None)]),
    ],
)
def test_the_cause_is_named(what: str, cause: str, history: list[Moment]) -> None:
    found: Deadline = getattr(deadlines(history, POLICY), what)
    assert cause in causes(found)
    assert outcome(getattr(flipped(cause, history, POLICY), what)) != outcome(found)


def test_no_calendar_is_named_where_it_changes_nothing() -> None:
    found = deadlines([opened(at("2026-11-20 10:00"))], POLICY)
    assert "calendar:weekdays" not in causes(found.reaction)
    assert {one.key for one in (WEEKDAYS, ODD)} <= set(POLICY.calendars)


def test_the_last_word_on_the_class_counts() -> None:
    changed = [opened(class_=5), said("class", 30, **{"class": 3}), said("class", 60, **{"class": 4})]
    assert due(*changed) == due(opened(class_=4))


def test_the_strictest_is_the_shortest_whatever_its_class() -> None:
    terms = {3: Terms(reaction=4 * HOUR), 2: Terms(reaction=HOUR), 6: Terms(reaction=2 * HOUR)}
    found = deadlines([opened(class_=None)], policy(contract(calendar="always", terms=terms)))
    assert (found.class_, found.reaction.due) == (2, OPENED + HOUR)
