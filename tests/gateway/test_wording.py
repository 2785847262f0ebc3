"""Times and opening hours in people's words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import wording
from router.policy import Calendar, Span

NOW = datetime(2025, 11, 20, 9, 2, 31, tzinfo=UTC)
"""Thursday, 11:02:31 in Kyiv."""
KYIV = "Europe/Kyiv"
DAY = ((540, 1080),)


def at(text: str, zone: str = KYIV) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


DUE = [
    ("2025-11-20T11:08", "в течение нескольких минут", "протягом кількох хвилин", "within a few minutes"),
    ("2025-11-20T15:00", "сегодня до 15:00", "сьогодні до 15:00", "by 15:00 today"),
    ("2025-11-20T14:58:31", "сегодня до 14:55", "сьогодні до 14:55", "by 14:55 today"),
    ("2025-11-21T10:00", "завтра до 10:00", "завтра до 10:00", "by 10:00 tomorrow"),
    ("2025-11-21T09:05", "завтра до 9:05", "завтра до 9:05", "by 9:05 tomorrow"),
    (
        "2025-11-24T15:00",
        "в понедельник, 24 ноября, до 15:00",
        "у понеділок, 24 листопада, до 15:00",
        "by 15:00 on Monday, 24 November",
    ),
    (
        "2025-11-25T12:30",
        "во вторник, 25 ноября, до 12:30",
        "у вівторок, 25 листопада, до 12:30",
        "by 12:30 on Tuesday, 25 November",
    ),
    (
        "2025-12-05T18:00",
        "в пятницу, 5 декабря, до 18:00",
        "у п’ятницю, 5 грудня, до 18:00",
        "by 18:00 on Friday, 5 December",
    ),
    ("2025-11-21T00:00", "сегодня до полуночи", "сьогодні до опівночі", "by midnight today"),
    ("2025-11-22T00:03", "завтра до полуночи", "завтра до опівночі", "by midnight tomorrow"),
    (
        "2026-09-16T12:00",
        "в среду, 16 сентября 2026 года, до 12:00",
        "у середу, 16 вересня 2026 року, до 12:00",
        "by 12:00 on Wednesday, 16 September 2026",
    ),
]


@pytest.mark.parametrize(("when", "ru", "uk", "en"), DUE, ids=[row[0] for row in DUE])
def test_due(when: str, ru: str, uk: str, en: str) -> None:
    found = [wording.due(language, at(when), NOW, KYIV) for language in ("ru", "uk", "en")]
    assert found == [ru, uk, en]


SHORT = [
    ("2025-11-20T15:02", "сегодня до 15:00", "сьогодні до 15:00", "by 15:00 today"),
    ("2025-11-24T15:00", "24.11 до 15:00", "24.11 до 15:00", "by 15:00 24 Nov"),
    ("2025-12-05T09:00", "05.12 до 9:00", "05.12 до 9:00", "by 9:00 5 Dec"),
]


@pytest.mark.parametrize(("when", "ru", "uk", "en"), SHORT)
def test_due_short(when: str, ru: str, uk: str, en: str) -> None:
    found = [wording.due_short(language, at(when), NOW, KYIV) for language in ("ru", "uk", "en")]
    assert found == [ru, uk, en]


WINDOWS = [
    ("2025-11-24T10:00", "2025-11-24T12:00", "24.11 10:00-12:00", "24 Nov 10:00-12:00"),
    ("2025-12-05T09:30", "2025-12-06T18:00", "05.12 9:30 - 06.12 18:00", "5 Dec 9:30 - 6 Dec 18:00"),
]


@pytest.mark.parametrize(("start", "end", "ru", "en"), WINDOWS)
def test_window_short(start: str, end: str, ru: str, en: str) -> None:
    found = [wording.window_short(language, at(start), at(end), KYIV) for language in ("ru", "uk", "en")]
    assert found == [ru, ru, en]


def test_the_zone_is_named_when_the_readers_clock_differs() -> None:
    when = at("2025-11-20T15:00")
    assert wording.due("ru", when, NOW, KYIV, "Europe/Warsaw") == "сегодня до 15:00 по киевскому времени"
    assert wording.due("uk", when, NOW, KYIV, "Europe/Warsaw") == "сьогодні до 15:00 за київським часом"
    assert wording.due("en", when, NOW, KYIV, "Europe/Warsaw") == "by 15:00 (Kyiv time) today"
    # Another name for a clock that shows the same is not worth saying.
    assert wording.due("ru", when, NOW, KYIV, "Europe/Helsinki") == "сегодня до 15:00"
    assert wording.due("en", when, NOW, "Asia/Kathmandu", KYIV) == "by 18:45 (UTC+5:45) today"
    assert wording.due("en", when, NOW, "UTC", KYIV) == "by 13:00 (UTC) today"


def test_today_is_of_the_zone_that_is_shown() -> None:
    late = datetime(2025, 11, 20, 22, 30, tzinfo=UTC)  # the 21st, half past midnight in Kyiv
    when = datetime(2025, 11, 21, 8, 0, tzinfo=UTC)
    assert wording.due("en", when, late, KYIV) == "by 10:00 today"
    assert wording.due("en", when, late, "UTC") == "by 8:00 tomorrow"


WINDOWS = [
    ("2025-11-20T14:00", "2025-11-20T16:30", "сегодня с 14:00 до 16:30", "today between 14:00 and 16:30"),
    ("2025-11-21T09:00", "2025-11-21T10:00", "завтра с 9:00 до 10:00", "tomorrow between 9:00 and 10:00"),
    (
        "2025-11-24T10:00",
        "2025-11-24T12:00",
        "в понедельник, 24 ноября, с 10:00 до 12:00",
        "on Monday, 24 November, between 10:00 and 12:00",
    ),
    (
        "2025-11-24T22:00",
        "2025-11-25T02:00",
        "с 24 ноября, 22:00 до 25 ноября, 2:00",
        "between 24 November, 22:00 and 25 November, 2:00",
    ),
]


@pytest.mark.parametrize(("start", "end", "ru", "en"), WINDOWS)
def test_windows(start: str, end: str, ru: str, en: str) -> None:
    assert wording.window("ru", at(start), at(end), NOW, KYIV) == ru
    assert wording.window("en", at(start), at(end), NOW, KYIV) == en


def week(*days: tuple[Span, ...]) -> Calendar:
    return Calendar(key="test", zone=KYIV, week=(*days, *((),) * (7 - len(days))))


HOURS = [
    (week(*(DAY,) * 5), "по будням с 9:00 до 18:00", "у будні з 9:00 до 18:00", "Monday to Friday, 9:00 to 18:00"),
    (
        week(*(DAY,) * 4, ((540, 1020),)),
        "с понедельника по четверг с 9:00 до 18:00; в пятницу с 9:00 до 17:00",
        "з понеділка по четвер з 9:00 до 18:00; у п’ятницю з 9:00 до 17:00",
        "Monday to Thursday, 9:00 to 18:00; Friday, 9:00 to 17:00",
    ),
    (
        week(*(((540, 780), (840, 1080)),) * 7),
        "ежедневно с 9:00 до 13:00 и с 14:00 до 18:00",
        "щодня з 9:00 до 13:00 і з 14:00 до 18:00",
        "every day, 9:00 to 13:00 and 14:00 to 18:00",
    ),
    (week(*(((0, 1440),),) * 7), "круглосуточно", "цілодобово", "round the clock"),
    (
        week(*(((0, 1440),),) * 5, ((600, 840),), ((600, 840),)),
        "по будням круглосуточно; по выходным с 10:00 до 14:00",
        "у будні цілодобово; у вихідні з 10:00 до 14:00",
        "Monday to Friday, round the clock; Saturday and Sunday, 10:00 to 14:00",
    ),
    (
        week((), *(DAY,) * 4),
        "со вторника по пятницу с 9:00 до 18:00",
        "з вівторка по п’ятницю з 9:00 до 18:00",
        "Tuesday to Friday, 9:00 to 18:00",
    ),
    (
        week((), (), *(DAY,) * 4),
        "со среды по субботу с 9:00 до 18:00",
        "із середи по суботу з 9:00 до 18:00",
        "Wednesday to Saturday, 9:00 to 18:00",
    ),
    (week((), (), DAY), "в среду с 9:00 до 18:00", "у середу з 9:00 до 18:00", "Wednesday, 9:00 to 18:00"),
    (week(), "", "", ""),
]


@pytest.mark.parametrize(("calendar", "ru", "uk", "en"), HOURS, ids=[row[3] for row in HOURS])
def test_hours(calendar: Calendar, ru: str, uk: str, en: str) -> None:
    assert [wording.hours(language, calendar) for language in ("ru", "uk", "en")] == [ru, uk, en]


def test_a_summer_time_change_moves_no_wall_clock() -> None:
    before = datetime(2026, 3, 28, 20, 0, tzinfo=UTC)  # the clocks go forward in the night to the 29th
    assert wording.due("en", at("2026-03-29T10:00"), before, KYIV) == "by 10:00 tomorrow"


moments = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
zones = st.sampled_from(["UTC", KYIV, "Asia/Kathmandu", "America/New_York", "Pacific/Chatham"])


@given(now=moments, ahead=st.timedeltas(timedelta(minutes=10), timedelta(days=170)), zone=zones)
def test_the_time_said_is_never_later_than_promised_and_at_most_five_minutes_earlier(
    now: datetime, ahead: timedelta, zone: str
) -> None:
    due = now + ahead
    said = wording.due("en", due, now, zone)
    local = due.astimezone(ZoneInfo(zone))
    if "midnight" in said:
        assert (local.hour, local.minute // 5) == (0, 0)
        return
    hour, minute = map(int, re.search(r"(\d+):(\d\d)", said).groups())  # type: ignore[union-attr]
    assert minute % 5 == 0
    assert 0 <= (local.hour * 60 + local.minute) - (hour * 60 + minute) < 5
    if "today" in said:
        assert local.date() == now.astimezone(ZoneInfo(zone)).date()
    elif "tomorrow" in said:
        assert local.date() == now.astimezone(ZoneInfo(zone)).date() + timedelta(days=1)
    else:
        assert f"{local.day} {local:%B}" in said
        assert f"{local:%A}" in said


@given(now=moments, ahead=st.timedeltas(timedelta(0), timedelta(days=400)), zone=zones, reader=zones)
def test_every_language_says_something_short(now: datetime, ahead: timedelta, zone: str, reader: str) -> None:
    for language in wording.WORDS:
        said = wording.due(language, now + ahead, now, zone, reader)
        assert 10 < len(said) < 80
        assert "{" not in said
        assert len(wording.due_short(language, now + ahead, now, zone)) <= 25


@given(
    st.lists(
        st.lists(st.integers(0, 1440), max_size=6, unique=True).map(
            lambda cuts: tuple(zip(sorted(cuts)[::2], sorted(cuts)[1::2], strict=False))
        ),
        min_size=7,
        max_size=7,
    )
)
def test_hours_name_every_span_of_any_week(days: list[tuple[Span, ...]]) -> None:
    calendar = Calendar(key="any", zone="UTC", week=tuple(days))
    said = wording.hours("en", calendar)
    assert bool(said) == any(days)
    for spans in days:
        for opens, _ in spans:
            assert f"{opens // 60}:{opens % 60:02}" in said or "round the clock" in said
