"""Business time against a model that looks at every minute."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from router.hours import (
    HORIZON,
    add_business_time,
    business_between,
    intervals,
    is_open,
    next_closing,
    next_opening,
)
from router.policy import Calendar, Span
from tests.router.building import ALWAYS, HOUR, MINUTE, NEVER, ODD, WEEKDAYS, at

ZONES = (
    "UTC",
    "Europe/Kyiv",
    "Asia/Kathmandu",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "America/Havana",
    "Asia/Beirut",
)
CHANGES = {  # days on which the zones above change their clocks
    "Europe/Kyiv": ("2026-03-29", "2026-10-25"),
    "America/St_Johns": ("2026-03-08", "2026-11-01"),
    "Australia/Lord_Howe": ("2026-04-05", "2026-10-04"),
    "America/Havana": ("2026-03-08", "2026-11-01"),
    "Asia/Beirut": ("2026-03-29", "2026-10-25"),
}


@st.composite
def spans(draw: st.DrawFn) -> tuple[Span, ...]:
    marks = sorted(draw(st.sets(st.integers(0, 96), max_size=6)))
    return tuple((15 * a, 15 * b) for a, b in zip(marks[::2], marks[1::2], strict=False))


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    zone = draw(st.sampled_from(ZONES))
    near = [date.fromisoformat(text) for text in CHANGES.get(zone, ("2026-06-01",))]
    days = st.builds(lambda day, n: day + timedelta(days=n), st.sampled_from(near), st.integers(-4, 4))
    return Calendar(
        key="drawn",
        zone=zone,
        week=tuple(draw(st.lists(spans(), min_size=7, max_size=7))),
        holidays=frozenset(draw(st.sets(days, max_size=2))),
        yearly=frozenset((day.month, day.day) for day in draw(st.sets(days, max_size=1))),
        working=draw(st.dictionaries(days, spans(), max_size=2)),
    )


@st.composite
def instants(draw: st.DrawFn, calendar: Calendar) -> datetime:
    """Whole minutes within three days of a change of the clocks."""
    day = draw(st.sampled_from(CHANGES.get(calendar.zone, ("2026-06-01",))))
    return at(day) + draw(st.integers(-3 * 1440, 3 * 1440)) * MINUTE


def open_minute(calendar: Calendar, moment: datetime) -> bool:
    """The definition, written down once more and in the plainest way."""
    wall = moment.astimezone(ZoneInfo(calendar.zone))
    day = wall.date()
    if day in calendar.working:
        today = calendar.working[day]
    elif day in calendar.holidays or (day.month, day.day) in calendar.yearly:
        today = ()
    else:
        today = calendar.week[day.weekday()]
    return any(a <= wall.hour * 60 + wall.minute < b for a, b in today)


@given(st.data())
def test_open_time_is_the_count_of_open_minutes(data: st.DataObject) -> None:
    calendar = data.draw(calendars())
    start = data.draw(instants(calendar))
    length = data.draw(st.integers(0, 2 * 1440))
    counted = sum(open_minute(calendar, start + n * MINUTE) for n in range(length))
    assert business_between(calendar, start, start + length * MINUTE) == counted * MINUTE


@given(st.data())
def test_adding_finds_the_first_minute_by_which_the_time_has_passed(data: st.DataObject) -> None:
    calendar = data.draw(calendars())
    start = data.draw(instants(calendar))
    wanted = data.draw(st.integers(0, 700))
    found = add_business_time(calendar, start, wanted * MINUTE)
    moment, passed = start, 0
    while passed < wanted and moment - start < 4 * timedelta(days=1):
        passed += open_minute(calendar, moment)
        moment += MINUTE
    if passed == wanted:
        assert found == moment
    else:
        assert found is None or found > moment


@given(st.data())
def test_opening_and_closing_are_where_the_minutes_change(data: st.DataObject) -> None:
    calendar = data.draw(calendars())
    start = data.draw(instants(calendar))
    ahead = [start + n * MINUTE for n in range(2 * 1440)]
    opening = next((moment for moment in ahead if open_minute(calendar, moment)), None)
    found = next_opening(calendar, start)
    if opening is None:
        assert found is None or found >= ahead[-1] + MINUTE
        return
    assert found == opening
    assert is_open(calendar, opening)
    closing = next((m for m in ahead if m > opening and not open_minute(calendar, m)), None)
    ends = next_closing(calendar, start)
    assert ends == closing if closing is not None else ends is None or ends > ahead[-1]


@given(st.data())
def test_sums_and_order(data: st.DataObject) -> None:
    calendar = data.draw(calendars())
    start = data.draw(instants(calendar))
    one, other = (data.draw(st.integers(0, 900)) * MINUTE for _ in "ab")
    first = add_business_time(calendar, start, one)
    both = add_business_time(calendar, start, one + other)
    assume(first is not None and both is not None)
    assert first is not None and both is not None
    assert first <= both  # monotone in the amount
    assert add_business_time(calendar, first, other) == both  # additive
    assert business_between(calendar, start, both) == one + other  # the inverse
    later = add_business_time(calendar, start + HOUR, one)
    assert later is None or first <= later  # monotone in the start


@given(st.data())
def test_intervals_are_open_within_and_shut_around(data: st.DataObject) -> None:
    calendar = data.draw(calendars())
    start = data.draw(instants(calendar))
    last = None
    for begins, ends in intervals(calendar, start):
        if begins > start + timedelta(days=3):
            break
        assert begins < ends and ends > start
        assert last is None or begins >= last
        assert open_minute(calendar, begins) and open_minute(calendar, ends - MINUTE)
        last = ends


@example(2 * HOUR)
@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=60)))
def test_round_the_clock_is_the_clock_on_the_wall(amount: timedelta) -> None:
    start = at("2026-03-28 12:34")
    assert add_business_time(ALWAYS, start, amount) == start + amount
    assert business_between(ALWAYS, start, start + amount) == amount
    assert next_opening(ALWAYS, start) == start
    assert next_closing(ALWAYS, start) is None


CASES = [
    # Kyiv is UTC+2 in winter, +3 in summer
    (WEEKDAYS, "2026-11-20 15:30", HOUR, "2026-11-23 07:30"),  # Friday 17:30 -> Monday 09:30
    (WEEKDAYS, "2026-11-21 10:00", HOUR, "2026-11-23 08:00"),  # Saturday -> Monday 10:00
    (WEEKDAYS, "2026-11-23 07:00", 9 * HOUR, "2026-11-23 16:00"),  # a full day ends at closing, not next morning
    (WEEKDAYS, "2026-03-27 15:00", 2 * HOUR, "2026-03-30 07:00"),  # over the change to summer time
    (ODD, "2026-03-08 12:00", HOUR, "2026-03-08 13:00"),  # a working Sunday
]


@pytest.mark.parametrize(("calendar", "start", "amount", "due"), CASES)
def test_by_the_calendar_on_the_wall(calendar: Calendar, start: str, amount: timedelta, due: str) -> None:
    assert add_business_time(calendar, at(start), amount) == at(due)


def test_an_hour_that_comes_twice_is_open_twice_and_one_that_is_skipped_never() -> None:
    night = Calendar(key="night", zone="Europe/Kyiv", week=(((180, 240),),) * 7)  # 03:00-04:00
    assert business_between(night, at("2026-10-24 12:00"), at("2026-10-25 12:00")) == 2 * HOUR
    assert business_between(night, at("2026-03-28 12:00"), at("2026-03-29 12:00")) == timedelta(0)


def test_seconds_and_other_zones_do_not_disturb() -> None:
    start = at("2026-10-23 14:59:59.5").astimezone(ZoneInfo("Asia/Tokyo"))
    found = add_business_time(WEEKDAYS, start, HOUR)
    assert found == at("2026-10-26 07:59:59.5")
    assert found is not None and found.tzinfo is UTC


def test_a_calendar_that_never_opens() -> None:
    shut = Calendar(key="shut", zone="UTC", week=NEVER)
    start = at("2026-01-01 00:00")
    assert add_business_time(shut, start, MINUTE) is None
    assert next_opening(shut, start) is None
    assert next_closing(shut, start) is None
    assert business_between(shut, start, start + timedelta(days=1000)) == timedelta(0)
    once = Calendar(key="once", zone="UTC", week=NEVER, working={date(2026, 6, 1): ((600, 660),)})
    assert next_opening(once, start) == at("2026-06-01 10:00")
    assert next_closing(once, start) == at("2026-06-01 11:00")
    assert next_opening(once, start - timedelta(days=HORIZON)) is None


def test_open_without_a_break_for_longer_than_anybody_asks() -> None:
    nearly = Calendar(key="n", zone="UTC", week=ALWAYS.week, holidays=frozenset({date(2020, 1, 1)}))
    assert next_closing(nearly, at("2026-01-01 00:00")) is None
    assert next_closing(nearly, at("2019-12-31 10:00")) == at("2020-01-01 00:00")


def test_time_does_not_run_backwards() -> None:
    start = at("2026-11-23 10:00")
    assert business_between(WEEKDAYS, start, start - HOUR) == timedelta(0)
    with pytest.raises(ValueError, match="negative"):
        add_business_time(WEEKDAYS, start, -MINUTE)
